"""Two processes do what one does: SDPO with a rank without demonstrations, groups spread over ranks, GRPO, resume."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.train.runs import gap, load
from tests.train.two_processes import RUNS, run

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """What two processes came to, connected by gloo."""
    out = tmp_path_factory.mktemp("pair")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": "1",
        "ACCELERATE_USE_CPU": "true",
    }
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.train.two_processes", str(out)],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=os.environ | shared | {"RANK": rank, "LOCAL_RANK": rank, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
        )
        for rank in ("0", "1")
    ]  # fmt: skip
    try:
        said = [process.communicate(timeout=300)[0] for process in started]
    finally:
        for process in started:
            process.kill()
    assert [process.returncode for process in started] == [0, 0], "\n".join(said)[-4000:]
    return [torch.load(out / f"rank-{rank}.pt") for rank in (0, 1)]


@pytest.mark.parametrize("name", RUNS)
def test_two_processes_are_one(tmp_path, pair, name):
    weights, log = run(name, tmp_path, 1)
    first, second = pair[0][name], pair[1][name]
    start = {name: p.detach() for name, p in load()[0].named_parameters()}
    assert gap(first[0], second[0]) == 0
    assert gap(weights, start) > 1e-3
    assert gap(weights, first[0]) < 1e-5
    for each, values in log.items():
        assert first[1][each] == pytest.approx(values, rel=1e-4, abs=1e-6), each


def test_two_processes_continue(pair):
    for found in pair:
        whole, rest = found["resumed"]
        assert gap(whole, rest) == 0


def test_a_sharded_teacher_is_a_whole_one(pair):
    """Under FSDP2: what it says, the student's gradient through the head, its update, its state in a checkpoint."""
    for found in pair:
        assert max(found["sharded"].values()) < 1e-5
