"""The wheel stands alone: built, installed without extras into an empty environment, and used there."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tools import release

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, ROOT]
    subprocess.run(command, check=True, capture_output=True)
    return next(out.glob("*.whl"))


def test_wheel_carries_its_data(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    lexicons = {path.name for path in (ROOT / "lexicons").glob("*.toml")}
    assert {f"epiverb/_resources/lexicons/{name}" for name in lexicons} <= names
    assert "epiverb/_resources/data/traces/before.jsonl" in names
    recipes = {path.relative_to(ROOT) for path in (ROOT / "recipes").rglob("*") if path.is_file()}
    assert {f"epiverb/_resources/{path}" for path in recipes} <= names
    assert '"recipes"' in (ROOT / "pyproject.toml").read_text("utf-8").partition("[tool.hatch.build.targets.sdist]")[2]
    assert "epiverb/py.typed" in names
    assert {f"epiverb/report/assets/{name}" for name in ("report.js", "report.css", "page.html")} <= names
    assert not [name for name in names if name.startswith(("tests/", "docs/", "benchmarks/"))]


def test_core_install_analyses_without_torch(wheel, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "env"], check=True)
    binaries = tmp_path / "env" / "bin"
    install = [
        binaries / "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "-c",
        ROOT / "constraints.txt",
        wheel,
    ]
    subprocess.run(install, check=True, capture_output=True)
    listed = subprocess.run([binaries / "pip", "list", "--format=json"], check=True, capture_output=True, text=True)
    installed = {package["name"].lower() for package in json.loads(listed.stdout)}
    assert "polars" in installed
    assert not {"torch", "transformers", "vllm", "trl", "datasets"} & installed
    sample = "import epiverb.resources as r; print(r.folder('data') / 'traces' / 'before.jsonl')"
    path = subprocess.run([binaries / "python", "-c", sample], check=True, capture_output=True, text=True, cwd=tmp_path)
    run = [binaries / "epiverb", "analyze", path.stdout.strip(), "--json", "--out", tmp_path / "run"]
    document = json.loads(subprocess.run(run, check=True, capture_output=True, text=True, cwd=tmp_path).stdout)
    assert document["n_traces"] == 120
    assert document["lexicons"]["epiverb-en"]["hits"] > 0
    assert (tmp_path / "run" / "report.html").is_file()
    piped = "import spacy; nlp = spacy.blank('en'); nlp.add_pipe('epiverb'); doc = nlp('Wait, maybe.'); print(list(doc.spans['epistemic']))"
    said = subprocess.run([binaries / "python", "-c", piped], check=True, capture_output=True, text=True, cwd=tmp_path)
    assert said.stdout == "[Wait, maybe]\n"
    told = subprocess.run([binaries / "epiverb", "doctor", "--json"], capture_output=True, text=True, cwd=tmp_path)
    checks = {row["name"]: row for row in json.loads(told.stdout)["checks"]}
    assert (told.returncode, checks["torch"]["ok"], checks["polars"]["ok"]) == (0, None, True)
    assert checks["polars"]["tested"] == checks["polars"]["found"]  # constraints.txt is in the wheel


def test_release_check_sees_the_version_everywhere(monkeypatch, tmp_path):
    assert release.version()
    for name in ("pyproject.toml", "CHANGELOG.md"):
        (tmp_path / name).write_text((ROOT / name).read_text("utf-8"))
    (tmp_path / "CITATION.cff").write_text("version: 0.0.9\n")
    monkeypatch.setattr(release, "ROOT", tmp_path)
    with pytest.raises(SystemExit, match=r"CITATION\.cff does not say"):
        release.version()
