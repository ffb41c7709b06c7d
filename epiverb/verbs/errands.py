"""Commands of epiverb that need each other, run in processes of their own, some at once; what is done is not done again.

A process each: it is what a user would type, its threads and memory are its own, and a killed one is continued by the same words.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from epiverb.errors import EngineError, Stopped

Told = Callable[[str, str, str], None]
"""Called with an errand's name, its state (`runs`, `done`, `failed`) and the last line that it said."""
DONE = "done.json"
EVERY = 0.2
"""Seconds between two looks at what runs."""


@dataclass(frozen=True)
class Errand:
    """One command."""

    name: str
    arguments: tuple[str, ...]
    """What stands behind `epiverb`."""
    needs: tuple[str, ...] = ()
    """Names of the errands that come first."""

    @property
    def command(self) -> str:
        """As one would type it."""
        import shlex

        return shlex.join(("epiverb", *self.arguments))

    @property
    def key(self) -> str:
        """Changes with the command."""
        return hashlib.sha256(json.dumps(self.arguments).encode()).hexdigest()[:16]


@dataclass
class _Running:
    errand: Errand
    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)
    """The last few lines of its stderr."""

    def listen(self) -> None:
        """Keep what it says, and drop all but the end."""
        for line in self.process.stderr or ():
            if line.strip():
                self.lines.append(line.strip())
                del self.lines[:-20]


def run(errands: Sequence[Errand], folder: Path, *, jobs: int = 2, told: Told | None = None) -> None:
    """Run all that is not done yet; which are done is kept in `folder/done.json`.

    Raises:
        EngineError: one of them failed: its own words, and the command. What is done stays done.
        Stopped: Ctrl-C; the same call continues.
    """
    folder.mkdir(parents=True, exist_ok=True)
    done = _read(folder)
    waiting = [errand for errand in errands if done.get(errand.name) != errand.key]
    finished = {errand.name for errand in errands if done.get(errand.name) == errand.key}
    running: list[_Running] = []
    try:
        while waiting or running:
            for errand in [one for one in waiting if finished.issuperset(one.needs)][: max(jobs - len(running), 0)]:
                waiting.remove(errand)
                running.append(_start(errand))
            for one in list(running):
                if told:
                    told(one.errand.name, "runs", one.lines[-1] if one.lines else "begins")
                if one.process.poll() is None:
                    continue
                running.remove(one)
                if one.process.returncode:
                    raise EngineError(f"{one.errand.name}: {_reason(one)} The command was: {one.errand.command}")
                finished.add(one.errand.name)
                done[one.errand.name] = one.errand.key
                _write(folder, done)
                if told:
                    told(one.errand.name, "done", "")
            time.sleep(EVERY)
    except KeyboardInterrupt:
        raise Stopped(
            f"stopped: {len(finished)} of {len(errands)} commands are done; the same command goes on."
        ) from None
    finally:
        _end(running)


def _start(errand: Errand) -> _Running:
    # Tiny matrices are slower on many threads than on one, and several commands share the cores.
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "epiverb", *errand.arguments],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace",
        env=environment, start_new_session=True,
    )  # fmt: skip
    running = _Running(errand, process)
    threading.Thread(target=running.listen, daemon=True).start()
    return running


def _reason(one: _Running) -> str:
    """Its last word, which for epiverb's own errors is the error."""
    last = one.lines[-1].removeprefix("epiverb: ") if one.lines else ""
    return last or f"ended with exit code {one.process.returncode} and without a word."


def _end(running: Sequence[_Running]) -> None:
    """Interrupt what still runs, as Ctrl-C would, and wait; what does not heed it is killed."""
    for one in running:
        if one.process.poll() is None:
            os.killpg(one.process.pid, signal.SIGINT)
    for one in running:
        try:
            one.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(one.process.pid, signal.SIGKILL)
            one.process.wait()


def _read(folder: Path) -> dict[str, str]:
    try:
        return json.loads((folder / DONE).read_text("utf-8"))
    except FileNotFoundError:
        return {}


def _write(folder: Path, done: dict[str, str]) -> None:
    scratch = folder / f"{DONE}.partial"
    scratch.write_text(json.dumps(done, indent=1) + "\n", "utf-8")
    os.replace(scratch, folder / DONE)
