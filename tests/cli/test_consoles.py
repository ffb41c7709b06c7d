"""What the guide's consoles show is what the commands print."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
GUIDE = ROOT / "docs" / "guide"


def commands(block: str) -> list[tuple[str, list[str]]]:
    """Each command of a console block with the lines shown below it."""
    parts = re.split(r"^\$ ", block, flags=re.M)[1:]
    return [(part.partition("\n")[0], part.partition("\n")[2].splitlines()) for part in parts]


def same(shown: list[str], real: list[str]) -> bool:
    """Whether lines agree; `...` at the end stands for any others."""
    cut = shown[-1:] == ["..."]
    return shown[:-1] == real[: len(shown) - 1] and len(real) >= len(shown) if cut else shown == real


@pytest.mark.parametrize("page", ["quickstart.md", "choosing-n.md"])
def test_what_a_console_shows_is_what_comes(epiverb, monkeypatch, page, tmp_path):
    monkeypatch.setenv("COLUMNS", "100")
    (tmp_path / "data").symlink_to(ROOT / "data")
    found = [
        one
        for block in re.findall(r"^```console\n(.*?)^```", (GUIDE / page).read_text("utf-8"), re.M | re.S)
        for one in commands(block)
    ]
    assert len(found) >= 5
    for line, shown in found:
        done = epiverb(*shlex.split(line)[1:])
        real = [text.rstrip() for text in done.out.strip("\n").splitlines()]
        assert same(shown, real), f"{line}\n{done.out}{done.err}"


def test_another_output_would_be_seen():
    assert same(["a", "..."], ["a", "b"])
    assert not same(["a", "..."], ["b", "c"])
    assert not same(["a"], ["a", "b"])
