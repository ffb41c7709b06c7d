"""What runs in the worker processes of `workers.py`: jobs to outcomes, a line of JSON each, on a pair of pipes a lane.

Imported by a fresh interpreter, so it imports nothing but the standard library and what the jobs need.
"""

from __future__ import annotations

import importlib
import json
import mmap
import os
import resource
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

RECURSION = 3000
"""Depth at which a nested answer is given up with an error; the stack of the main thread holds many times that."""
WALL = 5
"""The limit is on processor time, so that a busy machine changes no verdict; so many times it is the limit on the clock."""
TIMERS = (signal.SIGPROF, signal.SIGALRM)


@dataclass(frozen=True)
class Lane:
    """Where one child gets its jobs, and where it says what it is doing."""

    jobs: int
    """File descriptor; a line is a number and the arguments."""
    answers: int
    """File descriptor; a line is the number, the value and the failure."""
    state: mmap.mmap
    """Shared with the parent: the number of the job that is being done, 0 for none."""


def main(target: str, limit: str, memory: str, lanes: str) -> None:
    """Keep a child at work on each lane until all lanes have ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ours = os.getpid()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit() if os.getpid() == ours else os._exit(1))
    module, _, name = target.partition(":")
    function = getattr(importlib.import_module(module), name)
    pairs = [Lane(jobs, answers, mmap.mmap(-1, 8)) for jobs, answers in json.loads(lanes)]

    def child(lane: Lane) -> int:
        pid = os.fork()
        if pid == 0:
            for other in pairs:
                if other is not lane:
                    os.close(other.jobs)
                    os.close(other.answers)
            serve(function, float(limit), int(memory), lane)
            os._exit(0)
        return pid

    running = {child(lane): lane for lane in pairs}
    try:
        while running:
            pid, status = os.wait()
            lane = running.pop(pid)
            if status != 0:
                # It died of the job it was at. Number 0: of none, but it may have taken one from the pipe as it died.
                _answer(lane, int.from_bytes(lane.state[:], "big"), failure=_cause(status))
                lane.state[:] = bytes(8)
                running[child(lane)] = lane
    except SystemExit:  # told to end: the children first, or they would be left to an init that may not wait for them
        for pid in running:
            os.kill(pid, signal.SIGKILL)
        for pid in running:
            os.waitpid(pid, 0)


def serve(function: Callable[..., Any], limit: float, memory: int, lane: Lane) -> None:
    """The child: do jobs until they end or one of them ends the child."""
    for timer in TIMERS:
        signal.signal(timer, signal.SIG_DFL)
    sys.setrecursionlimit(RECURSION)
    if sys.platform == "linux":  # macOS knows the limit and does not hold it
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with open(lane.jobs, "rb") as jobs:
        while line := jobs.readline():
            job, arguments = json.loads(line)
            lane.state[:] = job.to_bytes(8, "big")
            signal.setitimer(signal.ITIMER_PROF, limit)
            signal.setitimer(signal.ITIMER_REAL, WALL * limit)
            try:
                value, failure = function(*arguments), None
            except MemoryError:
                value, failure = None, "memory limit"
            except BaseException as error:  # SystemExit too: a lane must answer
                value, failure = None, f"{type(error).__name__} in the grader"
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.setitimer(signal.ITIMER_REAL, 0)
            _answer(lane, job, value, failure)
            lane.state[:] = bytes(8)


def _answer(lane: Lane, job: int, value: Any = None, failure: str | None = None) -> None:
    rest = memoryview(json.dumps([job, value, failure]).encode() + b"\n")
    while rest:
        rest = rest[os.write(lane.answers, rest) :]


def _cause(status: int) -> str:
    if not os.WIFSIGNALED(status):
        return f"its worker exited with {os.WEXITSTATUS(status)}"
    killer = os.WTERMSIG(status)
    if killer in TIMERS:
        return "time limit"
    return "memory limit" if killer == signal.SIGKILL else f"its worker was ended by signal {killer}"
