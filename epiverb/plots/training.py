"""Figures of a training run: curves by step, one below the other on the same axis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from epiverb.plots.style import FAINT, INK, RIGHT, RUN

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.axes import Axes

STYLES = ("-", "--", ":", "-.")
"""Of the arms other than the training itself, in their order."""
SIGNS = {"-": "—", "--": "- -", ":": "···", "-.": "-·-"}
"""What stands for a style before a name: colours alone do not tell two arms apart."""


def curves(
    table: pl.DataFrame, ax: Axes, *, label: str, share: bool = False, colours: Mapping[str, str] | None = None
) -> Axes:
    """Lines by step with their intervals as bands, each named behind its end.

    Args:
        table: columns `arm`, `step`, `value`, `lo`, `hi`; the arm `training` comes first and in ink.
        share: from 0 to 1, shown in percent.
        colours: arm -> colour, where arms are to be told apart by it.
    """
    scale = 100.0 if share else 1.0
    ends: list[tuple[float, str, str]] = []
    arms = table["arm"].unique(maintain_order=True).to_list()
    others = iter(STYLES * (1 + len(arms) // len(STYLES)))
    for arm in sorted(arms, key=lambda name: name != "training"):
        style, colour = ("-", RIGHT) if arm == "training" else (next(others), (colours or {}).get(arm, RUN))
        part = table.filter(arm=arm).sort("step")
        x, y, low, high = (part[name].cast(float).to_numpy() for name in ("step", "value", "lo", "hi"))
        _line(ax, x, scale * y, style, colour)
        if np.isfinite(low).any():
            ax.fill_between(x, scale * low, scale * high, color=colour, alpha=0.15, linewidth=0)
        ends.append((scale * float(y[-1]), f"{SIGNS[style]} {arm}", colour))
    ax.set_ylabel(f"{label}, %" if share else label)
    if share:
        ax.set_ylim(0, 100)
    elif table["value"].min() >= 0:  # type: ignore[operator]
        ax.set_ylim(bottom=0)
    _names(ends, ax)
    return ax


def tokens(points: pl.DataFrame, ax: Axes, *, label: str) -> Axes:
    """A figure of tokens by step, on markers and on all others: columns `group`, `x`, `value`."""
    ends: list[tuple[float, str, str]] = []
    for group, style, colour in (("markers", "-", RUN), ("others", "--", INK)):
        part = points.filter(group=group).sort("x")
        if part.is_empty():
            continue
        _line(ax, part["x"].to_numpy(), part["value"].to_numpy(), style, colour)
        ends.append((float(part["value"][-1]), f"{SIGNS[style]} on {group}", colour))
    ax.set_ylabel(label)
    if len(points) and points["value"].min() >= 0:  # type: ignore[operator]
        ax.set_ylim(bottom=0)
    _names(ends, ax)
    return ax


def together(axes: list[Axes], label: str = "training step") -> None:
    """The same steps for all, named at the lowest only."""
    low, high = min(ax.get_xlim()[0] for ax in axes), max(ax.get_xlim()[1] for ax in axes)
    for ax in axes:
        ax.set_xlim(low, high)
        ax.locator_params(axis="x", integer=True, nbins=6)
        ax.locator_params(axis="y", nbins=4)
        ax.grid(axis="x", color=FAINT, alpha=0.3, linewidth=0.6)
        ax.set_axisbelow(True)
        if ax is not axes[-1]:
            ax.tick_params(labelbottom=False)
    axes[-1].set_xlabel(label)
    axes[0].figure.align_ylabels(axes)


def _line(ax: Axes, x: np.ndarray, y: np.ndarray, style: str, colour: str) -> None:
    """A line; few points are marked, since there is not much of a line between them."""
    ax.plot(x, y, style, color=colour, linewidth=1.5, marker="o" if len(x) <= 12 else None, markersize=3.5)


def _names(ends: list[tuple[float, str, str]], ax: Axes, gap: float = 0.15) -> None:
    """Write each line's name behind its end, pushed apart where two would cover each other."""
    bottom, top = ax.get_ylim()
    taken = -gap
    for value, name, colour in sorted(ends):
        taken = max((value - bottom) / ((top - bottom) or 1.0), taken + gap)
        ax.annotate(name, (1.02, taken), xycoords="axes fraction", color=colour, va="center", size=8)
