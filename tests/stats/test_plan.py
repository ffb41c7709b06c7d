"""Power and planning, against the noncentral t and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from epiverb.errors import DataError
from epiverb.stats.compare import trace_hits
from epiverb.stats.pairing import pair_runs
from epiverb.stats.plan import (
    Variance,
    accuracy_variance,
    assumed,
    density_variance,
    hint,
    plan,
    power,
    problems,
    smallest,
)
from epiverb.stats.simulate import simulate


@pytest.mark.parametrize(("n", "effect"), [(5, 0.8), (10, 0.5), (30, 0.4), (100, 0.2), (500, 0.15), (30, 0.0)])
def test_power_is_that_of_the_noncentral_t(n, effect):
    expected = TTestPower().power(effect, n, 0.05)
    assert power(effect, n, 1.0) == pytest.approx(expected, abs=0.01)


def test_problems_and_smallest_difference_undo_power():
    for variance in (0.01, 0.2):
        n = problems(0.05, variance, wanted=0.8)
        assert power(0.05, n, variance) >= 0.8 > power(0.05, n - 1, variance)
        assert smallest(n, variance) <= 0.05 < smallest(n - 1, variance)
    with pytest.raises(DataError, match="difference of 0"):
        problems(0.0, 0.1)


def test_many_problems_agree_with_millers_formula():
    variance = Variance(between=1 / 9, base=1 / 6, run=1 / 6).of_difference(1)
    z = stats.norm.ppf(0.975) + stats.norm.ppf(0.8)
    assert problems(0.03, variance) == pytest.approx(z**2 * (1 / 9 + 2 / 6) / 0.03**2, rel=0.001)


def test_variances_of_simulated_runs_are_recovered():
    base, run, _ = simulate(3000, 8, seed=1, effect_sd=0.4)
    found = accuracy_variance(pair_runs(base, run))
    p = base.traces["correct"].to_numpy().reshape(3000, 8).mean(axis=1)
    assert found.base == pytest.approx((p * (1 - p)).mean() * 8 / 7, rel=1e-6)
    more = simulate(3000, 64, seed=1, effect_sd=0.4)
    right = [d.traces["correct"].to_numpy().reshape(3000, 64).mean(axis=1) for d in more[:2]]
    assert found.between == pytest.approx(np.var(right[1] - right[0]) - 2 * found.base / 64, abs=0.002)


def test_the_variance_of_a_density_ratio_is_that_of_its_interval():
    base, run, _ = simulate(200, 4, seed=1)
    pairing = pair_runs(base, run)
    found = density_variance(pairing, trace_hits(pairing, "sim"))
    sums = [
        arm.mean_ratio(x, arm.text("n_words")) for arm, x in zip(pairing.arms, trace_hits(pairing, "sim"), strict=True)
    ]
    from epiverb.stats.pair import Pair

    assert math.sqrt(found.of_difference() / 200) == pytest.approx(Pair(*sums).log_se[0], rel=1e-6)


def test_one_sample_a_problem_plans_at_that_k_only():
    base, run, _ = simulate(40, 1, seed=1)
    found = accuracy_variance(pair_runs(base, run))
    assert not found.separated
    result = plan([base, run], difference=0.1, samples=8)
    assert result["table"] == []
    assert any("one sample a problem" in w for w in result["warnings"])


def test_plan_without_with_one_and_with_two_runs():
    base, run, _ = simulate(30, 8, seed=1)
    for runs in ([], [base], [base, run]):
        result = plan(runs, difference=0.05, n_problems=30, samples=8)
        assert 0 < result["power"] < 1
        assert result["problems_needed"] > 30
        needed = [row["problems_needed"] for row in result["table"]]
        assert needed == sorted(needed, reverse=True)
        assert len(result["sentences"]) == 2
    assert "assumed to correlate" in plan([base])["variance"]["source"]
    assert plan([])["smallest_difference"] is None
    with pytest.raises(DataError, match="no more than two"):
        plan([base, run, run])


def test_assumptions_by_hand():
    found = assumed(0.5, between=0.4, correlation=0.5)
    assert (found.between, found.base) == (pytest.approx(2 * 0.5 * 0.4 * 0.25), pytest.approx(0.6 * 0.25))


def test_hint_speaks_only_where_the_interval_is_too_wide():
    variance = Variance(0.02, 0.2, 0.2, n_problems=30, k_base=8, k_run=8)
    assert hint("accuracy", 0.01, 0.2, variance) is None, "it concludes"
    assert hint("accuracy", -0.01, 0.015, variance) is None, "it is narrow"
    assert hint("accuracy", None, None, variance) is None
    text = hint("accuracy", -0.1, 0.1, variance)
    assert f"{smallest(30, variance.of_difference()):.3f}" in text
    assert f"{problems(0.05, variance.of_difference())} problems" in text
    assert "ratio of 1.2" in hint("density", -0.4, 0.3, variance)
    alike = Variance(0.0, 0.0, 0.0, n_problems=20, k_base=1, k_run=1)
    assert "cannot tell" in hint("accuracy", -0.14, 0.14, alike), "all wrong in both runs"
