"""The notebooks as pages of the guide: executed, and written as Markdown with their figures beside.

Executed copies are kept in build/notebooks/ and made anew where the notebook or the package has changed since.
"""

from __future__ import annotations

import base64
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from traitlets.config import Config

ROOT = Path(__file__).parent.parent
NOTEBOOKS = ROOT / "notebooks"
KEPT = Path(os.environ.get("EPIVERB_NOTEBOOKS", ROOT / "build" / "notebooks"))
STYLE = re.compile(r"<style scoped>.*?</style>\s*", re.S)
COLOURS = re.compile(r"\x1b\[[\d;]*m")


def execute(path: Path, **parameters: object) -> Any:
    """The notebook with its outputs, run from top to bottom in a new folder; raises `CellExecutionError`.

    Args:
        parameters: set at the end of the cell with the tag `parameters`.
    """
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if "parameters" in cell.metadata.get("tags", ()):
            cell.source += "".join(f"\n{name} = {value!r}" for name, value in parameters.items())
    with tempfile.TemporaryDirectory() as folder:
        # No port is opened. The place of the sockets is not that of the notebook, which runs in a folder of its own.
        config = Config(KernelManager={"transport": "ipc", "ip": f"{folder}/kernel"})
        place = {"metadata": {"path": f"{folder}/work"}}
        Path(folder, "work").mkdir()
        kernel = {"kernel_name": "python3", "timeout": 600, "startup_timeout": 300}
        NotebookClient(notebook, resources=place, config=config, **kernel).execute(env=_environment())
    return notebook


def _environment() -> dict[str, str]:
    """That of this process, with this checkout and its `epiverb` first, one thread, and plain text."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    fixed = {
        "PYTHONWARNINGS": "ignore:IProgress not found",
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "100",
        "NO_COLOR": "1",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }
    return {**os.environ, **fixed, "PYTHONPATH": path, "PATH": programs}


def executed(path: Path) -> Any:
    """The notebook with its outputs, from `KEPT` where that is no older than what it is made of."""
    kept = KEPT / path.name
    sources = [path, *(ROOT / "epiverb").rglob("*.py")]
    if not kept.is_file() or kept.stat().st_mtime < max(file.stat().st_mtime for file in sources):
        print(f"executing {path.name}", file=sys.stderr)
        kept.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(execute(path), kept)
    return nbformat.read(kept, as_version=4)


def page(notebook: Any, name: str) -> tuple[str, dict[str, bytes]]:
    """The notebook as Markdown, and its images by file name."""
    parts: list[str] = []
    images: dict[str, bytes] = {}
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source)
        elif cell.cell_type == "code" and cell.source.strip():
            parts.append(f"```python\n{cell.source}\n```")
            parts += [_output(output, name, images) for output in cell.outputs]
    parts.insert(1, f"*Executed from [`notebooks/{name}.ipynb`](../notebooks/{name}.ipynb).*")
    return "\n\n".join(filter(None, parts)).replace(f"{ROOT}/", "") + "\n", images


def _output(output: Any, name: str, images: dict[str, bytes]) -> str:
    if output.output_type == "stream":
        return _text(output.text) if output.name == "stdout" else ""
    data = output.get("data", {})
    if "image/png" in data:
        file = f"{name}-{len(images) + 1}.png"
        images[file] = base64.b64decode(data["image/png"])
        return f"![Figure {len(images)}]({file}){{ .figure }}"
    if "text/markdown" in data:
        return str(data["text/markdown"])
    if "text/html" in data:
        return f'<div class="output">\n{STYLE.sub("", data["text/html"])}\n</div>'
    return _text(data.get("text/plain", ""))


def _text(text: str) -> str:
    text = COLOURS.sub("", text)
    return f"```text\n{text.rstrip()}\n```" if text.strip() else ""
