"""Steps carried out as processes of their own, some at a time, so that the same command goes on after any kill.

A step's command is written down before it starts and marked done behind its end; a step that was stopped between is given
the same command, which every command of epiverb continues. Failed steps hold up what needs them, nothing else.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from epiverb.errors import ConfigError, Stopped
from epiverb.lab.claims.plan import Step, here

Progress = Callable[["State"], None]
LOG_TAIL = 4000


@dataclass
class State:
    """How far the steps are."""

    total: int
    done: int = 0
    running: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    """Key of a step -> the last line of what it said."""
    seconds_left: float | None = None


@dataclass
class _Process:
    step: Step
    handle: subprocess.Popen[bytes]
    log: Any
    begun: float


def record(out: Path, step: Step) -> dict[str, Any]:
    """What is written down of a step: its command, and its seconds when it is done; empty: it has not begun."""
    file = out / f"{step.key}.json"
    return json.loads(file.read_text("utf-8")) if file.is_file() else {}


def _write(out: Path, step: Step, **more: Any) -> None:
    file = out / f"{step.key}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    scratch = file.with_suffix(".partial")
    scratch.write_text(json.dumps({"command": str(step), **more}, indent=1) + "\n", "utf-8")
    os.replace(scratch, file)


def is_done(out: Path, step: Step) -> bool:
    """Whether a step need not be carried out; one whose run is whole was killed before it could say so."""
    told = record(out, step)
    whole = step.makes and (out / step.key / "run.json").is_file()
    return told.get("command") == str(step) and ("seconds" in told or whole)


def clear(out: Path, steps: Sequence[Step], *, overwrite: bool) -> None:
    """Make way for steps whose command has changed, and for all that took from them.

    Raises:
        ConfigError: there are some, and they are not to be replaced.
    """
    stale: set[str] = set()
    for step in steps:
        told = record(out, step)
        if (told and told["command"] != str(step)) or stale & set(step.needs):
            if not overwrite and step.key not in stale and told:
                raise ConfigError(
                    f"{out / step.key}: was made by another command ({told['command']}). "
                    "Choose another --out, or pass --overwrite to make it and what follows from it anew."
                )
            stale.add(step.key)
    for step in steps:
        if step.key in stale:
            (out / f"{step.key}.json").unlink(missing_ok=True)
            if step.makes:
                shutil.rmtree(out / step.key, ignore_errors=True)


def carry_out(steps: Sequence[Step], out: Path, jobs: int, progress: Progress | None = None) -> State:
    """All steps that are not done, up to `jobs` at a time; what could not be done is in `failed`.

    Raises:
        Stopped: Ctrl-C; what is done is kept.
    """
    waiting = [step for step in steps if not is_done(out, step)]
    state = State(len(steps), len(steps) - len(waiting))
    clock, running = _Clock(steps, out, jobs), list[_Process]()
    try:
        while waiting or running:
            _start(waiting, running, out, jobs, state)
            state.running = [one.step.key for one in running]
            state.seconds_left = clock.left(waiting, running)
            if progress:
                progress(state)
            if not running and waiting:
                break  # what is left waits for what has failed
            time.sleep(0.1)
            for one in [one for one in running if one.handle.poll() is not None]:
                running.remove(one)
                _end(one, out, state, clock)
    except KeyboardInterrupt:
        for one in running:
            one.handle.terminate()
        for one in running:
            one.handle.wait()
        raise Stopped(
            f"stopped: {state.done} of {state.total} steps are done and kept in {out}; the same command goes on."
        ) from None
    for step in waiting:
        missed = next((key for key in step.needs if key in state.failed), None)
        state.failed.setdefault(step.key, f"needs {missed}")
    return state


def _start(waiting: list[Step], running: list[_Process], out: Path, jobs: int, state: State) -> None:
    """Start the first steps that wait for nothing."""
    undone = {step.key for step in waiting} | {one.step.key for one in running} | set(state.failed)
    for step in list(waiting):
        if len(running) >= jobs:
            return
        if any(key in undone for key in step.needs):
            continue
        waiting.remove(step)
        try:
            running.append(_begun(step, out))
        except ConfigError as error:
            state.failed[step.key] = str(error)


def _begun(step: Step, out: Path) -> _Process:
    _write(out, step)
    log = (out / f"{step.key}.log").open("ab")
    starter = step.launch and tuple(here(word, out) for word in step.launch)
    command = [*(starter or (sys.executable, "-m", "epiverb.lab.claims.child")), *(here(w, out) for w in step.words)]
    root = str(Path(__file__).parents[3])  # a checkout is not always installed
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "EPIVERB_PARENT": str(os.getpid()), "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    # Ctrl-C is for the command that waits; it ends its processes itself.
    handle = subprocess.Popen(
        command, cwd=out, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
    )
    return _Process(step, handle, log, time.monotonic())


def _end(one: _Process, out: Path, state: State, clock: _Clock) -> None:
    one.log.close()
    if one.handle.returncode == 0:
        seconds = round(time.monotonic() - one.begun, 1)
        _write(out, one.step, seconds=seconds)
        clock.add(one.step, seconds)
        state.done += 1
        return
    said = (out / f"{one.step.key}.log").read_bytes()[-LOG_TAIL:].decode("utf-8", "replace").strip().splitlines()
    state.failed[one.step.key] = said[-1] if said else f"ended with {one.handle.returncode}"


class _Clock:
    """Time left, from what like steps took: the same step with another seed, else the same command, else any."""

    def __init__(self, steps: Sequence[Step], out: Path, jobs: int) -> None:
        self.jobs = jobs
        self.took: dict[tuple[str, ...], list[float]] = {}
        for step in steps:
            if (seconds := record(out, step).get("seconds")) is not None:
                self.add(step, seconds)

    def add(self, step: Step, seconds: float) -> None:
        """Learn from a step that is done."""
        for kind in self._kinds(step):
            self.took.setdefault(kind, []).append(seconds)

    def left(self, waiting: Sequence[Step], running: Sequence[_Process]) -> float | None:
        """Seconds; None: nothing is known yet."""
        if not self.took:
            return None
        now = time.monotonic()
        rest = [max(self._expected(one.step) - (now - one.begun), 0.0) for one in running]
        return (sum(map(self._expected, waiting)) + sum(rest)) / self.jobs

    def _expected(self, step: Step) -> float:
        times = next(self.took[kind] for kind in self._kinds(step) if kind in self.took)
        return sum(times) / len(times)

    @staticmethod
    def _kinds(step: Step) -> tuple[tuple[str, ...], ...]:
        return ((step.arm, step.name), step.words[:2] if step.words[0] == "train" else step.words[:1], ())
