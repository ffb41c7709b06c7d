"""Workers under jobs that hang, die, eat memory; called from threads; their caller stopped or killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from epiverb.errors import GradingError
from epiverb.graders import Task
from epiverb.graders.math import MathGrader
from epiverb.graders.workers import Workers


@pytest.fixture
def workers(request):
    made = Workers(request.param, limit=0.4, memory=1 << 30, count=2)
    yield made
    made.close()


def target(name: str):
    return pytest.mark.parametrize("workers", [name], indirect=True)


@target("builtins:pow")
def test_hang_that_holds_the_interpreter_lock_is_ended_and_the_rest_goes_on(workers):
    start = time.monotonic()
    outcomes = workers.map([(2, 3), (7, 10**9), (3, 10**9), (2, 5), (2, 7)])
    assert [outcome.value for outcome in outcomes] == [8, None, None, 32, 128]
    assert [outcome.failure for outcome in outcomes[1:3]] == ["time limit", "time limit"]
    assert time.monotonic() - start < 15
    assert workers.map([(2, 2)])[0].value == 4


@target("time:sleep")
def test_hang_that_uses_no_processor_is_ended(workers):
    start = time.monotonic()
    assert workers.map([(100,), (0,)])[0].failure == "time limit"
    assert time.monotonic() - start < 15


@pytest.mark.parametrize(
    ("workers", "job", "failure"),
    [
        ("builtins:bytearray", (8 << 30,), "memory limit"),
        ("builtins:int", ("x",), "ValueError in the grader"),
        ("json:loads", ("[" * 100_000,), "RecursionError in the grader"),
        ("sys:exit", (0,), "SystemExit in the grader"),
        ("os:_exit", (3,), "its worker exited with 3"),
        ("os:abort", (), "its worker was ended by signal 6"),
    ],
    indirect=["workers"],
)
def test_failures_are_told(workers, job, failure):
    assert [outcome.failure for outcome in workers.map([job, job, job])] == [failure] * 3


@target("builtins:len")
def test_big_jobs_and_strange_characters_pass_the_pipe(workers):
    texts = ["x" * 500_000, "\x00\n\r\u2028\ud800", ""]
    assert [outcome.value for outcome in workers.map([(text,) for text in texts])] == [500_000, 5, 0]


@target("builtins:abs")
def test_threads_take_turns(workers):
    found: dict[int, list[int]] = {}
    threads = [
        threading.Thread(target=lambda i=i: found.update({i: [o.value for o in workers.map([(-i,), (i,)])]}))
        for i in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {i: [i, i] for i in range(8)}


@target("os:getpid")
def test_a_worker_killed_between_jobs_costs_none(workers):
    for _ in range(5):
        first = workers.map([()])[0].value
        os.kill(first, signal.SIGKILL)
        outcomes = workers.map([()] * 4)
        assert [outcome.failure for outcome in outcomes] == [None] * 4
        assert all(outcome.value != first for outcome in outcomes)


@target("operator:neg")
def test_outcomes_stay_with_their_jobs_whatever_dies(workers):
    def kill_some():
        for _ in range(20):
            time.sleep(0.02)
            children = Path(f"/proc/{workers._process.pid}/task/{workers._process.pid}/children").read_text().split()
            for child in children[:1]:
                os.kill(int(child), signal.SIGKILL)

    workers.map([(1,)])
    killer = threading.Thread(target=kill_some)
    killer.start()
    for _ in range(30):
        outcomes = workers.map([(i,) for i in range(300)])
        assert all(outcome.value == -i or outcome.failure for i, outcome in enumerate(outcomes))
    killer.join()


def test_workers_that_cannot_start_are_told():
    with pytest.raises(GradingError, match="import no_such_module"):
        Workers("no_such_module:x", limit=1).map([()])


@target("os:getpid")
def test_nothing_is_left_behind(workers):
    pid = workers.map([()])[0].value
    supervisor = workers._process.pid
    workers.close()
    for gone in (pid, supervisor):
        with pytest.raises(ProcessLookupError):
            os.kill(gone, 0)
    assert workers.map([()])[0].value != pid


SCRIPT = """
from epiverb.graders.workers import Workers
import sys, os
workers = Workers("os:getpid" if sys.argv[1] == "idle" else "time:sleep", limit=1.0, count=1)
if sys.argv[1] == "idle":
    print(workers.map([()])[0].value, flush=True)
    sys.stdin.read()
else:
    import threading
    threading.Timer(3, lambda: print(workers._process.pid, flush=True)).start()
    workers.map([(60,)])
"""


@pytest.mark.parametrize(
    ("state", "end"), [("idle", signal.SIGKILL), ("busy", signal.SIGKILL), ("busy", signal.SIGINT)]
)
def test_workers_end_with_their_caller(state, end):
    caller = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, state], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    worker = int(caller.stdout.readline())
    caller.send_signal(end)
    caller.wait(20)
    deadline = time.monotonic() + 15
    while Path(f"/proc/{worker}").exists() and "State:\tZ" not in Path(f"/proc/{worker}/status").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)


HOSTILE = [
    "10^10^10", "10^{10^{10}}", "9**9**9**9", "9^{9^{9^{9}}}", "1000000!", r"\binom{10^9}{5 \cdot 10^8}", r"2^{2^{40}}", "(x+1)^{5000}",
    r"\frac{1}{" * 50 + "2" + "}" * 50, r"\sqrt{" * 60 + "2" + "}" * 60, "1" * 100_000, "{" * 30, "}" * 30, "\x00", "4\x002", "\ud800",
    "٤٢", "４２", "²", "１" * 900, "x+" * 400 + "1", "()" * 300, "1e999999999", "\\" * 501, "$" * 99, "<think>", "__import__('os')", "(" * 300,
    r"\prod_{n=1}^{100000000} n", r"\begin{pmatrix}" * 20, "\u202e42", "∞", "NaN", "0/0", r"\frac{0}{0}", "1/0", "=" * 200, "_" * 200, "^" * 200,
]  # fmt: skip


def test_a_thousand_hostile_answers_are_graded_in_bounded_time():
    bodies = [HOSTILE[i % len(HOSTILE)] + ("" if i < 500 else " ") for i in range(1000)]
    tasks = [Task((r"\boxed{" + body + "}") * (1 + i % 2), "42") for i, body in enumerate(bodies)]
    start = time.monotonic()
    grades = MathGrader(limit=0.2)(tasks)
    assert time.monotonic() - start < 60
    assert len(grades) == 1000
    assert all(grade.correct is not None or grade.reason for grade in grades)
    right = {bodies[i].strip() for i, grade in enumerate(grades) if grade.correct}
    assert right == {"٤٢", "４２", "\u202e42"}
    assert {grade.reason for grade in grades if grade.correct is None} >= {"time limit", "answer too long to parse"}
