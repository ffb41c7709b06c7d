"""`epiverb analyze` with worker processes: the same run as without, and what becomes of it where one is ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from epiverb.configs.analyze import AnalyzeConfig
from epiverb.errors import EngineError, MissingExtra
from epiverb.run import Run
from epiverb.verbs import workers

ROOT = Path(__file__).parent.parent.parent
TRACES = [ROOT / "data" / "traces" / name for name in ("before.jsonl", "after.jsonl")]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there are no workers")


@pytest.fixture
def two(monkeypatch):
    """Small files get two workers, also on one processor; what was started is kept in a list."""
    begun = []

    class Kept(workers.Worker):
        def __init__(self, config):
            super().__init__(config)
            begun.append(self)

    monkeypatch.setattr(workers, "ENOUGH", 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr(workers, "Worker", Kept)
    return begun


def odd(path: Path) -> Path:
    """A file that is not read without skips, nulls, loops and characters beyond ASCII."""
    looped = "I count the apples. " + "So it is five, wait. " * 200
    texts = ["Hmm, чекай 待って 🤔 wait, let me check.", "", None, looped, "<think>Maybe 3?</think> 3."]
    rows = [
        {"problem_id": f"p{i}", "benchmark": "b", "response": text, "correct": True} for i, text in enumerate(texts)
    ]
    lines = [json.dumps(row) for row in rows]
    path.write_text("\n".join([*lines[:2], "{broken", *lines[2:]]) + "\n", "utf-8")
    return path


def test_workers_write_the_same_run(epiverb, tmp_path, two, monkeypatch):
    sources = [*TRACES, odd(tmp_path / "odd.jsonl")]
    command = ("analyze", *sources, "--no-report", "--json", "--draws", "200", "--out")
    shared = epiverb(*command, "workers").json
    assert len(two) == 2
    monkeypatch.setattr(workers, "ENOUGH", 1 << 40)
    alone = epiverb(*command, "threads").json
    assert len(two) == 2
    assert alone["sources"][2]["n_skipped"] == 2
    assert {**shared, "run": None} == {**alone, "run": None}
    for table in ("traces", "hits", "values", "points"):
        one, other = (Run(name).scan(table).collect() for name in ("workers", "threads"))
        assert len(one)
        assert one.equals(other), table


def test_tokens_are_counted_in_workers(epiverb, tmp_path, two):
    tokenizers = pytest.importorskip("tokenizers")
    plain = tokenizers.Tokenizer(tokenizers.models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    plain.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    plain.save(str(tmp_path / "tokenizer.json"))
    run = epiverb("analyze", odd(tmp_path / "odd.jsonl"), "--no-report", "--json", "--tokenizer", "tokenizer.json").json
    assert len(two) == 2
    assert run["tokens"]["value"] > 0


def test_mistakes_seen_by_a_worker_are_told_in_one_line(epiverb, tmp_path, two):
    told = epiverb("analyze", odd(tmp_path / "odd.jsonl"), "--no-report", "--tokenizer", "nowhere.json")
    assert told.code == 2
    assert "--tokenizer nowhere.json" in told.message
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith(".partial")]


def test_a_worker_that_is_killed_is_told_in_one_line_and_nothing_stays(epiverb, tmp_path, two, monkeypatch):
    place = workers.Worker._place

    def killed(self, raw):
        os.kill(self._process.pid, signal.SIGKILL)
        return place(self, raw)

    monkeypatch.setattr(workers.Worker, "_place", killed)
    told = epiverb("analyze", TRACES[0], "--no-report", "--out", "run")
    assert told.code == 2
    assert "worker process was ended from outside (Killed)" in told.message
    assert os.listdir(tmp_path) == []
    assert all(worker._process.returncode is not None for worker in two)


def test_workers_end_with_their_starter(tmp_path):
    """Also where that has no chance to tell them."""
    code = (
        "import sys, time\nfrom epiverb.configs.analyze import AnalyzeConfig\nfrom epiverb.verbs.workers import Workers\n"
        "print(*[w._process.pid for w in Workers(AnalyzeConfig(('x',)), 2)._all], flush=True)\ntime.sleep(60)"
    )
    starter = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    pids = starter.stdout.readline().split()
    assert len(pids) == 2
    starter.kill()
    starter.wait()
    starter.stdout.close()
    deadline = time.monotonic() + 120
    while any(_runs(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _runs(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("settings", [{"limit": 3}, {"sources": ("-",)}, {"sources": ("missing.jsonl",)}])
def test_no_workers_where_they_do_not_pay(two, settings):
    assert workers.wanted(AnalyzeConfig(**{"sources": (str(TRACES[0]),), **settings})) == 0


def test_errors_come_through_a_pipe_whole():
    import pickle

    for error in (MissingExtra("tokenizers", "tokens"), EngineError("gone.")):
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is type(error)
        assert str(again) == str(error)
