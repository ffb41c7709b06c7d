"""The notebooks run from top to bottom, lie in git without outputs, and are pages of a guide that looks right."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).parent.parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SHORT = {"40_training": {"STEPS": 2, "QUESTIONS": 2}}
"""Parameters with which a notebook is executed here, where its own take minutes."""

spec = importlib.util.spec_from_file_location("notebooks", ROOT / "docs" / "notebooks.py")
assert spec
assert spec.loader
books = importlib.util.module_from_spec(spec)
spec.loader.exec_module(books)


@pytest.fixture(scope="module")
def executed(tmp_path_factory) -> Path:
    """A folder of the notebooks with their outputs, each added by the test that executes it."""
    return tmp_path_factory.mktemp("books")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, executed):
    found = books.execute(path, **SHORT.get(path.stem, {}))
    nbformat.write(found, executed / path.name)
    outputs = [output for cell in found.cells if cell.cell_type == "code" for output in cell.outputs]
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []
    text, images = books.page(found, path.stem)
    assert len(images) >= 2
    assert all(image.startswith(b"\x89PNG") for image in images.values())
    assert "Traceback" not in text
    assert str(ROOT) not in text
    assert "\x1b" not in text


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stripped_and_short(path):
    code = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    lines = [line for cell in code for line in cell.source.splitlines() if line.strip()]
    assert len(lines) < 60
    assert max(map(len, lines)) <= 130


def test_pictures_stand_before_tables():
    for path in NOTEBOOKS:
        code = "".join(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code")
        assert code.index("plots") < max(code.rfind(".head("), code.rfind("DataFrame("), code.rfind("print("))


def test_a_notebook_that_fails_is_found(tmp_path):
    broken = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 / 0")])
    nbformat.write(broken, tmp_path / "broken.ipynb")
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        books.execute(tmp_path / "broken.ipynb")


@pytest.fixture(scope="module")
def site(executed, tmp_path_factory) -> Path:
    """The guide, built with the notebooks as they were executed above."""
    if {path.name for path in executed.glob("*")} != {path.name for path in NOTEBOOKS}:
        pytest.skip("needs the notebooks that the tests above execute")
    out = tmp_path_factory.mktemp("site")
    env = {**os.environ, "PYTHONPATH": str(ROOT), "EPIVERB_NOTEBOOKS": str(executed), "NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", out]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def test_pages_from_the_disk_ask_no_host_and_find_words(site, page):
    for path in sorted(site.rglob("*.html")):
        if path.name != "404.html":  # its links are those of a server's root
            page.goto(path.as_uri())
    assert [url for url in page.seen["requests"] if not url.startswith(("file:", "data:", "blob:"))] == []
    assert page.seen["errors"] == []
    page.goto((site / "index.html").as_uri())
    page.fill("input[name=query]", "burstiness")
    page.wait_for_selector(".md-search-result__item a[href*='guide/measures.html']")


def test_no_page_is_wider_than_a_phone(site, page):
    page.set_viewport_size({"width": 360, "height": 800})
    wide = []
    for path in sorted(site.rglob("*.html")):
        page.goto(path.as_uri())
        if page.evaluate("document.documentElement.scrollWidth") > 360:
            wide.append(path.relative_to(site))
    assert wide == []


def test_every_figure_and_table_of_a_notebook_is_on_its_page(site, page):
    for path in NOTEBOOKS:
        page.goto((site / "notebooks" / f"{path.stem}.html").as_uri())
        sizes = page.evaluate("[...document.querySelectorAll('article img')].map(img => img.naturalWidth)")
        assert len(sizes) >= 2
        assert min(sizes) > 300
        assert not re.search(r"```|&lt;div", page.inner_text("article"))
