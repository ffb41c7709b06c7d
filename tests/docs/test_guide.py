"""The guide: it builds without a warning, loads nothing from elsewhere, and what it shows is what happens."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent.parent
GUIDE = ROOT / "docs" / "guide"
ENV = {
    **os.environ,
    "PYTHONPATH": str(ROOT),
    "OMP_NUM_THREADS": "1",
    "COLUMNS": "100",
    "NO_COLOR": "1",
    "NO_MKDOCS_2_WARNING": "1",
}


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\b[^\n]*\n(.*?)^```", (GUIDE / page).read_text("utf-8"), re.M | re.S)


def python(*args: object, cwd: Path, env: dict[str, str] = ENV) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, args)], cwd=cwd, env=env, capture_output=True, text=True, timeout=300
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site; its notebooks are not executed here but in tests/report/test_notebooks.py."""
    out, books = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("books")
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        (books / path.name).write_text(path.read_text("utf-8"), "utf-8")
    command = ("-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", out)
    done = python(*command, cwd=ROOT, env={**ENV, "EPIVERB_NOTEBOOKS": str(books)})
    assert done.returncode == 0, done.stdout + done.stderr
    return out


class Loaded(HTMLParser):
    """What a page loads by itself: links of a reader's choice are none."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        named = dict(attrs)
        if tag != "a" and not (tag == "link" and named.get("rel") in ("canonical", "next", "prev")):
            self.found += [value for key in ("src", "href", "srcset", "data") if (value := named.get(key))]


def test_the_site_loads_nothing_from_another_host(site):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 20
    loaded = [place for page in pages for place in Loaded(page.read_text("utf-8")).found]
    assert any(place.endswith(".css") for place in loaded)
    assert [place for place in loaded if re.match(r"(https?:)?//", place)] == []
    styles = "".join(path.read_text("utf-8") for path in site.rglob("*.css"))
    assert re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//[^)]*", styles) == []


def test_a_foreign_script_would_be_seen():
    assert Loaded('<a href="https://a.b"></a><script src="https://c.d/x.js"></script>').found == ["https://c.d/x.js"]


def test_every_guide_page_is_in_the_navigation(site):
    text = (ROOT / "mkdocs.yml").read_text("utf-8")
    assert {path.name for path in GUIDE.glob("*.md")} == set(re.findall(r"guide/([\w-]+\.md)", text))
    listed = (site / "index.html").read_text("utf-8")
    for path in [*(ROOT / "docs/design").glob("*.md"), *(ROOT / "notebooks").glob("*.ipynb")]:
        assert f'href="{path.parent.name}/{path.stem}.html"' in listed


# Each in a module of its own, as a script. Not by `import`: its lock would be held while threads look up what was added.
ALL = """
import sys, types
from pathlib import Path

for path in sorted(Path().glob("example_*.py")):
    module = sys.modules[path.stem] = types.ModuleType(path.stem)
    exec(compile(path.read_text(), path, "exec"), vars(module))
"""


@pytest.mark.parametrize(("page", "least"), [("quickstart.md", 1), ("extending.md", 6)])
def test_python_runs(page, least, tmp_path):
    (tmp_path / "data").symlink_to(ROOT / "data")
    codes = blocks(page, "python")
    assert len(codes) >= least
    for i, code in enumerate(codes):
        (tmp_path / f"example_{i}.py").write_text(code)
    (tmp_path / "all.py").write_text(ALL)
    done = python("all.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_lexicon_is_one(tmp_path):
    (tmp_path / "mine.toml").write_text(next(text for text in blocks("extending.md", "toml") if "[categories]" in text))
    done = python("-m", "epiverb", "lexicon", "check", "mine.toml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_groups_of_entry_points_are_those_looked_up():
    text = (GUIDE / "extending.md").read_text("utf-8")
    code = "".join(path.read_text("utf-8") for path in (ROOT / "epiverb").rglob("*.py"))
    kinds = set(re.findall(r"Registry\(\s*\"([a-z -]+)\"", code)) - {"token-measure"}
    groups = {f"epiverb.{kind.replace(' ', '_')}s" for kind in kinds} | {"epiverb.lexicons"}
    assert set(re.findall(r"`(epiverb\.[a-z_]+s)`", text)) == groups


def test_the_skill_has_its_front_matter():
    _, front, body = (ROOT / "skills" / "epiverb" / "SKILL.md").read_text("utf-8").split("---\n", 2)
    known = yaml.safe_load(front)
    assert known["name"] == "epiverb"
    assert 100 < len(known["description"]) < 1024
    assert body.count("\n") < 100
