"""Intervals over seeds and problems: closed forms, and coverage where the truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from epiverb.stats.crossed import crossed


def mean_of(cells):
    return lambda s, p: (np.einsum("ns,np,sp->n", s, p, cells) / (s.sum(1) * p.sum(1)))[:, None]


def test_of_one_seed_it_is_the_t_interval_of_problem_means(rng):
    cells = rng.normal(size=(1, 40))
    (figure,) = crossed(mean_of(cells), 1, [40])
    expected = stats.t.interval(0.95, 39, cells.mean(), stats.sem(cells[0]))
    assert figure.interval() == pytest.approx(expected)
    assert "one seed" in figure.reason


def test_where_only_trainings_differ_it_is_the_t_interval_of_their_means(rng):
    cells = np.repeat(rng.normal(size=(5, 1)), 30, axis=1)
    (figure,) = crossed(mean_of(cells), 5, [30])
    assert figure.interval() == pytest.approx(stats.t.interval(0.95, 4, cells.mean(), stats.sem(cells[:, 0])))


def test_a_benchmark_whose_level_differs_does_not_widen(rng):
    noise = rng.normal(size=(3, 40))
    apart = noise + np.repeat([0.0, 50.0], 20)
    (one,), (other,) = crossed(mean_of(noise), 3, [20, 20]), crossed(mean_of(apart), 3, [20, 20])
    assert one.error == pytest.approx(other.error)
    assert crossed(mean_of(apart), 3, [40])[0].error > 5 * one.error


@pytest.mark.parametrize(("trainings", "problems"), [(0.0, 0.3), (0.15, 0.2), (0.3, 0.0)])
def test_it_covers(rng, trainings, problems):
    n, held = 300, 0
    for _ in range(n):
        cells = rng.normal(0, trainings, (5, 1)) + rng.normal(0, problems, (1, 40)) + rng.normal(0, 0.3, (5, 40))
        low, high = crossed(mean_of(cells), 5, [40])[0].interval()
        held += low <= 0 <= high
    assert 0.91 <= held / n <= 0.995


def test_what_cannot_be_told_has_a_reason():
    same = crossed(mean_of(np.ones((3, 5))), 3, [5])[0]
    assert same.value == 1.0
    assert same.interval() is None
    assert "agree" in same.reason
    assert crossed(mean_of(np.ones((3, 10))), 3, [10])[0].interval() == (1.0, 1.0)
    undefined = crossed(lambda s, p: np.full((len(s), 1), np.nan), 3, [10])[0]
    assert undefined.as_dict()["value"] is None
