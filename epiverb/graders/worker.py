"""What runs in a worker process of `workers.py`: jobs from stdin to outcomes on stdout, a line of JSON each.

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
from typing import Any, BinaryIO

RECURSION = 3000
"""Depth at which a nested answer is given up with an error; the stack of the main thread holds many times that."""


def main(target: str, limit: str, memory: str) -> None:
    """Serve jobs until stdin ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not come between the answers
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    module, _, name = target.partition(":")
    function = getattr(importlib.import_module(module), name)
    while True:
        child = os.fork()
        if child == 0:
            serve(function, float(limit), int(memory), answers)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0:
            return
        # The child died of its job. It reads one line at a time and is sent one at a time, so none is lost.
        _answer(answers, failure=_cause(status))


def serve(function: Callable[..., Any], limit: float, memory: int, answers: BinaryIO) -> None:
    """The child: do jobs until stdin ends or one of them ends the child."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    sys.setrecursionlimit(RECURSION)
    if sys.platform == "linux":  # macOS knows the limit and does not hold it
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    while line := sys.stdin.buffer.readline():
        signal.setitimer(signal.ITIMER_REAL, limit)
        try:
            value, failure = function(*json.loads(line)), None
        except MemoryError:
            value, failure = None, "memory limit"
        except Exception as error:
            value, failure = None, f"{type(error).__name__} in the grader"
        signal.setitimer(signal.ITIMER_REAL, 0)
        _answer(answers, value, failure)


def _answer(answers: BinaryIO, value: Any = None, failure: str | None = None) -> None:
    answers.write(json.dumps({"value": value, "failure": failure}).encode() + b"\n")
    answers.flush()


def _cause(status: int) -> str:
    if not os.WIFSIGNALED(status):
        return f"its worker exited with {os.WEXITSTATUS(status)}"
    killer = os.WTERMSIG(status)
    if killer == signal.SIGALRM:
        return "time limit"
    return "memory limit" if killer == signal.SIGKILL else f"its worker was ended by signal {killer}"
