"""Figures that are any function of sums over traces (a ratio of ratios, a difference), with an interval over problems."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from epiverb.stats.bounds import normal_cdf, widened
from epiverb.stats.resample import Floats, Interval, Resampler, row_quantiles


def combined(resampler: Resampler, sums: ArrayLike, function: Callable[[Floats], Floats]) -> Interval:
    """`function` of the columns' sums over all traces, and its 95 % interval from resampling problems.

    Args:
        sums: (traces, figures); NaN is unknown and left out.
        function: from (figures, draws) to (draws,).

    >>> r = Resampler([0, 0, 1, 2])
    >>> combined(r, [[1, 2], [1, 2], [2, 4], [3, 6]], lambda s: s[0] / s[1]).value
    0.5
    """
    table = np.nan_to_num(np.asarray(sums, dtype=np.float64))
    totals = resampler.totals(table)
    used = int((np.abs(totals) > 0).any(axis=1).sum())
    n_traces = int((np.abs(table) > 0).any(axis=1).sum())
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(function(totals.sum(axis=0)[:, None])[0])
        if not np.isfinite(value):
            return Interval(None, None, None, used, n_traces, "unknown: nothing to divide by")
        if used < 2:
            return Interval(value, None, None, used, n_traces, "no interval: a single problem")
        draws = function(totals.T @ resampler.weights)
    draws = np.where(np.isfinite(draws), draws, np.nan)
    level = normal_cdf(-widened(resampler.n_problems))
    low, high = row_quantiles(draws[None], (level, 1 - level))
    return Interval(
        value, float(low[0]), float(high[0]), used, n_traces, f"bootstrap over problems, {resampler.draws} draws"
    )
