"""A tiny model that answers, problems for it, and the command line in this process."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from epiverb.cli import main
from tests.models.taught import taught_model


@dataclass
class Outcome:
    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.out)

    @property
    def message(self) -> str:
        """The last line of stderr: the mistake, behind any progress."""
        assert "Traceback" not in self.err
        return self.err.strip().splitlines()[-1]


@pytest.fixture
def epiverb(monkeypatch, capsys, tmp_path):
    """Call `epiverb ARGS...` in an empty folder; gives exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EPIVERB_DEBUG", raising=False)

    def call(*args: object, stdin: bytes | None = None) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["epiverb", *map(str, args)])
        if stdin is not None:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    """The folder of a model that says one of `tests.models.taught.SAID`."""
    for package in ("torch", "transformers"):
        pytest.importorskip(package)
    return taught_model(tmp_path_factory.mktemp("model") / "qwen3")


@pytest.fixture(scope="session")
def problems(tmp_path_factory) -> Path:
    """Twelve problems with the gold answer 4, in a file whose name is their benchmark."""
    file = tmp_path_factory.mktemp("data") / "sums.jsonl"
    rows = [{"problem_id": f"p{i}", "question": f"What is {i} + {4 - i}?", "gold": "4"} for i in range(12)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return file
