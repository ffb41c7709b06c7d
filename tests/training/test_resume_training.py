"""A training that was killed or stopped goes on to the same weights; several processes are one."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import polars as pl
import pytest

from epiverb.run import Run
from epiverb.verbs.training.folder import broken, checkpoints, last_checkpoint
from tests.training.conftest import SMALL

pytest.importorskip("trl")
FLAGS = (*SMALL, "--steps", "4", "--mini-batch", "2", "--save-every", "1", "--teacher", "ema")
STEPS = 4


def arguments(model, problems, out, *more):
    return ["train", "sdpo", "-m", str(model), "-d", str(problems), "-o", str(out), *FLAGS, *more]


def start(*args):
    code = "from epiverb.cli import main; main()"
    return subprocess.Popen([sys.executable, "-c", code, *arguments(*args)], stderr=subprocess.PIPE, text=True)


def until(process, there):
    """Wait for something to be there while the process runs."""
    while process.poll() is None and not there():
        time.sleep(0.01)


def weights(out, step=STEPS):
    from safetensors.torch import load_file

    folder = checkpoints(out)[step]
    return {**load_file(folder / "model.safetensors"), "teacher": (folder / "teacher.pt").stat().st_size}


def same(one, other):
    assert one.keys() == other.keys()
    return all(a == b if isinstance(a, int) else a.equal(b) for a, b in ((one[name], other[name]) for name in one))


def rows(out):
    columns = ("trace_id", "step", "problem_id", "response", "reward")
    return Run(out).scan("traces").select(columns).sort("trace_id").collect()


def seen(out):
    """What the losses saw of tokens, by trace."""
    values = Run(out).scan("values").filter(pl.col("measure").str.starts_with("train/")).sort("trace_id", "measure")
    return values.collect()


@pytest.fixture(scope="module")
def whole(model, problems, tmp_path_factory):
    """The same training, undisturbed, in this process."""
    from epiverb.cli import main

    out = tmp_path_factory.mktemp("whole") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["epiverb", *arguments(model, problems, out), "--quiet"])
        with pytest.raises(SystemExit) as end:
            main()
    assert end.value.code in (0, None)
    return out


def test_killed_it_goes_on_to_the_same_weights(epiverb, model, problems, whole, tmp_path):
    """Killed in the middle of a batch: checkpoint-1 stands between its two steps."""
    out = tmp_path / "run"
    process = start(model, problems, out)
    until(process, lambda: 1 in checkpoints(out))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (out / "run.json").exists(), "it was done before it could be killed"
    with pytest.raises(Exception, match="not a run folder"):
        Run(out)
    # A checkpoint that was being written is none.
    half = out / "checkpoints" / "checkpoint-9"
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"half")
    assert half in broken(out)
    assert last_checkpoint(out).name in ("checkpoint-1", "checkpoint-2", "checkpoint-3")
    other = epiverb(*arguments(model, problems, out, "--seed", "1"))
    assert "an unfinished training with other settings (seed 0, now 1)" in other.message
    end = epiverb(*arguments(model, problems, out))
    assert end.code == 0, end.err
    assert "going on from checkpoint-" in end.err
    assert same(weights(out), weights(whole))
    assert not half.exists()
    assert rows(out).equals(rows(whole))
    assert seen(out).equals(seen(whole))


def test_ctrl_c_keeps_a_checkpoint_and_says_how_to_go_on(epiverb, model, problems, whole, tmp_path):
    out = tmp_path / "run"

    def press():
        while not (out / "metrics.jsonl").is_file():
            time.sleep(0.01)
        if getattr(signal.getsignal(signal.SIGINT), "__name__", "") == "asked":  # else it would end the tests
            os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press, daemon=True)
    thread.start()
    stopped = epiverb(*arguments(model, problems, out))
    thread.join()
    err = stopped.err
    assert stopped.code == 130, err
    last = stopped.message
    step = max(checkpoints(out))
    assert step < STEPS
    assert last == (
        f"epiverb: stopped behind step {step}. checkpoint-{step} is kept in {out}; the same command continues from it."
    )
    assert "stopping behind this step, with a checkpoint" in err
    assert epiverb(*arguments(model, problems, out)).code == 0
    assert same(weights(out), weights(whole))


def test_stopped_while_the_run_is_made_only_that_is_done_again(epiverb, model, problems, whole, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(whole, out)
    for name in ("run.json", "summary.json", "traces.parquet"):
        (out / name).unlink()
    before = weights(out)
    done = epiverb(*arguments(model, problems, out))
    assert done.code == 0, done.err
    assert "going on from checkpoint-4: 0 steps" in done.err
    assert same(weights(out), before)
    assert rows(out).equals(rows(whole))


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs Linux")
def test_two_processes_are_one_training(epiverb, model, problems, tmp_path):
    """accelerate launches it; each has half of the responses, the first one speaks, and the folder is a run."""
    out = tmp_path / "run"
    launch = [
        "-m",
        "accelerate.commands.launch",
        "--multi_gpu",
        "--num_processes",
        "2",
        "--num_machines",
        "1",
        "--mixed_precision",
        "no",
    ]
    launch += ["--dynamo_backend", "no", "--main_process_port", "0", "-m", "epiverb"]
    flags = ["train", "sdpo", "-m", str(model), "-d", str(problems), "-o", str(out), *SMALL, "--steps", "2"]
    flags += ["--probe", f"ood={problems}:3", "--json"]
    env = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([sys.executable, *launch, *flags], capture_output=True, text=True, env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1  # one document, of the first process
    assert done.stderr.count("step 2/2") == 1
    assert {path.name for path in (out / "rollouts").glob("step-*")} == {
        f"step-00000{step}-rank-{rank}.parquet" for step in (0, 1) for rank in (0, 1)
    }
    traces = Run(out).scan("traces").collect()
    assert (
        traces.filter(pl.col("condition") == "rollout").group_by("step", "problem_id").len()["len"].to_list() == [4] * 8
    )
    assert len(traces.filter(pl.col("condition") == "probe/ood")) == 6


@pytest.mark.parametrize("limit", [3_000, 100_000])
def test_a_full_disk_stops_it_and_it_goes_on(epiverb, model, problems, whole, tmp_path, limit):
    """No file may grow beyond a size: the record of a step, or a checkpoint, cannot be written."""
    out, before = tmp_path / "run", resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        full = epiverb(*arguments(model, problems, out))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert full.code == 2, full.err
    last = full.err.strip().splitlines()[-1]
    assert "File too large" in last or "the disk is full" in last
    assert last.endswith("There is no checkpoint yet; the same command begins again.")
    assert not (out / "run.json").exists()
    assert not checkpoints(out)
    if limit == 100_000:
        assert epiverb(*arguments(model, problems, out)).code == 0
        assert same(weights(out), weights(whole))
        assert rows(out).equals(rows(whole))
