"""`epiverb doctor`, and the hints that name the extra to install."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import tomllib

from epiverb.errors import MissingExtra
from epiverb.extras import requirements, wanted_by
from epiverb.verbs import doctor as verb

ROOT = Path(__file__).parent.parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


@pytest.fixture
def few(monkeypatch):
    """Only these packages are looked at, so that torch need not be imported in every test."""

    def only(*packages: str) -> None:
        rows = [one for one in requirements() if one.package in packages]
        monkeypatch.setattr(verb, "requirements", lambda: rows)

    return only


def package(folder: Path, monkeypatch, name: str, version: str, code: str) -> None:
    """A package as pip would leave it, seen here and by processes started here."""
    (folder / f"{name}.py").write_text(code)
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: {version}\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", str(folder))


def test_everything_here_is_looked_at(epiverb, few):
    few(*(one.package for one in requirements() if one.extra != "train"))  # to import torch and trl takes ten seconds
    outcome = epiverb("doctor", "--json")
    checks = outcome.json["checks"]
    assert outcome.code == (0 if outcome.json["ok"] else 2)
    names = {row["name"] for row in checks}
    assert {"python", "epiverb", "polars", "typer", "httpx", "gpu", "cores"} <= names
    polars = next(row for row in checks if row["name"] == "polars")
    assert polars["ok"] is True
    assert polars["needed"] == ">=1.30"
    assert polars["tested"] == re.search(r"^polars==(.*)$", (ROOT / "constraints.txt").read_text(), re.M)[1]


def test_an_absent_extra_is_wrong_only_where_it_is_named(epiverb, few):
    few("vllm")
    outcome = epiverb("doctor")
    assert outcome.code == 0
    assert "Nothing is wrong" in outcome.out
    assert "pip install 'epiverb[vllm]'" in outcome.out
    outcome = epiverb("doctor", "vllm")
    assert outcome.code == 2
    assert "- vllm: pip install 'epiverb[vllm]'" in outcome.out
    assert "unknown extra 'traim'" in epiverb("doctor", "traim").message


def test_a_package_that_crashes_is_told_and_the_others_are_tried(epiverb, few, monkeypatch, tmp_path):
    few("fsspec", "vllm", "httpx")
    package(tmp_path, monkeypatch, "vllm", "99.0", "import os\nos.abort()\n")
    outcome = epiverb("doctor", "--json")
    found = {row["name"]: row for row in outcome.json["checks"]}
    assert outcome.code == 2
    assert "import fails (it ended the process with -6)" in found["vllm"]["remedy"]
    assert found["httpx"]["ok"] is True


@pytest.mark.parametrize(
    ("version", "code", "remedy"),
    [
        ("0.1", "", "0.1 is not >=0.24: pip install 'vllm>=0.24'"),
        ("99.0", "raise RuntimeError('no\\ndriver')", "import fails (RuntimeError: no driver)"),
        ("99.0", "print('hello'); import sys; sys.exit(3)", "import fails (SystemExit: 3)"),
    ],
)
def test_what_is_wrong_has_a_remedy(epiverb, few, monkeypatch, tmp_path, version, code, remedy):
    few("vllm")
    package(tmp_path, monkeypatch, "vllm", version, code)
    outcome = epiverb("doctor")
    assert outcome.code == 2
    assert remedy in outcome.out


def test_thread_settings_beyond_the_cores(epiverb, few, monkeypatch):
    few()
    monkeypatch.setenv("OMP_NUM_THREADS", "999")
    outcome = epiverb("doctor")
    assert outcome.code == 2
    assert re.search(r"- OMP_NUM_THREADS: \d+ cores are there: export OMP_NUM_THREADS=\d+", outcome.out)


def test_doctor_imports_nothing_that_may_be_broken():
    code = (
        "import epiverb.verbs.doctor, epiverb.cli.doctor, sys; print(*{name.partition('.')[0] for name in sys.modules})"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"numpy", "polars", "pyarrow", "pandas", "scipy", "torch"} & set(loaded)


def test_every_extra_is_known_by_its_modules():
    for extra, lines in PROJECT["optional-dependencies"].items():
        for line in lines if extra != "dev" else []:
            module = re.match(r"[\w.-]+", line)[0].replace("-", "_")
            found = wanted_by(f"{module}.something")
            if found is None:
                pytest.skip(f"the installed metadata is older than pyproject.toml: it has no {module}")
            assert found.extra == extra
    assert wanted_by("polars") is None
    assert wanted_by("nobody_knows") is None


def test_every_hint_in_the_code_names_an_extra():
    for path in (ROOT / "epiverb").rglob("*.py"):
        for extra in re.findall(r'MissingExtra\("[\w-]+", "(\w+)"\)', path.read_text("utf-8")):
            assert extra in PROJECT["optional-dependencies"]


@pytest.mark.parametrize(
    ("module", "command"),
    [
        ("torch", ["lab", "pretrain", "--out", "base"]),
        ("torch", ["train", "sft", "-m", "model", "-d", "data", "--out", "run"]),
        ("torch", ["sample", "-m", "model", "-d", "lab:countdown-3", "--out", "run"]),
        ("vllm", ["sample", "-m", "model", "-d", "lab:countdown-3", "--engine", "vllm", "--out", "run"]),
        ("reasoning_gym", ["sample", "-m", "model", "-d", "reasoning-gym:countdown", "--out", "run"]),
    ],
)
def test_a_command_without_its_extra_says_what_to_install(tmp_path, module, command):
    (tmp_path / "data").mkdir()
    code = f"import sys\nsys.modules['{module}'] = None\nsys.argv = ['epiverb', *{command}]\nfrom epiverb.cli import main\nmain()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    extra = wanted_by(module)
    assert done.returncode == 2, done.stderr
    assert str(MissingExtra(extra.package, extra.extra)) in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
