"""A forest: one row a figure with its interval, the numbers beside it; the figure that comparisons are made of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from epiverb.plots.style import FAINT, PAPER, RUN

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RATIO, POINTS, PLAIN = "ratio", "points", "plain"
"""Scales: log ratios shown as ratios; shares shown in points (hundredths); any other number."""
_FAR = math.log(20)
_TICKS = (
    (0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.25, 1.5, 1.75, 2), (0.2, 0.3, 0.5, 0.7, 1, 1.4, 2, 3, 5),
    (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20), (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100), (0.001, 0.01, 0.1, 1, 10, 100, 1000),
    (0.0001, 0.01, 1, 100, 10000),
)  # fmt: skip
"""Ratios to mark: of those that leave room between labels, the set that reaches furthest, then the finest."""
_GAP = 0.13
"""Share of the axis that a label needs."""


@dataclass(frozen=True)
class Row:
    """One figure; a value without one bound has an interval that is open there, without value and bounds it is unknown."""

    label: str
    value: float | None = None
    lo: float | None = None
    hi: float | None = None
    colour: str = RUN
    hollow: bool = False
    """Drawn open: not clear after correction, or a second reading of the row above."""

    heading: bool = False
    """No figure, but what those below it have in common."""

    @property
    def empty(self) -> bool:
        """True where nothing is known, and for a heading."""
        return self.value is None and self.lo is None and self.hi is None


def height(rows: Sequence[Row]) -> float:
    """Inches that a forest of these rows needs."""
    return 0.62 + 0.205 * len(rows)


def forest(rows: Sequence[Row], ax: Axes, *, scale: str, label: str) -> Axes:
    """Rows from the top; a line at no difference; numbers at the right."""
    factor = 100.0 if scale == POINTS else 1.0
    low, high = _range(rows, factor)
    place = range(len(rows) - 1, -1, -1)
    ax.axvline(0, color=FAINT, linewidth=0.8, zorder=0)
    for y, row in zip(place, rows, strict=True):
        _draw(ax, row, y, factor, (low, high))
        ax.annotate(
            told(row, scale), (1.04, y), xycoords=("axes fraction", "data"), va="center", size=8, annotation_clip=False
        )
    ax.set_yticks(list(place), [row.label for row in rows])
    for text, row in zip(ax.get_yticklabels(), rows, strict=True):
        text.set_fontweight("bold" if row.heading else "normal")
    ax.set_ylim(-0.6, len(rows) - 0.4)
    ax.set_xlim(low, high)
    ax.tick_params(left=False)
    ax.spines["left"].set_visible(False)
    if scale == RATIO:
        ratio_axis(ax, low, high)
    ax.set_xlabel(label)
    return ax


def _range(rows: Sequence[Row], factor: float) -> tuple[float, float]:
    """Limits that hold all values, and their intervals as far as that leaves the values apart."""
    values = [factor * row.value for row in rows if row.value is not None]
    bounds = [factor * b for row in rows for b in (row.lo, row.hi) if b is not None]
    if not values and not bounds:
        return -1.0, 1.0
    inner_low, inner_high = min([0.0, *values]), max([0.0, *values])
    reach = max(3 * (inner_high - inner_low), _FAR)
    low = max(min([inner_low, *bounds]), inner_low - reach)
    high = min(max([inner_high, *bounds]), inner_high + reach)
    room = 0.06 * (high - low) or 1.0
    return low - room, high + room


def _draw(ax: Axes, row: Row, y: int, factor: float, limits: tuple[float, float]) -> None:
    """The interval with an arrow where it goes on or is open, and the value."""
    if row.empty:
        return
    low, high = limits
    ends = [limit if bound is None else factor * bound for bound, limit in zip((row.lo, row.hi), limits, strict=True)]
    known = row.lo is not None or row.hi is not None
    if known:
        left, right = max(ends[0], low), min(ends[1], high)
        ax.plot([left, right], [y, y], color=row.colour, linewidth=1.3, solid_capstyle="butt", zorder=2)
        for end, limit, arrow in ((ends[0], low, "<"), (ends[1], high, ">")):
            if (end <= limit) if arrow == "<" else (end >= limit):
                ax.plot([limit], [y], arrow, color=row.colour, markersize=4, clip_on=False, zorder=3)
    if row.value is not None:
        face = PAPER if row.hollow else row.colour
        ax.plot([factor * row.value], [y], "o", color=row.colour, mfc=face, markersize=5, zorder=4, clip_on=False)


def told(row: Row, scale: str) -> str:
    """The numbers of a row, as beside the figure."""
    if row.empty:
        return "" if row.heading else "unknown"
    if row.value is None:
        bound = row.lo if row.lo is not None else row.hi
        return f"{'≥' if row.lo is not None else '≤'} {_number(bound or 0.0, scale)}"
    if row.lo is None and row.hi is None:
        return _number(row.value, scale)
    low, high = ("open" if b is None else _number(b, scale) for b in (row.lo, row.hi))
    return f"{_number(row.value, scale)} [{low}, {high}]"


def _number(value: float, scale: str) -> str:
    if scale == POINTS:
        return f"{100 * value:+.1f}"
    if scale == RATIO:
        ratio = math.exp(min(max(value, -30.0), 30.0))
        return f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.3g}" if ratio >= 0.01 else f"{ratio:.1g}"
    return f"{value:+.2f}"


def ratio_axis(ax: Axes, low: float, high: float) -> None:
    """Ticks at round ratios of an axis of logarithms between `low` and `high`."""
    ticks: list[float] = [1]
    reached = 0.0
    for candidates in _TICKS:
        inside = [t for t in candidates if low <= math.log(t) <= high]
        gaps = [math.log(b / a) / (high - low) for a, b in pairwise(inside)]
        if gaps and min(gaps) >= _GAP and sum(gaps) > reached + 0.1:
            ticks, reached = inside, sum(gaps)
    ax.set_xticks([math.log(t) for t in ticks], [f"{t:g}" for t in ticks])
