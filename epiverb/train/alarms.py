"""Alarms: a figure that leaves its bounds is said once, marked in `metrics.jsonl`, and may stop the run.

    markers<0.5x             fewer than half of the markers that there were in the first steps
    length>2x  accuracy<0.3  in times of the first steps, or as they are (shares from 0 to 1)
    stop:probe/ood/accuracy<0.8x

A figure of the training is the mean of its last five logs, against the mean of the first five; one of a probe is that of the
last probe, against the first.
"""

from __future__ import annotations

import re
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from epiverb.errors import ConfigError, nearest
from epiverb.train import ranks, shards
from epiverb.train.figures import FIGURES, figure, value_of

WINDOW = 5
"""Logs whose mean is looked at."""
_FORM = re.compile(r"(stop:)?([\w./-]+)([<>])([\d.]+)(x?)")


@dataclass(frozen=True)
class Alarm:
    """A bound of one figure."""

    text: str
    """As the user wrote it."""
    name: str
    below: bool
    bound: float
    relative: bool
    """The bound is in times of the first steps."""
    stop: bool

    @property
    def window(self) -> int:
        """Values whose mean is looked at."""
        return 1 if self.name.startswith("probe/") else WINDOW


def parse(text: str) -> Alarm:
    """The alarm that `[stop:]FIGURE<VALUE[x]` asks for.

    Raises:
        ConfigError: it is not written so, or there is no such figure.
    """
    match = _FORM.fullmatch(text.replace(" ", ""))
    if match is None or not _is_number(match[4]):
        raise ConfigError(
            f"alarm {text!r}: not FIGURE<VALUE or FIGURE>VALUE, such as markers<0.5x or stop:finished<0.7."
        )
    if figure(match[2]) is None:
        raise ConfigError(
            f"alarm {text!r}: no figure {match[2]!r}.{nearest(match[2], [*FIGURES, 'probe/NAME/accuracy'])}"
        )
    return Alarm(text, match[2], match[3] == "<", float(match[4]), bool(match[5]), bool(match[1]))


def _is_number(text: str) -> bool:
    return text.count(".") <= 1 and text != "."


class Alarms:
    """Listens to the log of a training.

    Args:
        alarms: as `parse` takes them.
        out: the training's folder, whose `metrics.jsonl` is marked.
        say: told of each alarm, once, by the first process.
    """

    def __init__(self, alarms: Sequence[str], out: str | Path, say: Callable[[str], None] | None = None) -> None:
        self.alarms = tuple(parse(text) for text in alarms)
        self.out, self.say = Path(out), say
        self.raised: list[str] = []
        """What has been said so far, in this run or before a resume."""
        self._clear()

    def _clear(self) -> None:
        self._first: dict[str, list[float]] = defaultdict(list)
        self._last: dict[str, deque[float]] = {a.text: deque(maxlen=a.window) for a in self.alarms}
        self.raised = []

    def begin(self, step: int) -> None:
        """Take up what was logged before a resume."""
        self._clear()
        for line in shards.lines(self.out / shards.METRICS):
            if "alarm" in line:
                self.raised.append(line["alarm"])
            else:
                self._take(line)

    def __call__(self, step: int, scalars: Mapping[str, Any], state: Any = None, control: Any = None) -> None:
        """Look at one log. Every process calls it where an alarm may stop the run."""
        fresh = self._take(scalars)
        rung = [(alarm, told) for alarm in self.alarms if alarm.name in fresh and (told := self._rings(alarm))]
        for alarm, (value, bound, message) in rung:
            self.raised.append(alarm.text)
            if ranks.rank() == 0:
                line = {"step": step, "alarm": alarm.text, "value": value, "bound": bound}
                shards.append(self.out / shards.METRICS, line)
                if self.say is not None:
                    self.say(f"alarm at step {step}: {message}{'; the run stops here' if alarm.stop else ''}.")
        if any(alarm.stop for alarm in self.alarms) and control is not None:
            stop = ranks.summed([float(any(alarm.stop for alarm, _ in rung))])[0] > 0
            if stop:
                control.should_training_stop = control.should_save = True

    def _take(self, scalars: Mapping[str, Any]) -> set[str]:
        """Remember a log; the names of the figures that are in it."""
        fresh = set()
        for alarm in self.alarms:
            known = figure(alarm.name)
            value = value_of(known, scalars) if known else None
            if value is not None:
                fresh.add(alarm.name)
                if len(self._first[alarm.text]) < alarm.window:
                    self._first[alarm.text].append(value)
                self._last[alarm.text].append(value)
        return fresh

    def _rings(self, alarm: Alarm) -> tuple[float, float, str] | None:
        """Value, bound and message of an alarm that rings now, for the first time."""
        first, last, known = self._first[alarm.text], self._last[alarm.text], figure(alarm.name)
        if alarm.text in self.raised or len(last) < alarm.window or known is None:
            return None
        base = sum(first) / len(first)
        value, bound = sum(last) / len(last), alarm.bound * (base if alarm.relative else 1)
        if not (value < bound if alarm.below else value > bound):
            return None
        than = f"{alarm.bound:g} times the {known.show(base)} of the start" if alarm.relative else known.show(bound)
        side = "below" if alarm.below else "above"
        return value, bound, f"{known.title}: {known.show(value)}, {side} {than} ({alarm.text})"
