"""Limits of differences and log ratios: studentised and BCa bootstrap over problems, t, and joined Wilson limits.

Which one is reported was chosen by coverage, measured at 30 x 16, 100 x 8 and 500 x 1 (`benchmarks/simulation.py`). The
symmetric studentised bootstrap covers 94 to 96 % for counts and lengths, whose distribution over problems is heavy in
the tail; BCa, which is shown beside it, covers 90 to 94 % there. Shares of few problems near 0 or 1 have a skewness
that neither sees: the wider of Wilson limits with an effective n, joined, and t limits covers 94 to 97 % there.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from epiverb.stats.bounds import LEVEL, byar, t_quantile, widened, wilson
from epiverb.stats.pair import Pair, Sums, log, log_ratio, ratio
from epiverb.stats.resample import Floats, Kind

CLOSED: dict[Kind, str] = {
    "share": "wider of t limits over problems and Wilson limits of both runs with effective n, joined (MOVER)",
    "count": "Poisson limits of both runs, one unit a problem, joined (MOVER)",
    "value": "all problems differ alike",
}
"""Method of the limits in closed form, by kind."""


def bca(resampled: Floats, value: Floats, jack: Floats, level: Floats) -> tuple[Floats, Floats]:
    """Bias-corrected and accelerated limits of each row of `resampled`, read at the normal deviates `level`.

    Args:
        resampled: (figures, draws); NaN marks a resample in which the figure does not exist.
        value: (figures,) the estimates.
        jack: (problems, figures) the estimates without each problem.
        level: (figures,) 1.96, or more for few problems (see `bounds.widened`).

    Source: Efron 1987; checked against scipy.stats.bootstrap.
    """
    known = ~np.isnan(resampled)
    n = known.sum(axis=1)
    below = ((resampled < value[:, None]).sum(axis=1) + (resampled <= value[:, None]).sum(axis=1)) / 2
    bias = ndtri(np.clip(ratio(below, n), 1 / (n + 1), n / (n + 1)))
    acceleration = _acceleration(jack)
    ordered = np.sort(resampled, axis=1)  # NaN go last
    limits = []
    for side in (-1, 1):
        deviate = bias + side * np.minimum(level, 8.0)  # beyond every share of a resample, and finite
        share = np.nan_to_num(ndtr(bias + deviate / np.maximum(1 - acceleration * deviate, 1e-3)), nan=0.5)
        limits.append(_ranked(ordered, n, share))
    return limits[0], limits[1]


def percentile(resampled: Floats, level: float) -> tuple[Floats, Floats]:
    """Percentile limits of each row of `resampled`, read at the normal deviate `level`; NaN are left out."""
    n = (~np.isnan(resampled)).sum(axis=1)
    ordered = np.sort(resampled, axis=1)
    shares = (np.full(len(n), float(ndtr(side * min(level, 8.0)))) for side in (-1, 1))
    low, high = (_ranked(ordered, n, share) for share in shares)
    return low, high


def _ranked(ordered: Floats, n: NDArray[np.integer], share: Floats) -> Floats:
    """The value below which a share of the first `n` of each sorted row lies; not interpolated, some are infinite."""
    index = np.clip(np.round(share * (n + 1) - 1), 0, np.maximum(n - 1, 0)).astype(int)
    return np.where(n > 0, np.take_along_axis(ordered, index[:, None], axis=1)[:, 0], np.nan)


def _acceleration(jack: Floats) -> Floats:
    """Skewness of the estimates without each problem, over six; 0 where one of them does not exist."""
    finite = np.isfinite(jack).all(axis=0)
    gap = np.where(finite, jack, 0.0)
    gap = gap.mean(axis=0) - gap
    size = (gap**2).sum(axis=0) ** 1.5
    return np.divide((gap**3).sum(axis=0), 6 * size, out=np.zeros_like(size), where=size > 0)


class Limits(NamedTuple):
    """Limits of differences and of log ratios; one entry a figure."""

    low: Floats
    high: Floats
    log_low: Floats
    log_high: Floats

    def hull(self, other: Limits) -> Limits:
        """The wider limit on each side."""
        low, high = np.fmin(self.low, other.low), np.fmax(self.high, other.high)
        return Limits(low, high, np.fmin(self.log_low, other.log_low), np.fmax(self.log_high, other.log_high))

    def where(self, use: NDArray[np.bool_], other: Limits) -> Limits:
        """These limits where `use` holds, those of `other` elsewhere."""
        return Limits(*(np.where(use, mine, theirs) for mine, theirs in zip(self, other, strict=True)))


class Resamples:
    """The figures of both runs, and their errors, in every resample of the problems."""

    def __init__(self, pair: Pair, weights: Floats) -> None:
        self.pair = pair
        self.n = len(weights)
        columns = [_narrow(x) for x in pair.run] + [-_narrow(x) for x in pair.base]
        self.moments = {(i, j): _totals(columns[i] * columns[j], weights) for i in range(4) for j in range(i, 4)}
        self.sums = [_totals(x, weights) for x in columns]
        self.run, self.base = ratio(self.sums[0], self.sums[1]), ratio(self.sums[2], self.sums[3])

    def errors(self, scale: tuple[Floats, Floats, Floats, Floats]) -> Floats:
        """Linearised standard errors of a statistic with these derivatives by the four sums."""
        total = np.zeros(self.run.shape)
        for (i, j), moment in self.moments.items():
            total += (1 if i == j else 2) * scale[i] * scale[j] * moment
        return np.sqrt(np.maximum(total, 0) * self.n / max(self.n - 1, 1))

    @property
    def delta_errors(self) -> Floats:
        """Standard error of the difference in every resample."""
        _, run, _, base = self.sums
        one, other = ratio(np.ones_like(run), run), ratio(np.ones_like(base), base)
        return self.errors((one, -self.run * one, -other, self.base * other))

    @property
    def log_errors(self) -> Floats:
        """Standard error of the log ratio in every resample."""
        inverse = [ratio(np.ones_like(x), x) for x in self.sums]
        return self.errors((inverse[0], -inverse[1], -inverse[2], inverse[3]))


def _totals(x: Floats, weights: Floats) -> Floats:
    """Sums of each column in every resample; columns of zeros (a lexicon without a hit) cost nothing."""
    some = x.any(axis=0)
    if some.all():
        return x.T @ weights
    found = np.zeros((x.shape[1], weights.shape[1]))
    found[some] = x[:, some].T @ weights
    return found


def _narrow(x: Floats) -> Floats:
    """One column in place of many equal ones: a denominator that all figures share is summed once."""
    return x[:, :1] if x.strides[1:] == (0,) else x


def studentised(resamples: Resamples) -> tuple[Limits, NDArray[np.bool_]]:
    """Symmetric studentised limits, and where they can be trusted: few resamples without an error of their own.

    Source: Hall 1992, The Bootstrap and Edgeworth Expansion, section 3.6.
    """
    pair = resamples.pair
    run, base = resamples.run, resamples.base
    most = WILD * np.array([t_quantile(0.5 + LEVEL / 2, max(int(n) - 1, 1)) for n in pair.n_used])
    low, high, sound = _around(pair.delta, pair.se, run - base, resamples.delta_errors, most)
    logs = _around(pair.log_ratio, pair.log_se, log_ratio(run, base), resamples.log_errors, most)
    finite = np.isfinite(pair.log_ratio)
    return Limits(low, high, *logs[:2]), sound & (logs[2] | ~finite)


WILD = 3.0
"""Studentised quantiles of more than three times Student's come from resamples that are nearly without error."""


def _around(
    value: Floats, se: Floats, resampled: Floats, errors: Floats, most: Floats
) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    with np.errstate(divide="ignore", invalid="ignore"):
        deviates = np.abs(resampled - value[:, None]) / errors
    lost = ~np.isfinite(deviates)
    deviates[lost] = np.inf
    n = deviates.shape[1]
    at = min(int(np.ceil(LEVEL * (n + 1))) - 1, n - 1)
    quantile = np.partition(deviates, at, axis=1)[:, at]
    sound = (lost.mean(axis=1) < 0.01) & (quantile <= most)
    half = np.where(sound, quantile, 0.0) * se
    return value - half, value + half, sound


def student(pair: Pair) -> Limits:
    """Student's limits, with as many degrees of freedom as problems less one: for few problems and rare markers."""
    t = np.array([t_quantile(0.5 + LEVEL / 2, max(int(n) - 1, 1)) for n in pair.n_used])
    half, log_half = t * pair.se, t * pair.log_se
    return Limits(pair.delta - half, pair.delta + half, pair.log_ratio - log_half, pair.log_ratio + log_half)


def accelerated(resamples: Resamples) -> Limits:
    """BCa limits, read wider for few problems (see `bounds.widened`)."""
    pair = resamples.pair
    left, right = leave_one_out(pair.base), leave_one_out(pair.run)
    level = np.array([widened(int(n)) for n in pair.n_used])
    delta = bca(resamples.run - resamples.base, pair.delta, right - left, level)
    logs = bca(log_ratio(resamples.run, resamples.base), pair.log_ratio, log_ratio(right, left), level)
    return Limits(*delta, *logs)


def leave_one_out(sums: Sums) -> Floats:
    """The figures without each problem: (problems, figures)."""
    return ratio(sums.num.sum(axis=0) - sums.num, sums.den.sum(axis=0) - sums.den)


def joined(pair: Pair, kind: Kind) -> Limits:
    """Limits from each run's own limits in closed form, joined with the correlation of their errors.

    Source: Zou and Donner 2008 (MOVER), of which Newcombe 1998, method 10, is the case of two paired shares.
    """
    arms = []
    for sums, value, se in zip((pair.base, pair.run), pair.values, (pair.se_base, pair.se_run), strict=True):
        arms.append((value, *_own_limits(sums, value, se, kind)))
    logs = [tuple(log(x) for x in arm) for arm in arms]
    return Limits(*_mover(arms[0], arms[1], pair.correlation), *_mover(logs[0], logs[1], pair.correlation))


def _own_limits(sums: Sums, value: Floats, se: Floats, kind: Kind) -> tuple[Floats, Floats]:
    """Limits of one run's figures that have a width even where all problems are alike."""
    if kind == "value":
        return value, value
    limits = []
    for v, s, num, den, n in zip(value, se, sums.num.sum(0), sums.den.sum(0), (sums.den > 0).sum(0), strict=True):
        if n == 0:
            limits.append((np.nan, np.nan))
        elif kind == "count":
            limits.append(tuple(bound / den for bound in byar(num)))
        elif 0 < v < 1 and s > 0:
            limits.append(wilson(v, max(v * (1 - v) / s**2, n), t_quantile(0.975, max(n - 1, 1))))
        else:
            limits.append(wilson(v, n))
    low, high = np.array(limits).T
    return low, high


def _mover(base: tuple[Floats, ...], run: tuple[Floats, ...], correlation: Floats) -> tuple[Floats, Floats]:
    """Limits of a difference from (value, low, high) of both figures and the correlation of their errors."""
    with np.errstate(invalid="ignore"):
        delta = run[0] - base[0]
        below, above = run[0] - run[1], base[2] - base[0]
        down = np.sqrt(np.maximum(below**2 - 2 * correlation * below * above + above**2, 0))
        below, above = base[0] - base[1], run[2] - run[0]
        up = np.sqrt(np.maximum(below**2 - 2 * correlation * below * above + above**2, 0))
        return delta - down, delta + up
