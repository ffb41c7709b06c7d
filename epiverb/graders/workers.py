"""Worker processes whose every job has a real time limit: a job that hangs is killed by the kernel, wherever it hangs.

A worker is a Python process of its own, not a fork of ours, fed a line of JSON a job: nothing is pickled, `__main__` is
not imported again, and it works from any thread, in notebooks and under pytest. It imports what it needs once and then
forks a child that does the jobs (`worker.py`). Before each job the child arms a timer whose signal it does not handle, so
that the time limit needs neither Python's interpreter lock nor us: it also ends a job whose caller was killed. What died is
replaced by another fork, in milliseconds.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from epiverb.errors import GradingError

START = "import sys, json; sys.path[:] = json.loads(sys.argv[1]); from epiverb.graders.worker import main; main(*sys.argv[2:])"
GRACE = 20.0
"""Seconds beyond the limit after which a worker that did not answer is given up: a cold start takes two of them."""


@dataclass(frozen=True)
class Outcome:
    """What became of one job."""

    value: Any
    """What the function returned, through JSON; None where it failed."""
    failure: str | None = None
    """Why there is no value: `time limit`, `memory limit`, or the error."""


class Worker:
    """One worker process and its pipes."""

    def __init__(self, target: str, limit: float, memory: int) -> None:
        path = json.dumps([os.path.abspath(entry) for entry in sys.path])
        command = [sys.executable, "-I", "-c", START, path, target, str(limit), str(memory)]
        # A session of its own: Ctrl-C is for us alone, and the worker with all its children can be killed as one.
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.stdin, self.stdout = self.process.stdin, self.process.stdout
        self.deadline = 0.0
        self._answer = bytearray()

    def send(self, arguments: Sequence[Any], limit: float) -> bool:
        """Begin a job; False: the worker is gone."""
        self.deadline = time.monotonic() + limit + GRACE
        try:
            self.stdin.write(json.dumps(arguments).encode() + b"\n")
            self.stdin.flush()
        except OSError:
            return False
        return True

    def receive(self) -> Outcome | None:
        """The outcome, None while only a part of it has come. To be called when `stdout` can be read."""
        chunk = os.read(self.stdout.fileno(), 1 << 16)
        self._answer += chunk
        if chunk and not chunk.endswith(b"\n"):
            return None
        line, self._answer = bytes(self._answer), bytearray()
        return Outcome(**json.loads(line)) if line else Outcome(None, "its worker ended")

    def close(self) -> None:
        """Kill the worker with its children and wait for it, so that no zombie stays."""
        with contextlib.suppress(ProcessLookupError, PermissionError):  # it has ended by itself
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.stdout.close()
        with contextlib.suppress(OSError):  # what was not yet written has no reader
            self.stdin.close()


class Workers:
    """At most `count` workers for one function, started when there are jobs for them and kept until the end.

    Args:
        target: the function, as `"module:attribute"`; called in the worker with the arguments of a job.
        limit: seconds that one job may take.
        memory: bytes of address space of a worker.
        count: None: one for each processor we may use, at most eight.
    """

    def __init__(self, target: str, *, limit: float, memory: int = 3 << 30, count: int | None = None) -> None:
        self.target, self.limit, self.memory = target, limit, memory
        self.count = count or min(available_processors(), 8)
        self._lock = threading.Lock()
        self._workers: list[Worker] = []
        self._owner = os.getpid()
        atexit.register(self.close)

    def map(self, jobs: Sequence[Sequence[Any]]) -> list[Outcome]:
        """The outcome of each job, in their order; callers in several threads wait for each other."""
        if not hasattr(os, "fork"):
            raise GradingError("grading in worker processes needs Linux or macOS.")
        with self._lock:
            if self._owner != os.getpid():  # we are a fork: the workers belong to our parent
                self._workers, self._owner = [], os.getpid()
            try:
                return self._map(jobs)
            except BaseException:  # Ctrl-C too: what a worker would still answer is nobody's
                self._close()
                raise

    def _map(self, jobs: Sequence[Sequence[Any]]) -> list[Outcome]:
        outcomes: list[Outcome | None] = [None] * len(jobs)
        waiting = list(range(len(jobs)))[::-1]
        while len(self._workers) < min(self.count, len(jobs)):
            self._workers.append(Worker(self.target, self.limit, self.memory))
        busy: dict[int, Worker] = {}
        idle = list(self._workers)
        with selectors.DefaultSelector() as selector:
            while waiting or busy:
                while waiting and idle:
                    job, worker = waiting.pop(), idle.pop()
                    if worker.send(jobs[job], self.limit):
                        busy[job] = worker
                        selector.register(worker.stdout, selectors.EVENT_READ, job)
                    else:
                        waiting.append(job)
                        idle.append(self._replace(worker))
                for job, outcome in self._answers(selector, busy):
                    worker = busy.pop(job)
                    selector.unregister(worker.stdout)
                    outcomes[job] = outcome
                    idle.append(self._replace(worker) if outcome.failure == "its worker ended" else worker)
        return [outcome for outcome in outcomes if outcome is not None]

    def _answers(self, selector: selectors.BaseSelector, busy: dict[int, Worker]) -> list[tuple[int, Outcome]]:
        """The jobs that are done by now, waiting for at least one or for a deadline."""
        soonest = min(worker.deadline for worker in busy.values())
        done = []
        for key, _ in selector.select(max(soonest - time.monotonic(), 0)):
            outcome = busy[key.data].receive()
            if outcome is not None:
                done.append((key.data, outcome))
        late = {job for job, worker in busy.items() if worker.deadline < time.monotonic()} - {job for job, _ in done}
        return done + [(job, Outcome(None, "its worker ended")) for job in late]

    def _replace(self, worker: Worker) -> Worker:
        worker.close()
        self._workers.remove(worker)
        self._workers.append(Worker(self.target, self.limit, self.memory))
        return self._workers[-1]

    def close(self) -> None:
        """End all workers; they are started again when there is another job."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._owner == os.getpid():
            for worker in self._workers:
                worker.close()
        self._workers = []


def available_processors() -> int:
    """Processors that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
