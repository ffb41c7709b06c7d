"""`analyze --follow`: a job writes, the run follows, and is whole at any time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from epiverb.run import Run

ROOT = Path(__file__).parent.parent.parent


def dump(folder: Path, step: int, n: int = 8) -> None:
    """A file as verl writes one a step."""
    rows = [
        {
            "input": f"What is {i}+1?",
            "output": f"Wait, maybe {i + 1}. It is {i + 1}.",
            "score": 1.0,
            "step": step,
            "gts": str(i + 1),
        }
        for i in range(n)
    ]
    (folder / f"{step}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def command(*args: object) -> list[str]:
    code = "import sys; from epiverb.cli import main; main()"
    return [sys.executable, "-c", code, "analyze", *map(str, args)]


def until(condition, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)


def test_it_follows_and_ends_when_nothing_comes_any_more(epiverb, tmp_path):
    (tmp_path / "rollouts").mkdir()
    dump(tmp_path / "rollouts", 1)
    seen = set()

    def job() -> None:
        until(lambda: (tmp_path / "live" / "summary.json").is_file())
        dump(tmp_path / "rollouts", 2)
        with (tmp_path / "rollouts" / "1.jsonl").open("a") as file:  # a file that grows
            file.write(json.dumps({"input": "again?", "output": "Hmm, yes.", "score": 0.0, "step": 1}) + "\n")

    def reader() -> None:
        """Someone who reads the run all the time sees whole ones only."""
        while not done.is_set():
            time.sleep(0.01)
            try:
                text = (tmp_path / "live" / "summary.json").read_text("utf-8")
            except FileNotFoundError:
                continue
            seen.add(json.loads(text)["n_traces"])

    done = threading.Event()
    threads = [threading.Thread(target=job), threading.Thread(target=reader)]
    for thread in threads:
        thread.start()
    outcome = epiverb(
        "analyze",
        "rollouts",
        "--follow",
        "--every",
        0.2,
        "--until-idle",
        1.2,
        "--no-report",
        "--json",
        "--draws",
        100,
        "-o",
        "live",
    )
    done.set()
    for thread in threads:
        thread.join()
    assert outcome.code == 0, outcome.err
    assert outcome.json["n_traces"] == 17
    assert seen == {8, 17}
    assert "1 files, 8 traces, 100.0% right" in outcome.err
    assert "2 files, 17 traces, " in outcome.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["live", "rollouts"]
    once = epiverb("analyze", "rollouts", "--no-report", "--json", "--draws", 100, "-o", "once").json
    assert {**once, "run": "live"} == outcome.json


def test_it_waits_for_a_job_that_has_not_begun_and_ctrl_c_leaves_a_whole_run(tmp_path):
    process = subprocess.Popen(
        command("rollouts", "--follow", "--every", 0.2, "--no-report", "-o", "live"),
        cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    try:
        first = process.stderr.readline()
        (tmp_path / "rollouts").mkdir()
        dump(tmp_path / "rollouts", 1)
        until(lambda: (tmp_path / "live" / "run.json").is_file())
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 0, err
    assert "waiting: rollouts: no such file or folder" in first
    assert "stopped; live is whole" in err
    assert "8 of 8 problems" in out
    assert len(Run(tmp_path / "live").traces) == 8


def test_an_existing_folder_is_refused_as_ever_and_mistakes_end_it(epiverb, tmp_path):
    (tmp_path / "rollouts").mkdir()
    dump(tmp_path / "rollouts", 1)
    (tmp_path / "live").mkdir()
    (tmp_path / "live" / "thesis.txt").write_text("years of work")
    assert "exists already" in epiverb("analyze", "rollouts", "--follow", "-o", "live", "--no-report").message
    assert "unknown lexicon" in epiverb("analyze", "rollouts", "--follow", "-l", "nobody", "-o", "x").message
    assert "--follow: give local files" in epiverb("analyze", "-", "--follow").message
    assert (
        "no trace came in 0.5 s"
        in epiverb("analyze", "nowhere", "--follow", "--every", 0.1, "--until-idle", 0.5, "-q").message
    )


def test_dry_run_does_not_follow(epiverb, tmp_path):
    dump(tmp_path, 1)
    assert "verl" in epiverb("analyze", "1.jsonl", "--follow", "--dry-run").out


@pytest.mark.parametrize("seconds", [0, -1])
def test_every_has_to_be_a_time(epiverb, tmp_path, seconds):
    dump(tmp_path, 1)
    assert "--every in seconds above 0" in epiverb("analyze", "1.jsonl", "--follow", "--every", seconds).message
