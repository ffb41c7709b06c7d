"""How many problems and samples a difference needs, and which difference given data can show.

n = (z_{a/2} + z_b)^2 (omega^2 + sigma_A^2 / K_A + sigma_B^2 / K_B) / delta^2: omega^2 is the variance between problems
of the two runs' true difference, sigma^2 the variance between samples of a problem. More samples lower the second part
alone; once it is small, only more problems help. Source: Miller 2411.00640, section 5.
Ours differs: Student's t in place of z, which at 30 problems costs about 3 points of power.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from epiverb.errors import DataError
from epiverb.stats.bounds import LEVEL, normal_cdf, normal_quantile, t_quantile
from epiverb.stats.pairing import Arm, Pairing, pair_runs
from epiverb.stats.resample import Floats
from epiverb.stats.rundata import RunData

POWER = 0.8
CORRELATION = 0.8
"""Of the accuracies of two runs over problems, where no second run tells it."""
BETWEEN = 0.5
"""Share of the variance of a sample's correctness that lies between problems, where no run tells it."""


@dataclass(frozen=True)
class Variance:
    """What a difference of two runs varies by, on the scale of the difference."""

    between: float
    """omega^2: variance over problems of the true difference. Without repeated samples it holds the sigma^2 too."""
    base: float
    """sigma_A^2: variance between samples of a problem in the base; 0 where it is not told apart."""
    run: float
    """sigma_B^2: the same in the run."""
    n_problems: int = 0
    k_base: float = 1.0
    """Samples a problem of the base (harmonic mean)."""
    k_run: float = 1.0
    separated: bool = True
    """False where the problems have one sample, so that only n can be planned at this k."""
    source: str = "assumed"

    def of_difference(self, k: float | None = None) -> float:
        """Variance of one problem's observed difference at `k` samples a run (None: as many as the data have)."""
        return self.between + self.base / (k or self.k_base) + self.run / (k or self.k_run)


def power(difference: float, n_problems: int, variance: float) -> float:
    """Chance that a two-sided 5 % test over `n_problems` sees `difference`; `variance` is `Variance.of_difference`.

    The noncentral t by its normal approximation. Source: Johnson and Welch 1940; Abramowitz and Stegun 26.7.10.
    """
    if n_problems < 2:
        return 0.0
    if variance <= 0:
        return 1.0 if difference else 1 - LEVEL
    shift, critical = abs(difference) / math.sqrt(variance / n_problems), t_quantile(0.5 + LEVEL / 2, n_problems - 1)
    df = n_problems - 1
    spread = math.sqrt(1 + critical**2 / (2 * df))
    shrink = critical * (1 - 1 / (4 * df))
    return normal_cdf((shift - shrink) / spread) + normal_cdf((-shift - shrink) / spread)


def problems(difference: float, variance: float, *, wanted: float = POWER) -> int:
    """The fewest problems that see `difference` with the `wanted` power."""
    if difference == 0:
        raise DataError("a difference of 0 cannot be seen with any number of problems; give the one that matters.")
    start = (normal_quantile(0.5 + LEVEL / 2) + normal_quantile(wanted)) ** 2 * variance / difference**2
    n = max(2, math.floor(start))
    while power(difference, n, variance) < wanted:
        n += 1
    return n


def smallest(n_problems: int, variance: float, *, wanted: float = POWER) -> float:
    """The smallest difference that `n_problems` show with the `wanted` power."""
    low, high = 0.0, 1.0
    while power(high, n_problems, variance) < wanted:
        high *= 2
        if high > 1e6:
            return math.inf
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if power(middle, n_problems, variance) >= wanted else (middle, high)
    return high


def assumed(accuracy: float = 0.5, *, between: float = BETWEEN, correlation: float = CORRELATION) -> Variance:
    """Variances of an accuracy difference from three guesses.

    Args:
        accuracy: of both runs.
        between: share of the variance accuracy (1 - accuracy) that lies between problems.
        correlation: of the two runs' accuracies over problems; 0 would be unpaired runs.
    """
    total = accuracy * (1 - accuracy)
    return Variance(2 * (1 - correlation) * between * total, (1 - between) * total, (1 - between) * total)


def accuracy_variance(pairing: Pairing) -> Variance:
    """Variances of the accuracy difference, estimated from two runs."""
    return components(pairing, [arm.column("correct") for arm in pairing.arms])


def density_variance(pairing: Pairing, hits: Sequence[Floats]) -> Variance:
    """Variances of the log ratio of marker density; `hits` are the markers of each trace of both runs.

    A trace's score is what it adds to the logarithm of its run's density, in first order.
    """
    scores = []
    for arm, count in zip(pairing.arms, hits, strict=True):
        words = arm.text("n_words")
        mean_hits, mean_words = (float(np.nanmean(arm_mean(arm, x))) for x in (count, words))
        if mean_hits == 0:
            raise DataError(f"{arm.data.name}: no marker, so that the ratio of densities has no variance to plan with.")
        scores.append((count - mean_hits / mean_words * words) / mean_hits)
    return components(pairing, scores)


def arm_mean(arm: Arm, x: Floats) -> Floats:
    """The mean of `x` in each problem, NaN where it is unknown."""
    sums = arm.mean(x)
    return np.where(sums.den[:, 0] > 0, sums.num[:, 0], np.nan)


def components(pairing: Pairing, scores: Sequence[Floats]) -> Variance:
    """Variance components of the difference of the problems' mean scores, from two paired runs.

    Raises:
        DataError: fewer than two problems have a score in both runs.
    """
    means = [arm_mean(arm, x) for arm, x in zip(pairing.arms, scores, strict=True)]
    within, noise, k = zip(*(_within(arm, x) for arm, x in zip(pairing.arms, scores, strict=True)), strict=True)
    difference = means[1] - means[0]
    difference = difference[np.isfinite(difference)]
    if len(difference) < 2:
        raise DataError("fewer than two problems are known in both runs; their variance cannot be estimated.")
    total = float(difference.var(ddof=1))
    if np.isnan(within).any():
        return Variance(total, 0.0, 0.0, len(difference), k[0], k[1], False, "estimated from both runs")
    between = max(total - noise[0] - noise[1], 0.0)
    return Variance(between, within[0], within[1], len(difference), k[0], k[1], True, "estimated from both runs")


def _within(arm: Arm, x: Floats) -> tuple[float, float, float]:
    """Variance between samples of a problem, that of a problem's mean, and the harmonic mean of samples a problem."""
    known = np.isfinite(x)
    n = arm.totals(known.astype(float))
    sums, squares = arm.totals(np.where(known, x, 0.0)), arm.totals(np.where(known, x**2, 0.0))
    many, some = n > 1, n > 0
    k = float(some.sum() / (1 / n[some]).sum()) if some.any() else 1.0
    if not many.any():
        return math.nan, math.nan, k
    variance = float(np.mean((squares[many] - sums[many] ** 2 / n[many]) / (n[many] - 1)))
    return variance, variance / k, k


def plan(
    runs: Sequence[RunData] = (),
    *,
    difference: float | None = None,
    n_problems: int | None = None,
    samples: int | None = None,
    wanted: float = POWER,
) -> dict[str, Any]:
    """What `epiverb plan` prints: the variance it goes by, and what is asked of it.

    With two runs their variances are estimated, with one its own and an assumed correlation with the other, with none
    all are assumed. Gives `smallest_difference` at the number of problems (those of the runs if not given),
    `problems_needed` for `difference`, `power`, and a table over samples a problem.
    """
    variance = _variance(runs)
    k = float(samples) if samples else variance.k_base
    n = n_problems or variance.n_problems or None
    here = variance.of_difference(k if variance.separated else None)
    result: dict[str, Any] = {
        "quantity": "difference in accuracy, paired by problem",
        "wanted_power": wanted,
        "n_problems": n,
        "samples": k if variance.separated else variance.k_base,
        "variance": {
            "between": variance.between,
            "base": variance.base,
            "run": variance.run,
            "source": variance.source,
        },
        "smallest_difference": smallest(n, here, wanted=wanted) if n else None,
        "difference": difference,
        "problems_needed": problems(difference, here, wanted=wanted) if difference else None,
        "power": power(difference, n, here) if difference and n else None,
        "table": _table(variance, difference, n, wanted),
        "warnings": _cautions(runs, variance, samples),
    }
    return result | {"sentences": sentences(result)}


def _variance(runs: Sequence[RunData]) -> Variance:
    if len(runs) > 2:
        raise DataError(f"plan takes no more than two runs, not {len(runs)}.")
    if not runs:
        return assumed()
    if len(runs) == 2:
        return accuracy_variance(pair_runs(runs[0], runs[1]))
    pairing = pair_runs(runs[0], runs[0])
    x = pairing.arms[0].column("correct")
    variance, noise, k = _within(pairing.arms[0], x)
    means = arm_mean(pairing.arms[0], x)
    known = means[np.isfinite(means)]
    if len(known) < 2:
        raise DataError(f"{runs[0].name}: correctness is known for fewer than two problems; give a graded run.")
    source = (
        f"estimated from {runs[0].name}; the other run is assumed to correlate {CORRELATION:g} with it over problems"
    )
    if math.isnan(variance):
        guess = assumed(float(known.mean()))
        return replace(
            guess, n_problems=len(known), source=source + f", a share {BETWEEN:g} of the variance between problems"
        )
    spread = max(float(known.var(ddof=1)) - noise, 0.0)
    return Variance(2 * (1 - CORRELATION) * spread, variance, variance, len(known), k, k, True, source)


def _table(variance: Variance, difference: float | None, n: int | None, wanted: float) -> list[dict[str, Any]]:
    """What more samples would bring, where the data tell samples and problems apart."""
    ks = [1, 2, 4, 8, 16, 32, 64] if variance.separated else []
    return [
        {
            "samples": k,
            "smallest_difference": smallest(n, variance.of_difference(k), wanted=wanted) if n else None,
            "problems_needed": problems(difference, variance.of_difference(k), wanted=wanted) if difference else None,
        }
        for k in ks
    ]


def _cautions(runs: Sequence[RunData], variance: Variance, samples: int | None) -> list[str]:
    cautions = []
    if not variance.separated and samples and samples != variance.k_base:
        cautions.append(
            "The runs have one sample a problem, so that what more samples would bring is not known; planned for one."
        )
    if variance.separated and variance.n_problems and variance.between == 0:
        cautions.append(
            "The runs' difference varies between problems no more than samples explain, so that the table's gain from "
            "more samples is the most to hope for."
        )
    if 0 < variance.n_problems < 20:
        cautions.append(
            f"The variance comes from {variance.n_problems} problems and is itself uncertain by a factor of about two."
        )
    return cautions


def sentences(result: dict[str, Any]) -> list[str]:
    """The plan in words."""
    chance = f"{result['wanted_power']:.0%}"
    said = []
    if result["smallest_difference"] is not None:
        said.append(
            f"{result['n_problems']} problems with {result['samples']:g} samples a run show a difference in accuracy "
            f"of {result['smallest_difference']:.3f} with a chance of {chance}."
        )
    if result["problems_needed"] is not None:
        said.append(
            f"A difference of {result['difference']:g} needs {result['problems_needed']} problems with "
            f"{result['samples']:g} samples a run."
        )
    return said


TOO_WIDE = {"accuracy": 0.02, "density": math.log(1.2)}
"""Half-width above which an interval that holds 0 is called too wide: two points of accuracy, a fifth of density."""


def hint(name: str, low: float | None, high: float | None, variance: Variance) -> str | None:
    """A sentence on what would have been needed, where the interval of a difference is too wide to conclude.

    Args:
        name: `accuracy` (a difference) or `density` (a log ratio).
    """
    limit = TOO_WIDE[name]
    if low is None or high is None or not low <= 0 <= high or (high - low) / 2 <= limit:
        return None
    if variance.of_difference() <= 0:  # every problem alike: nothing tells how much others would differ
        what = "accuracy" if name == "accuracy" else "marker density"
        return (
            f"No two problems differ in {what}, so these data cannot tell how many would be needed to see a difference."
        )
    seen = smallest(variance.n_problems, variance.of_difference())
    needed = problems(limit if name == "density" else 0.05, variance.of_difference())
    size = f"{variance.n_problems} problems {_sizes(variance.k_base, variance.k_run)}"
    if name == "density":
        return (
            f"Marker density: {size} can show a ratio of {math.exp(seen):.2f} or {math.exp(-seen):.2f} with 80 % "
            f"power; a ratio of 1.2 needs about {needed} problems."
        )
    return (
        f"Accuracy: {size} can show a difference of {seen:.3f} with 80 % power; "
        f"a difference of 0.05 needs about {needed} problems."
    )


def _sizes(base: float, run: float) -> str:
    if base == run:
        return "with one sample a run" if base == 1 else f"with {base:g} samples a run"
    return f"with {base:g} and {run:g} samples"
