"""Intervals over seeds and problems at once: every training meets every problem, and both are samples of what could be.

Two problems may be alike and two trainings may differ; an interval over problems alone knows nothing of the second, one over
pooled traces of neither. Seeds and problems are left out one at a time, and the two variances of this jackknife are added. A
problem's noise in one training is in both, so that the sum is a little too large. Bounds are of the t distribution with the
degrees of freedom of Satterthwaite, since five seeds are few. docs/design/claims.md has its coverage by simulation, and that
of the bootstrap over both sides, which is too narrow where trainings differ.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
MANY = 10
"""Problems that agree to the last digit, in all seeds, need to be so many to be believed."""
Statistic = Callable[[Array, Array], Array]
"""Weights of seeds (N, S) and of problems (N, P) to the figure in each of N repetitions, (N, K)."""


@dataclass(frozen=True)
class Crossed:
    """A figure with its standard error over seeds and problems."""

    value: float | None
    error: float | None
    df: float | None
    n_seeds: int
    n_problems: int
    reason: str | None = None
    """Why there is no figure or no interval."""

    def interval(self, level: float = 0.95) -> tuple[float, float] | None:
        """The bounds; None: there is no interval."""
        if self.value is None or self.error is None or self.df is None:
            return None
        from scipy.stats import t

        half = float(t.ppf(0.5 + level / 2, self.df)) * self.error
        return self.value - half, self.value + half

    def as_dict(self) -> dict[str, Any]:
        """Plain values, with the 95 % interval as `lo` and `hi`."""
        lo, hi = self.interval() or (None, None)
        return asdict(self) | {"lo": lo, "hi": hi}


def crossed(statistic: Statistic, n_seeds: int, strata: Sequence[int]) -> list[Crossed]:
    """The K figures of `statistic`, a smooth function of weights, each with its error.

    Args:
        strata: problems of each benchmark, in the order of the weights' columns; they are left out within their own.
    """
    n = sum(strata)
    value = statistic(np.ones((1, n_seeds)), np.ones((1, n)))[0]
    seeds = statistic(1.0 - np.eye(n_seeds), np.ones((n_seeds, n))) if n_seeds > 1 else value[None]
    problems = statistic(np.ones((n, n_seeds)), 1.0 - np.eye(n)) if n > 1 else value[None]
    return [_figure(float(value[k]), seeds[:, k], problems[:, k], n_seeds, strata) for k in range(len(value))]


def _figure(value: float, seeds: Array, problems: Array, n_seeds: int, strata: Sequence[int]) -> Crossed:
    n = sum(strata)
    if not np.isfinite(value):
        return Crossed(None, None, None, n_seeds, n, "it is not defined on these traces")
    parts = np.split(problems, np.cumsum(strata)[:-1])
    variances = [_jackknife(seeds), sum(_jackknife(part) for part in parts)]
    total = sum(variances)
    if n < 2 or not np.isfinite(total):
        return Crossed(value, None, None, n_seeds, n, "too few problems carry it for an interval")
    if total <= (1e-12 * max(1.0, abs(value))) ** 2:
        error, df = (0.0, float(n - 1)) if n >= MANY else (None, None)
        return Crossed(value, error, df, n_seeds, n, "all seeds and problems agree")
    freedom = (n_seeds - 1, n - len(strata))
    df = total**2 / sum(v**2 / max(f, 1) for v, f in zip(variances, freedom, strict=True))
    note = "of one seed: over problems alone" if n_seeds == 1 else None
    return Crossed(value, float(np.sqrt(total)), float(df), n_seeds, n, note)


def _jackknife(left_out: Array) -> float:
    """The variance of a figure from its values without each unit in turn."""
    n = len(left_out)
    return float((n - 1) / n * np.sum((left_out - left_out.mean()) ** 2)) if n > 1 else 0.0
