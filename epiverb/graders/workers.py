"""Worker processes whose every job has a real time limit: a job that hangs is killed by the kernel, wherever it hangs.

The workers are children of one Python process of its own, not forks of ours, fed a line of JSON a job: nothing is pickled,
`__main__` is not imported again, and it works from any thread, in notebooks and under pytest. That process imports what
the jobs need once and forks a child a lane (`worker.py`). Before each job a child arms a timer whose signal it does not
handle, so that the time limit needs neither Python's interpreter lock nor us: it also ends a job whose caller was killed.
What died is replaced by another fork, in milliseconds.
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
from epiverb.graders.worker import WALL

START = "import sys, json; sys.path[:] = json.loads(sys.argv[1]); from epiverb.graders.worker import main; main(*sys.argv[2:])"
GRACE = 60.0
"""Seconds beyond the limit on the clock after which a lane is given up: a cold start on a busy machine takes ten."""


@dataclass(frozen=True)
class Outcome:
    """What became of one job."""

    value: Any
    """What the function returned, through JSON; None where it failed."""
    failure: str | None = None
    """Why there is no value: `time limit`, `memory limit`, or the error."""


class Lane:
    """The two pipes of one worker: jobs in, answers out."""

    def __init__(self) -> None:
        self.theirs_in, self.jobs = os.pipe()
        self.answers, self.theirs_out = os.pipe()
        self.deadline = 0.0
        self._number = 0
        self._sent = b""
        self._answer = bytearray()

    def send(self, arguments: Sequence[Any], limit: float) -> bool:
        """Begin a job; False: the worker is gone."""
        self.deadline = time.monotonic() + WALL * limit + GRACE
        self._number += 1
        self._sent = json.dumps([self._number, arguments]).encode() + b"\n"
        return self._send()

    def _send(self) -> bool:
        rest = memoryview(self._sent)
        try:
            while rest:
                rest = rest[os.write(self.jobs, rest) :]
        except OSError:
            return False
        return True

    def receive(self) -> Outcome | None:
        """The outcome, None while only a part of it has come; raises `EOFError` where the worker is gone."""
        chunk = os.read(self.answers, 1 << 16)
        if not chunk:
            raise EOFError
        self._answer += chunk
        *lines, self._answer = self._answer.split(b"\n")
        for number, value, failure in map(json.loads, lines):
            if number == self._number:  # not a second answer to the job before
                return Outcome(value, failure)
            if number == 0 and not self._send():  # a worker was killed between jobs; ours may have gone with it
                raise EOFError
        return None


class Workers:
    """Workers for one function, started when there are jobs for them and kept until the end.

    Args:
        target: the function, as `"module:attribute"`; called in a worker with the arguments of a job.
        limit: seconds of processor time that one job may take; five times as many on the clock.
        memory: bytes of address space of a worker.
        count: None: one for each processor we may use, at most eight.
    """

    def __init__(self, target: str, *, limit: float, memory: int = 3 << 30, count: int | None = None) -> None:
        self.target, self.limit, self.memory = target, limit, memory
        self.count = count or min(available_processors(), 8)
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._lanes: list[Lane] = []
        self._proven = False
        self._owner = os.getpid()
        atexit.register(self.close)

    def map(self, jobs: Sequence[Sequence[Any]]) -> list[Outcome]:
        """The outcome of each job, in their order; callers in several threads wait for each other.

        Raises:
            GradingError: the workers cannot be started.
        """
        if not hasattr(os, "fork"):
            raise GradingError("grading in worker processes needs Linux or macOS.")
        outcomes: dict[int, Outcome] = {}
        with self._lock:
            if self._owner != os.getpid():  # we are a fork: the workers belong to our parent
                self._process, self._lanes, self._owner = None, [], os.getpid()
            try:
                while len(outcomes) < len(jobs):
                    self._start()
                    self._run(jobs, outcomes)
            except BaseException:  # Ctrl-C too: what a worker would still answer is nobody's
                self._close()
                raise
        return [outcomes[job] for job in range(len(jobs))]

    def _run(self, jobs: Sequence[Sequence[Any]], outcomes: dict[int, Outcome]) -> None:
        """Fill `outcomes` until all jobs are done or a lane is lost, which ends all lanes and costs one job its outcome."""
        waiting = [job for job in reversed(range(len(jobs))) if job not in outcomes]
        busy: dict[int, Lane] = {}
        idle = list(self._lanes)
        with selectors.DefaultSelector() as selector:
            while waiting or busy:
                while waiting and idle:
                    job, lane = waiting.pop(), idle.pop()
                    busy[job] = lane
                    selector.register(lane.answers, selectors.EVENT_READ, job)
                    if not lane.send(jobs[job], self.limit):
                        return self._lost(job, outcomes)
                late = min(lane.deadline for lane in busy.values()) - time.monotonic()
                ready = [key.data for key, _ in selector.select(max(late, 0))]
                if not ready and late <= 0:
                    return self._lost(min(busy, key=lambda job: busy[job].deadline), outcomes)
                for job in ready:
                    try:
                        outcome = busy[job].receive()
                    except EOFError:
                        return self._lost(job, outcomes)
                    if outcome is not None:
                        self._proven, outcomes[job] = True, outcome
                        selector.unregister(busy[job].answers)
                        idle.append(busy.pop(job))
        return None

    def _lost(self, job: int, outcomes: dict[int, Outcome]) -> None:
        """Give up one job, and all lanes with it."""
        proven = self._proven
        self._close()
        if not proven:
            name = self.target.partition(":")[0]
            raise GradingError(f"the workers of {name} ended before their first answer. Try: python -c 'import {name}'")
        outcomes[job] = Outcome(None, "its worker ended")

    def _start(self) -> None:
        if self._process is not None:
            return
        self._lanes, self._proven = [Lane() for _ in range(self.count)], False
        theirs = [(lane.theirs_in, lane.theirs_out) for lane in self._lanes]
        path = json.dumps([os.path.abspath(entry) for entry in sys.path])
        settings = (self.target, str(self.limit), str(self.memory), json.dumps(theirs))
        # A session of its own: Ctrl-C is for us alone, and all workers can be killed as one.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", START, path, *settings], start_new_session=True,
            pass_fds=[end for pair in theirs for end in pair],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        for pair in theirs:
            for end in pair:
                os.close(end)

    def close(self) -> None:
        """End all workers, none of which stays as a zombie; they are started again when there is another job."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._process is not None and self._owner == os.getpid():
            self._process.terminate()  # it ends its children, and waits for them
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
            for lane in self._lanes:
                os.close(lane.jobs)
                os.close(lane.answers)
        self._process, self._lanes = None, []


def available_processors() -> int:
    """Processors that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
