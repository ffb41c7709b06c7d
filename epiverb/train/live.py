"""The live view of a training: a small table on a terminal, plain lines where there is none. It writes where it is told to."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from typing import Any, TextIO

from epiverb.train import ranks
from epiverb.train.figures import FIGURES, Figure, figure, value_of

EVERY = 10.0
"""Seconds between two plain lines."""
KEPT = 60
"""Values that the trend shows."""
BARS = "▁▂▃▄▅▆▇█"


class Board:
    """What is known of a training so far: each figure's first value, its last and its course."""

    def __init__(self, clock: Any = time.monotonic) -> None:
        self.step, self.steps = 0, 0
        self.first: dict[str, float] = {}
        self.course: dict[str, deque[float]] = {}
        self.alarms: list[str] = []
        self._clock = clock
        self._times: deque[tuple[int, float]] = deque(maxlen=21)

    def take(self, step: int, steps: int, scalars: Mapping[str, Any]) -> None:
        """Take in one log."""
        self.step, self.steps = step, steps
        if not self._times or step > self._times[-1][0]:
            self._times.append((step, self._clock()))
        for name in self._names(scalars):
            known = figure(name)
            value = value_of(known, scalars) if known else None
            if value is not None:
                self.first.setdefault(name, value)
                self.course.setdefault(name, deque(maxlen=KEPT)).append(value)

    @staticmethod
    def _names(scalars: Mapping[str, Any]) -> list[str]:
        probes = dict.fromkeys(key.split("/")[2] for key in scalars if key.startswith("epiverb/probe/"))
        return [*FIGURES, *(f"probe/{probe}/{what}" for probe in probes for what in ("accuracy", "markers"))]

    def eta(self) -> float | None:
        """Seconds that the rest takes at the pace of the last steps; None before two are known."""
        if len(self._times) < 2:
            return None
        (first, begun), (last, now) = self._times[0], self._times[-1]
        return (now - begun) / (last - first) * max(self.steps - last, 0)

    def shown(self) -> list[tuple[str, Figure, float]]:
        """Name, figure and last value of all that is known."""
        return [
            (name, known, course[-1]) for name, course in self.course.items() if (known := figure(name)) is not None
        ]

    def line(self) -> str:
        """The state as one line."""
        parts = [f"step {self.step}/{self.steps}" if self.steps > 0 else f"step {self.step}"]
        parts += [f"{known.title} {known.show(value)}" for _, known, value in self.shown()]
        if (left := self.eta()) is not None and self.step < self.steps:
            parts.append(f"{duration(left)} left")
        return ", ".join(parts)

    def table(self) -> Any:
        """The state as a table for rich."""
        from rich.table import Table
        from rich.text import Text

        title = f"step {self.step} of {self.steps}" if self.steps > 0 else f"step {self.step}"
        if (left := self.eta()) is not None and self.step < self.steps:
            title += f", {duration(left)} left"
        table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="dim")
        for name in ("", "first", "now", "trend"):
            table.add_column(name, justify="left" if name in ("", "trend") else "right", no_wrap=True)
        for name, known, value in self.shown():
            table.add_row(known.title, known.show(self.first[name]), known.show(value), trend(list(self.course[name])))
        for alarm in self.alarms:
            table.caption = Text(alarm, "bold red")
        table.caption_justify = "left"
        return table


class View:
    """Shows a board on a stream: a listener of `Monitor.listen`.

    Args:
        stream: standard error, where the command line shows its progress.
    """

    def __init__(self, stream: TextIO) -> None:
        self.board = Board()
        self._stream = stream
        self._live: Any = None
        self._said = -EVERY

    def __call__(self, step: int, scalars: Mapping[str, Any], state: Any, control: Any = None) -> None:
        """Take in a log and show it, in the first process."""
        if ranks.rank() != 0:
            return
        self.board.take(step, getattr(state, "max_steps", 0), scalars)
        if self._stream.isatty():
            self._refresh()
        elif time.monotonic() - self._said >= EVERY or step >= self.board.steps > 0:
            self._said = time.monotonic()
            self._write(self.board.line())

    def say(self, message: str) -> None:
        """Show something that stays: an alarm, a note."""
        if ranks.rank() != 0:
            return
        if message.startswith("alarm"):
            self.board.alarms.append(message)
        if self._live is not None:
            self._live.console.print(message, markup=False, highlight=False)
        else:
            self._write(message)

    def end(self) -> None:
        """Leave the last state standing."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _write(self, text: str) -> None:
        self._stream.write(text + "\n")
        self._stream.flush()

    def _refresh(self) -> None:
        if self._live is None:
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(file=self._stream), refresh_per_second=4, redirect_stdout=False)
            self._live.start()
        self._live.update(self.board.table(), refresh=True)


def duration(seconds: float) -> str:
    """Seconds in words: `40 s`, `12 min`, `3 h 20 min`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def trend(values: list[float]) -> str:
    """A course as a row of bars, the lowest at its least value."""
    low, high = min(values), max(values)
    width = (high - low) or 1.0
    return "".join(BARS[min(int((value - low) / width * len(BARS)), len(BARS) - 1)] for value in values)
