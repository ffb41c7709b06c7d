"""The curves of a comparison: markers along the response, and pass@k; both runs above, their difference below."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from epiverb.plots.style import BASE, FAINT, RUN

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Block = dict[str, Any]


def floats(values: Sequence[float | None]) -> np.ndarray:
    """Numbers, NaN for unknown."""
    return np.array([np.nan if value is None else value for value in values], dtype=float)


def two_lines(x: np.ndarray, base: np.ndarray, run: np.ndarray, names: tuple[str, str], ax: Axes) -> Axes:
    """Base (dashed, grey) and run, named above the axes."""
    ax.plot(x, base, "--", color=BASE, linewidth=1.5, label=names[0], marker="o", markersize=2.5)
    ax.plot(x, run, "-", color=RUN, linewidth=1.7, label=names[1], marker="o", markersize=2.5)
    ax.legend(frameon=False, ncols=2, loc="lower left", bbox_to_anchor=(0, 0.98), fontsize=8, borderaxespad=0)
    return ax


def profiles(course: Block, names: tuple[str, str], top: Axes, bottom: Axes) -> None:
    """The block `trajectory`: density in each part of the response, and its difference with the simultaneous band."""
    x = 100 * (floats(course["x"]) + 0.5 / len(course["x"]))
    two_lines(x, floats(course["base"]), floats(course["run"]), names, top)
    top.set_ylim(bottom=0)
    top.set_ylabel("per 1,000 words")
    bottom.axhline(0, color=FAINT, linewidth=0.8)
    if course["lo"] is not None:
        bottom.fill_between(x, floats(course["lo"]), floats(course["hi"]), color=RUN, alpha=0.2, linewidth=0)
    bottom.plot(x, floats(course["delta"]), color=RUN, linewidth=1.6)
    bottom.set_ylabel("difference")
    bottom.set_xlabel("position in the response, %")
    for ax in (top, bottom):
        ax.set_xlim(0, 100)


def pass_at_k(curve: Sequence[Block], names: tuple[str, str], top: Axes, bottom: Axes) -> None:
    """The block `pass_at_k`: share of problems solved with k tries, and its difference with intervals, in points."""
    k = np.log2([block["k"] for block in curve])
    base, run = (100 * floats([block[side] for block in curve]) for side in ("base", "run"))
    two_lines(k, base, run, names, top)
    top.set_ylabel("% of problems")
    bottom.axhline(0, color=FAINT, linewidth=0.8)
    delta, low, high = (100 * floats([block[key] for block in curve]) for key in ("delta", "lo", "hi"))
    error = np.nan_to_num([np.maximum(delta - low, 0), np.maximum(high - delta, 0)])
    bottom.errorbar(k, delta, yerr=error, fmt="o-", color=RUN, markersize=4, linewidth=1.2, capsize=2)
    bottom.set_ylabel("difference, points")
    bottom.set_xlabel("tries a problem (k)")
    for ax in (top, bottom):
        ax.set_xticks(k, [str(block["k"]) for block in curve])
        ax.set_xlim(k[0] - 0.2, k[-1] + 0.2)
