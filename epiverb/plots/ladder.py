"""A figure of values with intervals, a row a condition: what a model does under each context, or before and after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from epiverb.plots.style import FAINT, RUN

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Dot:
    """A value of one condition; without bounds it has no interval, without a value it is unknown."""

    label: str
    value: float | None
    lo: float | None = None
    hi: float | None = None
    colour: str = RUN


def dots(rows: Sequence[Dot], ax: Axes, *, label: str, share: bool = False) -> Axes:
    """Rows from the top on an axis from 0, numbers at the right; shares in percent, up to 100."""
    factor = 100.0 if share else 1.0
    ends = [factor * end for row in rows for end in (row.value, row.hi) if end is not None]
    ax.set_xlim(0, 100 if share else 1.06 * max(ends, default=1.0) or 1.0)
    place = range(len(rows) - 1, -1, -1)
    for y, row in zip(place, rows, strict=True):
        ax.axhline(y, color=FAINT, alpha=0.3, linewidth=0.6, zorder=0)
        if row.value is not None:
            if row.lo is not None and row.hi is not None:
                ax.plot([factor * row.lo, factor * row.hi], [y, y], color=row.colour, linewidth=1.3, zorder=2)
            ax.plot([factor * row.value], [y], "o", color=row.colour, markersize=5, zorder=3, clip_on=False)
        ax.annotate(
            told(row, share=share),
            (1.04, y),
            xycoords=("axes fraction", "data"),
            va="center",
            size=8,
            annotation_clip=False,
        )
    ax.set_yticks(list(place), [row.label for row in rows])
    ax.set_ylim(-0.6, len(rows) - 0.4)
    ax.tick_params(left=False)
    ax.spines["left"].set_visible(False)
    ax.set_xlabel(f"{label}, %" if share else label)
    return ax


def told(row: Dot, *, share: bool = False) -> str:
    """The numbers of a row, as beside the figure."""
    if row.value is None:
        return "unknown"
    factor = 100.0 if share else 1.0
    shown = [f"{factor * v:.1f}" if share or abs(factor * v) < 100 else f"{factor * v:.0f}" for v in _bounds(row)]
    return f"{shown[0]} [{shown[1]}, {shown[2]}]" if len(shown) == 3 else shown[0]


def _bounds(row: Dot) -> list[float]:
    return [value for value in (row.value, row.lo, row.hi) if value is not None]
