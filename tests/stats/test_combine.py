"""Functions of sums: the interval of a plain ratio is the resampler's own, and what cannot be said is None."""

from __future__ import annotations

import numpy as np
import pytest

from epiverb.stats.combine import combined
from epiverb.stats.resample import Resampler


def test_a_ratio_has_the_resamplers_own_interval(rng):
    resampler = Resampler(np.repeat(np.arange(30), 4), draws=500)
    num, den = rng.gamma(2, size=120), rng.gamma(5, size=120)
    ours = combined(resampler, np.column_stack([num, den]), lambda s: s[0] / s[1])
    theirs = resampler.ratio(num, den, kind="value")
    assert (ours.value, ours.lo, ours.hi) == pytest.approx((theirs.value, theirs.lo, theirs.hi))
    assert (ours.n_problems, ours.n_traces) == (30, 120)


def test_a_ratio_of_ratios_covers_the_truth_about_as_often_as_it_says(rng):
    inside = 0
    for seed in range(200):
        level = rng.lognormal(0, 0.5, size=(40, 1))
        table = np.hstack(
            [
                2 * level * rng.gamma(5, 0.2, (40, 1)),
                np.ones((40, 1)),
                level * rng.gamma(5, 0.2, (40, 1)),
                np.ones((40, 1)),
            ]
        )
        found = combined(Resampler(range(40), draws=300, seed=seed), table, lambda s: (s[0] / s[1]) / (s[2] / s[3]))
        inside += found.lo < 2 < found.hi
    assert 180 <= inside <= 199


def test_unknown_is_none():
    assert combined(Resampler([0, 1]), [[0, 0], [0, 0]], lambda s: s[0] / s[1]).value is None
    single = combined(Resampler([0, 0]), [[1, 2], [1, 2]], lambda s: s[0] / s[1])
    assert (single.value, single.lo) == (0.5, None)
