"""Figures of a scored run: a document of `score.json` or a table in, axes out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from epiverb.plots.style import FAINT, INK, PALETTE, RIGHT
from epiverb.schema import EPISTEMIC

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.axes import Axes

Figure = dict[str, Any]
SHADES = 10
"""Steps of ink by which entropy is shown."""


def heat(entropy: Sequence[float], hits: pl.DataFrame, ax: Axes, *, each: int = 1) -> Axes:
    """A trace from left to right: entropy of each token as heat, markers above it by category.

    Args:
        entropy: nats, a stripe; NaN is left white.
        hits: columns `category` and `x`, the index of the marker's first token.
        each: tokens of a stripe.
    """
    values = np.asarray(entropy, dtype=np.float64)
    n = each * len(values)
    top = float(np.nanmax(values)) if np.isfinite(values).any() else 1.0
    shade = np.nan_to_num(values / max(top, 1e-9))
    for level in range(1, SHADES + 1):  # ink over paper and no picture, so that it follows light and dark
        at = np.flatnonzero(np.ceil(shade * SHADES) == level)
        runs = np.split(at, np.flatnonzero(np.diff(at) > 1) + 1) if len(at) else []
        spans = [(each * int(run[0]), each * len(run)) for run in runs]
        bars = ax.broken_barh(spans, (0, 1), facecolor=INK, alpha=level / SHADES, linewidth=0, antialiased=False)
        bars.set_gid(f"heat-{level}")  # which the page draws without seams
    present = [category for category in EPISTEMIC if (hits["category"] == category).any()]
    for row, category in enumerate(present):
        x = hits.filter(hits["category"] == category)["x"].to_numpy()
        ax.scatter(
            x + 0.5, np.full(len(x), 1.25 + 0.3 * row), s=14, marker="v", color=PALETTE[category], label=category
        )
    ax.set_xlim(0, n)
    ax.set_ylim(0, 1.1 + 0.3 * len(present))
    ax.set_yticks([0.5, *(1.25 + 0.3 * row for row in range(len(present)))], ["entropy", *present])
    ax.tick_params(left=False)
    ax.spines["left"].set_visible(False)
    ax.set_xlabel(f"token (full ink: {top:.2g} nats)")
    return ax


def pressure(block: Figure, ax: Axes) -> Axes:
    """KL of student from teacher by class of tokens, times the mean of all tokens: one entry of `pressure.contexts`."""
    rows = [
        row
        for row in block["classes"]
        if row["class"] not in ("all", "epistemic") and row["ratio"]["value"] is not None
    ]
    _whiskers(
        ax,
        [row["class"] for row in rows],
        [row["ratio"] for row in rows],
        [PALETTE.get(row["class"], RIGHT) for row in rows],
    )
    ax.axvline(1, color=FAINT, linewidth=1)
    ax.set_xlabel(f"KL under {block['context']}, times the mean of all tokens")
    return ax


def suppression(block: Figure, ax: Axes) -> Axes:
    """Contexts by the change in marker probability that they ask for: the block `pressure`."""
    rows = [row for row in block["ranking"] if row["relative_change"]["value"] is not None]
    figures = [{key: _percent(row["relative_change"][key]) for key in ("value", "lo", "hi")} for row in rows]
    _whiskers(ax, [row["context"] for row in rows], figures, [RIGHT] * len(rows))
    ax.axvline(0, color=FAINT, linewidth=1)
    ax.set_xlabel("change in the probability of markers, %")
    return ax


def ladder(block: Figure, ax: Axes) -> Axes:
    """What each context tells of the responses written under it, nats a token: the block `richness`."""
    rows = [row for row in block["rows"] if row["guided"]["per_token"]["value"] is not None]
    _whiskers(ax, [row["condition"] for row in rows], [row["guided"]["per_token"] for row in rows], [RIGHT] * len(rows))
    ax.axvline(0, color=FAINT, linewidth=1)
    ax.set_xlabel("information richness, nats a token")
    return ax


def event(row: Figure, ax: Axes) -> Axes:
    """Entropy around markers of a category and around control positions: one entry of `tokens.events.rows`."""
    width = len(row["marker_curve"]) // 2
    x = np.arange(-width, width + 1)
    ax.plot(x, row["control_curve"], color=FAINT, linestyle="--", label="control positions")
    ax.plot(x, row["marker_curve"], color=PALETTE[row["category"]], label=row["category"])
    ax.axvline(0, color=FAINT, linewidth=1, linestyle=":")
    ax.set_xlabel(f"tokens from a marker's first one (n = {row['n_matched']:,} of {row['n']:,})")
    ax.set_ylabel("entropy, nats")
    ax.locator_params(axis="x", integer=True)
    ax.legend(frameon=False, fontsize=8, labelcolor=INK, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    return ax


def _whiskers(ax: Axes, names: list[str], figures: list[Figure], colours: list[str]) -> None:
    """Points with their intervals, the first at the top."""
    place = np.arange(len(names))[::-1]
    for y, figure, colour in zip(place, figures, colours, strict=True):
        if figure["lo"] is not None:
            ax.plot([figure["lo"], figure["hi"]], [y, y], color=colour, linewidth=1.5)
        ax.plot([figure["value"]], [y], "o", color=colour, markersize=5)
    ax.locator_params(axis="x", nbins=5)
    ax.set_yticks(place, names)
    ax.set_ylim(-0.6, len(names) - 0.4)
    ax.tick_params(left=False)
    ax.spines["left"].set_visible(False)


def _percent(value: float | None) -> float | None:
    return None if value is None else 100 * value
