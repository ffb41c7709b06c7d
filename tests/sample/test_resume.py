"""Nothing is lost and nothing doubled: killed, stopped, full disks, two commands at once."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from epiverb.cli import main
from epiverb.run import Run
from epiverb.verbs.sampling.store import Store, differences, locked, opened

KEY = ["condition", "problem_id", "sample", "response", "finish_reason"]
FLAGS = (
    "-n", "8", "--temperature", "1", "--top-k", "0", "--top-p", "1", "--max-tokens", "40", "--context", "none", "--context", "answer",
    "--no-report", "--draws", "100", "--engine-option", "batch_tokens=800", "--logprobs", "0",
)  # fmt: skip


def command(model, problems, out, *more):
    code = "from epiverb.cli import main; main()"
    return [sys.executable, "-c", code, "sample", "-m", str(model), "-d", str(problems), "-o", str(out), *FLAGS, *more]


def start(*args, **options):
    return subprocess.Popen(command(*args), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **options)


def rows(out):
    return (
        Run(out).scan("traces").select("condition", "problem_id", "sample", "response", "correct", "n_tokens").collect()
    )


@pytest.fixture(scope="module")
def whole(model, problems, tmp_path_factory):
    """The same job, undisturbed."""
    out = tmp_path_factory.mktemp("whole") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["epiverb", *command(model, problems, out)[3:], "--quiet"])
        with pytest.raises(SystemExit) as end:
            main()
    assert end.value.code == 0
    return out


def parts(out):
    return list((out / "parts" / "traces").glob("[0-9]*.parquet"))


def test_killed_at_any_moment_it_goes_on(epiverb, model, problems, whole, tmp_path):
    """Killed once its first samples are there, then at random moments, also while it starts or finishes."""
    out, rng, kills = tmp_path / "run", random.Random(20261125), 0
    for wait in (0, rng.uniform(0, 1.0)):
        before = len(parts(out))
        process = start(model, problems, out)
        while process.poll() is None and len(parts(out)) <= before:
            time.sleep(0.01)
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if (out / "run.json").exists():
            break
        kills += 1
        kept = Store(out).scan().select(KEY).collect()
        assert len(kept) > 0
        assert kept.select(KEY[:3]).n_unique() == len(kept)
    assert kills >= 1
    end = epiverb("sample", "-m", model, "-d", problems, "-o", out, *FLAGS)
    assert end.code == 0, end.err
    assert rows(out).equals(rows(whole))
    tokens = [Run(path).scan("tokens").drop("logprob").sort("trace_id", "position").collect() for path in (out, whole)]
    assert tokens[0].equals(tokens[1])
    assert {path.name for path in out.iterdir()} == {path.name for path in whole.iterdir()}


def test_ctrl_c_says_how_to_go_on(epiverb, model, problems, whole, tmp_path):
    out = tmp_path / "run"
    process = start(model, problems, out)
    while process.poll() is None and not parts(out):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    if process.returncode == 0 or (out / "run.json").is_file():
        pytest.skip("it was done before it was stopped")
    assert process.returncode == 130
    last = err.strip().splitlines()[-1]
    kept = Store(out).scan().select(pl.len()).collect().item()
    assert last == f"epiverb: stopped: {kept} of 192 samples are kept in {out}; the same command continues."
    with pytest.raises(Exception, match="not finished"):
        Run(out)
    # Other settings are refused; its own go on, in this process as in another.
    flags = ("-m", model, "-d", problems, "-o", out, *FLAGS)
    other = epiverb("sample", *flags, "--seed", "1")
    assert other.code == 2
    assert "an unfinished run with other settings (decoding.seed 0, now 1)" in other.message
    assert len(Store(out).scan().collect()) == kept
    assert epiverb("sample", *flags).code == 0
    assert rows(out).equals(rows(whole))


def test_a_full_disk_stops_it_and_it_goes_on(epiverb, model, problems, whole):
    """No file may grow beyond a size: the first part of samples that does not fit ends the command."""
    flags = ("sample", "-m", model, "-d", problems, "-o", "run", *FLAGS)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4500, limits[1]))
    try:
        small = epiverb(*flags)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert small.code == 2
    assert "File too large" in small.message
    assert "the same command continues" in small.message
    assert not list(Path("run").rglob("*.partial"))
    assert epiverb(*flags).code == 0
    assert rows("run").equals(rows(whole))


def test_a_finished_run_is_left_as_it_is(epiverb, model, problems, whole):
    before = {path.name: path.stat().st_mtime_ns for path in whole.iterdir() if path.name != ".lock"}
    again = epiverb("sample", "-m", model, "-d", problems, "-o", whole, *FLAGS)
    assert again.code == 0, again.err
    assert {path.name: path.stat().st_mtime_ns for path in whole.iterdir() if path.name != ".lock"} == before
    other = epiverb("sample", "-m", model, "-d", problems, "-o", whole, *FLAGS, "--seed", 3)
    assert "holds another run (decoding.seed 0, now 3). Pass --overwrite" in other.message


def test_a_part_counts_when_its_traces_are_there(tmp_path):
    (tmp_path / "parts" / "traces").mkdir(parents=True)
    (tmp_path / "parts" / "tokens").mkdir()
    store = Store(tmp_path)
    from epiverb.io.raw import RAW

    row = {
        "trace_id": "a",
        "condition": "none",
        "benchmark": "b",
        "problem_id": "p",
        "sample": 0,
        "finish_reason": "stop",
    }
    store.add({"traces": pl.DataFrame([row], schema=RAW)})
    # As after a kill between two files: tokens of a part that has no traces.
    (tmp_path / "parts" / "tokens" / "00001.parquet").write_bytes(b"half")
    (tmp_path / "parts" / "traces" / "00001.partial").write_bytes(b"half")
    again = Store(tmp_path)
    assert again.files("tokens") == []
    assert again.done("none") == {("b", "p", 0)}
    again.add({"traces": pl.DataFrame([{**row, "sample": 1}], schema=RAW)})
    assert len(again.files("traces")) == 2
    assert again.done("none") == {("b", "p", 0), ("b", "p", 1)}


def test_failed_samples_are_drawn_again_and_counted_once(tmp_path):
    from epiverb.io.raw import RAW

    row = {
        "trace_id": "a",
        "condition": "none",
        "benchmark": "b",
        "problem_id": "p",
        "sample": 0,
        "finish_reason": "error",
    }
    store = Store(tmp_path)
    store.add({"traces": pl.DataFrame([row, {**row, "sample": 1}], schema=RAW)})
    assert store.done("none") == set()
    store.add({"traces": pl.DataFrame([{**row, "finish_reason": "stop"}, {**row, "sample": 1}], schema=RAW)})
    drawn = store.drawn().sort("sample").collect()
    assert drawn["finish_reason"].to_list() == ["stop", "error"]


def test_the_lock_goes_with_its_process(epiverb, model, problems, tmp_path):
    out = tmp_path / "run"
    code = f"""
import sys, time
from pathlib import Path
from epiverb.verbs.sampling.store import locked
with locked(Path({str(out)!r})):
    import subprocess
    subprocess.Popen(["sleep", "30"])  # what it started lives on
    print("held", flush=True)
    time.sleep(30)
"""
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    holder.stdout.readline()
    second = epiverb("sample", "-m", model, "-d", problems, "-o", out)
    assert second.code == 2
    assert second.message == (
        f"epiverb: {out}: another command is writing here (process {holder.pid}). "
        "Wait until it ends, or choose another --out."
    )
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with locked(out):
        pass


def test_a_folder_that_is_no_run_is_not_touched(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(Exception, match="is not a run folder"), opened(tmp_path, {"a": 1}, overwrite=True):
        pass
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_overwrite_continues_the_same_and_replaces_other_settings(tmp_path):
    from epiverb.io.raw import RAW

    out, row = tmp_path / "run", {"trace_id": "a", "condition": "c", "benchmark": "b", "problem_id": "p", "sample": 0}
    with opened(out, {"a": 1}, overwrite=False) as store:
        store.add({"traces": pl.DataFrame([row], schema=RAW)})
    with opened(out, {"a": 1}, overwrite=True) as store:
        assert len(store.scan().collect()) == 1
    with opened(out, {"a": 2}, overwrite=True) as store:
        assert len(store.scan().collect()) == 0


def test_differences_name_the_setting():
    before, now = {"a": {"t": 0.6, "k": 20}, "b": 1}, {"a": {"t": 0.7, "k": 20}, "b": 1, "c": None}
    assert differences(before, now) == ["a.t 0.6, now 0.7"]
    assert differences({"x": "y" * 100}, {"x": None})[0].endswith("..., now null")
    assert json.loads(json.dumps(before)) == before


def test_progress_tells_rate_and_time_left(monkeypatch):
    from epiverb.cli import sampling

    now = [100.0]
    monkeypatch.setattr(sampling.time, "monotonic", lambda: now[0])
    rate = sampling.Rate()
    rate.line("none", 40, 100, 0)  # forty were there already
    now[0] = 110.0
    assert rate.line("none", 60, 100, 5000) == "none: 60/100 samples, 500 tokens/s, 0:00:20 left"
    assert rate.line("none", 60, None, 5000) == "none: 60 samples, 500 tokens/s"
