"""What the guide has beyond the files in docs/: notebooks as pages, and entries of the nav that name a folder's pages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

import notebooks as books  # docs/notebooks.py; mkdocs puts this folder on the path

DOCS = Path(__file__).parent


def on_config(config: Any) -> Any:
    """`Design: design/*.md` in the nav becomes the pages of that folder, by the beginning of their titles."""
    config.nav = _listed(config.nav)
    return config


def _listed(entry: Any) -> Any:
    if isinstance(entry, list):
        return [_listed(one) for one in entry]
    if isinstance(entry, dict):
        return {title: _listed(value) for title, value in entry.items()}
    if entry.startswith("notebooks/"):
        return [f"notebooks/{path.stem}.md" for path in sorted(books.NOTEBOOKS.glob("*.ipynb"))]
    return [_titled(path) for path in sorted(DOCS.glob(entry))] if "*" in entry else entry


def _titled(path: Path) -> dict[str, str]:
    title = path.read_text("utf-8").splitlines()[0].removeprefix("# ")
    return {title.partition(":")[0].replace("`", ""): str(path.relative_to(DOCS))}


def on_files(files: Any, config: Any) -> Any:
    """The notebooks, executed, beside the files of docs/."""
    for path in sorted(books.NOTEBOOKS.glob("*.ipynb")):
        text, images = books.page(books.executed(path), path.stem)
        files.append(File.generated(config, f"notebooks/{path.stem}.md", content=text))
        files.append(File.generated(config, f"notebooks/{path.name}", abs_src_path=str(path)))
        for name, image in images.items():
            files.append(File.generated(config, f"notebooks/{name}", content=image))
    return files
