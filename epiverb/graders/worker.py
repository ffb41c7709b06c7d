"""What runs in the worker processes of `workers.py`: jobs to outcomes, a line of JSON each, on a pair of pipes a lane.

Imported by a fresh interpreter, so it imports nothing but the standard library and what the jobs need.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from typing import Any

RECURSION = 3000
"""Depth at which a nested answer is given up with an error; the stack of the main thread holds many times that."""
WALL = 5
"""The limit is on processor time, so that a busy machine changes no verdict; so many times it is the limit on the clock."""
TIMERS = (signal.SIGPROF, signal.SIGALRM)

Lane = tuple[int, int]
"""File descriptors: jobs are read from the first, outcomes are written to the second."""


def main(target: str, limit: str, memory: str, lanes: str) -> None:
    """Keep a child at work on each lane until all lanes have ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    module, _, name = target.partition(":")
    function = getattr(importlib.import_module(module), name)
    pairs: list[Lane] = [(jobs, answers) for jobs, answers in json.loads(lanes)]

    def child(lane: Lane) -> int:
        pid = os.fork()
        if pid == 0:
            for end in {end for pair in pairs for end in pair} - set(lane):
                os.close(end)
            serve(function, float(limit), int(memory), lane)
            os._exit(0)
        return pid

    running = {child(lane): lane for lane in pairs}
    while running:
        pid, status = os.wait()
        lane = running.pop(pid)
        if status != 0:
            # The child died of its job. It reads one line at a time and is sent one at a time, so none is lost.
            _answer(lane, failure=_cause(status))
            running[child(lane)] = lane


def serve(function: Callable[..., Any], limit: float, memory: int, lane: Lane) -> None:
    """The child: do jobs until they end or one of them ends the child."""
    for timer in TIMERS:
        signal.signal(timer, signal.SIG_DFL)
    sys.setrecursionlimit(RECURSION)
    if sys.platform == "linux":  # macOS knows the limit and does not hold it
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with open(lane[0], "rb") as jobs:
        while line := jobs.readline():
            signal.setitimer(signal.ITIMER_PROF, limit)
            signal.setitimer(signal.ITIMER_REAL, WALL * limit)
            try:
                value, failure = function(*json.loads(line)), None
            except MemoryError:
                value, failure = None, "memory limit"
            except BaseException as error:  # SystemExit too: a lane must answer
                value, failure = None, f"{type(error).__name__} in the grader"
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.setitimer(signal.ITIMER_REAL, 0)
            _answer(lane, value, failure)


def _answer(lane: Lane, value: Any = None, failure: str | None = None) -> None:
    rest = memoryview(json.dumps({"value": value, "failure": failure}).encode() + b"\n")
    while rest:
        rest = rest[os.write(lane[1], rest) :]


def _cause(status: int) -> str:
    if not os.WIFSIGNALED(status):
        return f"its worker exited with {os.WEXITSTATUS(status)}"
    killer = os.WTERMSIG(status)
    if killer in TIMERS:
        return "time limit"
    return "memory limit" if killer == signal.SIGKILL else f"its worker was ended by signal {killer}"
