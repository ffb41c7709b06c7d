"""What a model computes of each token as heat under the words of the viewer, packed small: half a character a word.

A page cannot hold a number a token, so a word gets the highest value of its tokens in one of six steps, the same in
the whole run. Where words begin is not sent: the page cuts its text by the rule of `units`, as `heat.js` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, log10
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from epiverb.measures import TOKEN_MEASURES
from epiverb.run import Run

STEPS = 6
"""Shades, the first of them none."""
LONGEST = 24
"""Code points of a unit at most: text without spaces is cut."""
HOTTEST = 0.99
"""Share of the run's tokens below the last shade."""
FIRST = 35
"""Code of the first character of what is packed; with 49 of them neither a quotation mark nor a backslash is met."""
SHOWN = {
    "entropy": "entropy",
    "entropy-lower": "entropy, lower bound",
    "propensity": "probability of a marker",
    "surprisal": "surprisal",
    "kl": "KL from the teacher",
}
"""Measures along tokens of which more is less certain, or readier to doubt, by a part of the name; the later ones are left
out first where pages would grow too large."""
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Scale:
    """One measure as heat."""

    measure: str
    label: str
    unit: str
    step: float
    """Width of a shade; the last one has no end."""

    def described(self) -> dict[str, Any]:
        """For the page."""
        return {"measure": self.measure, "label": self.label, "unit": self.unit, "step": self.step}


class Heat:
    """The heat of a run's traces; `scales` are empty where no model scored its tokens."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.scales = _scales(run)
        self.left_out: list[Scale] = []

    def keep(self, count: int) -> None:
        """Only the first `count` measures; the page says which are left out."""
        self.scales, self.left_out = self.scales[:count], [*self.scales[count:], *self.left_out]

    def described(self) -> dict[str, Any]:
        """What the page has to know besides the digits."""
        left_out = [scale.label for scale in self.left_out]
        measures = [scale.described() for scale in self.scales]
        return {"steps": STEPS, "longest": LONGEST, "first": FIRST, "measures": measures, "left_out": left_out}

    def of(self, texts: dict[str, str]) -> dict[str, list[str | None]]:
        """Trace -> for each scale the shades of its text's units, packed; None where the trace has no such measure."""
        if not self.scales:
            return {}
        places, points = self._places(list(texts)), self._points(list(texts))
        found: dict[str, list[str | None]] = {}
        for key, text in texts.items():
            if key in places:
                start, end = units(text)
                values = (points.get((key, scale.measure)) for scale in self.scales)
                pairs = zip(values, self.scales, strict=True)
                found[key] = [
                    None if own is None else shades(own, scale.step, places[key], start, end, len(text))
                    for own, scale in pairs
                ]
        return found

    def _places(self, keys: list[str]) -> dict[str, tuple[Ints, Ints]]:
        """Trace -> begin and end of each of its tokens by position, -1 where not known."""
        found = {}
        for table in ("spans", "tokens"):
            rows = self.run.scan(table).filter(pl.col("trace_id").is_in(keys)).sort("trace_id", "position")
            chosen = rows.select("trace_id", pl.col("start", "end").fill_null(-1)).collect()
            for (key,), own in chosen.group_by("trace_id", maintain_order=True):
                found[str(key)] = (own["start"].to_numpy(), own["end"].to_numpy())
        return found

    def _points(self, keys: list[str]) -> dict[tuple[str, str], npt.NDArray[np.float64]]:
        """(Trace, measure) -> its values by position."""
        wanted = pl.col("trace_id").is_in(keys) & pl.col("measure").is_in([scale.measure for scale in self.scales])
        rows = self.run.scan("points").filter(wanted & (pl.col("axis") == "token"))
        chosen = rows.select("trace_id", "measure", "x", "value").sort("trace_id", "measure", "x").collect()
        grouped = chosen.group_by("trace_id", "measure", maintain_order=True)
        return {(str(key), str(name)): own["value"].fill_null(np.nan).to_numpy() for (key, name), own in grouped}


def _scales(run: Run) -> list[Scale]:
    """Those measures of `SHOWN` that the run has along tokens, in that order, and what a shade is worth."""
    along = run.scan("points").filter(pl.col("axis") == "token")
    tops = along.group_by("measure").agg(pl.col("value").quantile(HOTTEST)).sort("measure").drop_nulls().collect()
    found = []
    for part, label in SHOWN.items():
        for measure, top in tops.iter_rows():
            first, *more = measure.split("/")
            own = measure if part.startswith("entropy") else more[-1] if first == "pressure" else first
            if own == part and top > 0:
                shown = f"{label} shown {more[0]}" if first == "pressure" else label
                unit = TOKEN_MEASURES.get("propensity").unit if part == "propensity" else "nats"
                found.append(Scale(measure, shown, unit, _round(top / (STEPS - 1))))
    return found


def _round(value: float) -> float:
    """Two significant digits."""
    return round(value, 1 - floor(log10(value)))


def units(text: str) -> tuple[Ints, Ints]:
    """Begin and end, in code points, of what gets one shade: a word, a run of signs, a Chinese or Japanese character, emoji.

    >>> [(int(a), int(b)) for a, b in zip(*units("Wait, 界隈!"), strict=True)]
    [(0, 4), (4, 5), (6, 7), (7, 8), (8, 9)]
    """
    kind = _kinds(text)
    if not len(kind):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    begins = np.concatenate([[True], kind[1:] != kind[:-1]]) | (kind == 3)
    first = np.maximum.accumulate(np.where(begins, np.arange(len(kind)), 0))
    begins |= (np.arange(len(kind)) - first) % LONGEST == 0
    start = np.flatnonzero(begins)
    end = np.append(start[1:], len(kind))
    told = kind[start] != 0
    return start[told], end[told]


def _kinds(text: str) -> npt.NDArray[np.int8]:
    """Of each code point: 0 white or a control, 1 letter or digit, 2 sign, 3 stands alone, 4 part of a picture."""
    point = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    lower = point | 32

    def among(*ranges: tuple[int, int]) -> npt.NDArray[np.bool_]:
        return np.logical_or.reduce([(point >= low) & (point <= high) for low, high in ranges])

    letter = ((lower >= 97) & (lower <= 122)) | among((48, 57)) | (point > 127)
    alone = among((0x2E80, 0xA4CF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF))
    picture = among((0x1F000, 0x1FFFF), (0x2600, 0x27BF), (0x200D, 0x200D), (0xFE0F, 0xFE0F))
    white = (point <= 32) | among((0x7F, 0x9F), (0x061C, 0x061C), (0x200B, 0x200B), (0x200E, 0x200F), (0x2028, 0x202E))
    white |= among((0x2060, 0x2069), (0xFEFF, 0xFEFF))
    return np.select([white, picture, alone, letter], [0, 4, 3, 1], 2).astype(np.int8)


def shades(
    values: npt.NDArray[np.float64], step: float, places: tuple[Ints, Ints], start: Ints, end: Ints, length: int
) -> str | None:
    """The shade of each unit's highest token, packed; None where values and places are not of the same tokens."""
    begin, stop = places
    if len(values) != len(begin):
        return None
    at = np.full(length + 1, np.nan)
    told = (begin >= 0) & (stop > begin) & (stop <= length)
    width = (stop - begin)[told]
    inside = np.arange(width.sum()) - np.repeat(np.cumsum(width) - width, width)
    np.fmax.at(at, np.repeat(begin[told], width) + inside, np.repeat(values[told], width))
    if not len(start):
        return ""
    highest = np.fmax.reduceat(at, np.column_stack([start, end]).ravel())[::2]
    level = np.clip(np.nan_to_num(highest) / step, 0, STEPS - 1).astype(np.int64)
    return packed(np.where(np.isnan(highest), STEPS, level))


def packed(levels: Ints) -> str:
    """Two units a character, which deflates better than one; `STEPS` is unknown.

    >>> packed(np.array([1, 0, 6]))
    '$)'
    """
    pairs = np.pad(levels, (0, len(levels) % 2)).reshape(-1, 2) @ np.array([1, STEPS + 1])
    return bytes((FIRST + pairs).astype(np.uint8)).decode("ascii")
