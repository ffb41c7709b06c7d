"""The shape of the house: layers, a light front door, sizes, names, generated pages."""

from __future__ import annotations

import ast
import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
import tomllib

import epiverb
from epiverb.cli.commands import COMMANDS
from epiverb.config import field_docs
from epiverb.registry import resolve

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "epiverb").rglob("*.py"))

LIGHT = [
    "epiverb",
    "epiverb.cli",
    "epiverb.cli.app",
    "epiverb.config",
    "epiverb.registry",
    "epiverb.schema",
    "epiverb.errors",
]
HEAVY = {
    "torch", "transformers", "vllm", "trl", "datasets", "spacy", "pandas", "polars", "numpy", "pyarrow", "scipy", "matplotlib",
    "seaborn", "statsmodels",
}  # fmt: skip


def loaded_after(code: str) -> set[str]:
    """Top-level modules present after `code` ran in a fresh interpreter."""
    script = f"{code}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    return set(
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    )


def test_layers_hold():
    result = subprocess.run([Path(sys.executable).parent / "lint-imports"], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


def test_front_door_is_light():
    assert HEAVY & loaded_after("; ".join(f"import {name}" for name in LIGHT)) == set()


def test_a_command_is_light():
    code = "import sys, contextlib\nsys.argv = ['epiverb', 'plan', '--dry-run']\nfrom epiverb.cli import main"
    loaded = loaded_after(f"{code}\nwith contextlib.suppress(SystemExit):\n    main()")
    assert "samples:" in loaded  # it has said what it would do
    assert "pydantic" not in loaded


def test_help_is_light():
    code = "import epiverb.cli.app as a\nfrom typer.testing import CliRunner\nassert CliRunner().invoke(a.app, ['analyze', '--help']).exit_code == 0"
    assert HEAVY & loaded_after(code) == set()


def test_heavy_check_can_fail():
    assert "numpy" in HEAVY & loaded_after("import numpy")


@pytest.mark.parametrize("name", COMMANDS)
def test_command_targets_resolve_and_every_setting_is_documented(name):
    command = COMMANDS[name]
    cls = resolve(command.config)
    assert callable(resolve(command.verb))
    assert callable(resolve(command.printer))
    fields = {field.name for field in dataclasses.fields(cls)}
    assert fields == set(field_docs(cls))
    assert len(fields) <= 25


def test_public_names_resolve():
    assert len(epiverb.__all__) <= 25
    for name in epiverb.__all__:
        assert getattr(epiverb, name) is not None


def test_generated_pages_are_up_to_date():
    result = subprocess.run(
        [sys.executable, ROOT / "docs/generate.py", "--check"], capture_output=True, text=True, cwd=ROOT
    )
    assert result.returncode == 0, result.stdout


def test_at_most_ten_core_dependencies():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert len([line for line in project["dependencies"] if "python_version" not in line]) <= 10


def test_sizes(capsys):
    """Prints what is over the guide (300 lines, 40 a function) and holds the limits (400 and 60)."""
    over, broken = [], []
    for path in FILES:
        text = path.read_text("utf-8")
        sizes = [(path.name, len(text.splitlines()), 300, 400)]
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                sizes.append((f"{path.name}:{node.name}", node.end_lineno - node.lineno + 1, 40, 60))
        over += [f"{name}: {size} lines" for name, size, guide, _ in sizes if size > guide]
        broken += [f"{name}: {size} lines" for name, size, _, limit in sizes if size > limit]
    with capsys.disabled():
        print("\nover the size guide:", "; ".join(over) or "nothing")
    assert broken == []


def test_every_module_says_what_it_is():
    assert [
        str(path) for path in FILES if path.stat().st_size and not ast.get_docstring(ast.parse(path.read_text("utf-8")))
    ] == []
