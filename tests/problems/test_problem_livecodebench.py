"""LiveCodeBench in the hub's form: tests unpacked, months picked, and nothing run that a pickle asks for."""

from __future__ import annotations

import base64
import json
import os
import pickle
import zlib

import pytest

from epiverb.errors import ConfigError, FormatError
from epiverb.problems import read

PUBLIC = [{"input": "1 2\n", "output": "3\n", "testtype": "stdin"}]
HIDDEN = [{"input": f"{i} 2\n", "output": f"{i + 2}\n", "testtype": "stdin"} for i in range(9)]


def packed(value):
    return base64.b64encode(zlib.compress(pickle.dumps(value))).decode()


def row(name, day, hidden, starter="", metadata="{}"):
    return {
        "question_title": name,
        "question_content": f"Add two numbers. {name}",
        "question_id": name,
        "contest_date": f"{day}T00:00:00",
        "starter_code": starter,
        "difficulty": "easy",
        "public_test_cases": json.dumps(PUBLIC),
        "private_test_cases": hidden,
        "metadata": metadata,
    }


def load(tmp_path, rows, options=""):
    file = tmp_path / "livecodebench-v6.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read(f"livecodebench-v6{options}", data_dir=str(tmp_path))


def test_prompt_tests_and_months(tmp_path):
    starter = "class Solution:\n    def add(self, a: int, b: int) -> int:\n        "
    rows = [
        row("early", "2025-01-31", packed(json.dumps(HIDDEN))),
        row("first", "2025-02-01", packed(json.dumps(HIDDEN))),
        row("last", "2025-04-30", json.dumps(HIDDEN), starter, '{"func_name": "add"}'),
        row("late", "2025-05-01", "[]"),
    ]
    loaded = load(tmp_path, rows)
    first, last = loaded.problems
    assert (loaded.n_rows, loaded.n_excluded, loaded.n_without_gold) == (4, 2, 0)
    assert loaded.notes == (
        "2 rows are not of the set as published.",
        "livecodebench-v6 has 2 problems here, 131 as published.",
    )
    assert (first.problem_id, first.grader, first.gold) == ("first", "code", None)
    assert (
        first.extra["tests"]
        == last.extra["tests"]
        == [{**t, "public": True} for t in PUBLIC] + [{**t, "public": False} for t in HIDDEN]
    )
    assert (first.extra.get("fn_name"), last.extra["fn_name"]) == (None, "add")
    assert [turn["role"] for turn in first.messages] == ["system", "user"]
    assert first.messages[1]["content"].startswith(
        "### Question:\nAdd two numbers. first\n\n### Format: Read the inputs from stdin"
    )
    assert f"```python\n{starter}\n```" in last.messages[1]["content"]
    assert len(load(tmp_path, rows, "?since=2025-01-01&until=2026-01-01").problems) == 4
    with pytest.raises(ConfigError, match="not a day"):
        load(tmp_path, rows, "?since=January")


class Evil:
    def __reduce__(self):
        return os.system, ("touch " + os.environ["EVIL"],)


@pytest.mark.parametrize(
    "hidden",
    [lambda: packed(Evil()), lambda: "!!!", lambda: base64.b64encode(b"no zlib").decode(), lambda: packed("not json")],
)
def test_hidden_tests_that_cannot_be_trusted(tmp_path, monkeypatch, hidden):
    monkeypatch.setenv("EVIL", str(tmp_path / "touched"))
    with pytest.raises(FormatError, match=r"q: its (hidden )?tests (cannot be unpacked|are not JSON)"):
        load(tmp_path, [row("q", "2025-03-01", hidden())])
    assert not (tmp_path / "touched").exists()
