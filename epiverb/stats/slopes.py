"""Across runs and benchmarks, does accuracy change more where markers do? Slopes, and slopes without each benchmark.

A handful of points, each with error in both directions. The intervals resample problems with all points together; the
slope is ordinary least squares, which error in markers pulls towards zero, and other benchmarks could say otherwise:
the fits without each benchmark show how much hangs on one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from epiverb.stats.bootstrap import Resampled, null
from epiverb.stats.problems import Array, ratio

MIN_POINTS = 3
PREDICTORS = {"markers": 1, "density": 3, "length": 2}
"""Name -> place among `link.QUANTITIES`, whose first is the change in accuracy."""
_STATISTICS = ("slope", "pearson", "spearman")


def slopes(found: Resampled, benchmarks: list[str], n_runs: int) -> dict[str, Any]:
    """For each predictor the slope and correlations of the change in accuracy, in all and without each benchmark.

    `slope` is in points of accuracy per unit of log ratio: -0.1 for half the markers (log ratio -0.69) if it is 0.14.

    Args:
        found: the quantities of `link`, of shape (runs, benchmarks, quantities).
    """
    home = np.tile(np.arange(len(benchmarks)), n_runs)
    flat = found.map(lambda t: t.reshape(len(t), n_runs * len(benchmarks), -1))
    usable = np.isfinite(flat.value[:, 0])
    block: dict[str, Any] = {}
    for name, at in PREDICTORS.items():
        points = np.flatnonzero(usable & np.isfinite(flat.value[:, at]))
        block[name] = _fit(flat, points, at) | {"n_points": len(points)}
        block[name]["leave_one_out"] = _leave_one_out(flat, points, at, home, benchmarks)
    return block | {"warnings": _warnings(flat, block)}


def _fit(flat: Resampled, points: npt.NDArray[np.int64], at: int) -> dict[str, Any]:
    if len(points) < MIN_POINTS:
        few = f"{len(points)} point{'s' * (len(points) != 1)} of run and benchmark; a slope needs {MIN_POINTS}."
        return {name: null(few) for name in _STATISTICS}
    fitted = flat.map(lambda t: _line(t[:, points, at], t[:, points, 0]))
    reason = "the points do not differ."
    return {name: fitted.estimate(i, undefined=reason, ranked=i > 0) for i, name in enumerate(_STATISTICS)}


def _line(x: Array, y: Array) -> Array:
    """(N, 3) slope, Pearson and Spearman correlation of each row of points; NaN where one is not finite."""
    from scipy.stats import rankdata

    whole = (np.isfinite(x) & np.isfinite(y)).all(1)
    result = np.full((len(x), 3), np.nan)
    x, y = x[whole], y[whole]
    xx, xy, yy = _moments(x, y)
    result[whole, 0] = ratio(xy, xx)
    result[whole, 1] = ratio(xy, np.sqrt(xx * yy))
    xx, xy, yy = _moments(rankdata(x, axis=1), rankdata(y, axis=1))
    result[whole, 2] = ratio(xy, np.sqrt(xx * yy))
    return result


def _moments(x: Array, y: Array) -> tuple[Array, Array, Array]:
    x, y = x - x.mean(1, keepdims=True), y - y.mean(1, keepdims=True)
    xx, xy, yy = (x * x).sum(1), (x * y).sum(1), (y * y).sum(1)
    return np.where(xx < 1e-18, 0.0, xx), xy, np.where(yy < 1e-18, 0.0, yy)


def _leave_one_out(
    flat: Resampled, points: npt.NDArray[np.int64], at: int, home: npt.NDArray[np.int64], benchmarks: list[str]
) -> list[dict[str, Any]]:
    """Slope without each benchmark, and how far off its points are when predicted from the others."""
    rows = []
    for j, benchmark in enumerate(benchmarks):
        kept, out = points[home[points] != j], points[home[points] == j]
        if not len(out) or len(benchmarks) < 2:
            continue
        row = {"without": benchmark} | _fit(flat, kept, at)
        x, y = flat.value[:, at], flat.value[:, 0]
        row["held_out_error"] = None
        if row["slope"]["value"] is not None:
            line = y[kept].mean() + row["slope"]["value"] * (x[out] - x[kept].mean())
            row["held_out_error"] = float(np.abs(y[out] - line).mean())
        rows.append(row)
    return rows


def _warnings(flat: Resampled, block: dict[str, Any]) -> list[str]:
    notes = []
    fit = block["markers"]
    if MIN_POINTS <= fit["n_points"] < 8:
        notes.append(f"the slope rests on {fit['n_points']} points of run and benchmark: read it as a description.")
    signs = {np.sign(row["slope"]["value"]) for row in fit["leave_one_out"] if row["slope"]["value"] is not None}
    if fit["slope"]["value"] is not None and len(signs) > 1:
        notes.append("leaving one benchmark out changes the sign of the slope: it hangs on a single benchmark.")
    both = flat.value[np.isfinite(flat.value[:, 1:]).all(1)]
    if len(both) >= MIN_POINTS and np.ptp(both[:, 2]) > 0 and np.ptp(both[:, 3]) > 0:
        together = float(np.corrcoef(both[:, 2], both[:, 3])[0, 1])
        if abs(together) > 0.8:
            notes.append(
                f"changes of length and of marker density go together (r = {together:.2f}): these points cannot tell "
                "which of the two accuracy follows."
            )
    return notes
