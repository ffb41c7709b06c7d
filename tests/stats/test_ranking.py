"""AUROC, AURC and PRR by hand and against definitions worked out pair by pair and order by order."""

from __future__ import annotations

from itertools import pairwise, permutations

import numpy as np
import pytest

from epiverb.stats.ranking import Ranked, auc_within, curve, rates


def by_pairs(score, correct):
    """Share of pairs of a right and a wrong trace in which the right one scores higher, ties half."""
    right, wrong = score[correct == 1], score[correct == 0]
    return np.mean([(a > b) + 0.5 * (a == b) for a in right for b in wrong])


def filtered(score, correct):
    """Mean error among the k highest scores over k, averaged over every order of those that tie."""
    risks = []
    for order in permutations(range(len(score))):
        if all(score[a] >= score[b] for a, b in pairwise(order)):
            risks.append(np.mean([np.mean(1 - correct[list(order[:k])]) for k in range(1, len(order) + 1)]))
    return np.mean(risks)


def ones(n):
    return np.ones((1, n))


def test_by_hand():
    score, correct = np.array([4.0, 3.0, 2.0, 1.0]), np.array([1.0, 0.0, 1.0, 0.0])
    area, risk, gained = rates(Ranked.of(score, correct), ones(4))[0]
    assert area == pytest.approx(3 / 4)
    assert risk == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4)
    best = (0 + 0 + 1 / 3 + 1 / 2) / 4
    assert gained == pytest.approx((1 / 2 - risk) / (1 / 2 - best))


def test_perfect_and_reversed():
    correct = np.array([1.0, 1.0, 0.0, 0.0, 0.0])
    assert rates(Ranked.of(np.array([5.0, 4, 3, 2, 1]), correct), ones(5))[0, [0, 2]] == pytest.approx([1, 1])
    assert rates(Ranked.of(np.array([1.0, 2, 3, 4, 5]), correct), ones(5))[0, 0] == pytest.approx(0)
    assert rates(Ranked.of(np.zeros(5), correct), ones(5))[0] == pytest.approx([0.5, 0.6, 0.0])


@pytest.mark.parametrize("seed", range(12))
def test_against_brute_force_with_ties(seed):
    rng = np.random.default_rng(seed)
    score, correct = rng.integers(0, 4, 7).astype(float), rng.permutation([1.0, 1, 1, 0, 0, 0, 0])
    area, risk, gained = rates(Ranked.of(score, correct), ones(7))[0]
    assert area == pytest.approx(by_pairs(score, correct))
    assert risk == pytest.approx(filtered(score, correct))
    best = filtered(correct, correct)
    assert gained == pytest.approx((4 / 7 - risk) / (4 / 7 - best))
    assert np.mean(curve(score, correct)[1]) == pytest.approx(risk)


def test_a_weight_is_a_repetition():
    rng = np.random.default_rng(3)
    score, correct = rng.integers(0, 5, 12).astype(float), rng.integers(0, 2, 12).astype(float)
    weights = rng.integers(0, 4, (6, 12)).astype(float)
    told = rates(Ranked.of(score, correct), weights)
    for w, row in zip(weights.astype(int), told, strict=True):
        again = rates(Ranked.of(np.repeat(score, w), np.repeat(correct, w)), ones(w.sum()))[0]
        assert row == pytest.approx(again)


def test_weights_of_problems():
    rng = np.random.default_rng(4)
    score, correct, problem = rng.normal(size=9), rng.integers(0, 2, 9).astype(float), np.repeat([0, 1, 2], 3)
    weights = np.array([[1.0, 2, 0], [0, 1, 1]])
    ranked = Ranked.of(score, correct)
    np.testing.assert_allclose(rates(ranked, weights, problem), rates(ranked, weights[:, problem]))


def test_one_kind_alone_has_no_ranking():
    told = rates(Ranked.of(np.array([1.0, 2.0]), np.ones(2)), ones(2))[0]
    assert np.isnan(told[[0, 2]]).all()
    assert told[1] == 0


def test_within_problems_against_pairs():
    rng = np.random.default_rng(5)
    problem = rng.integers(0, 8, 60)
    score, correct = rng.integers(0, 5, 60).astype(float), rng.integers(0, 2, 60).astype(float)
    correct[problem == 2] = 1
    told, numbers = auc_within(score, correct, problem)
    assert numbers.tolist() == sorted(set(problem))
    for number, area in zip(numbers, told, strict=True):
        own = problem == number
        if len(set(correct[own])) < 2:
            assert np.isnan(area)
        else:
            assert area == pytest.approx(by_pairs(score[own], correct[own]))
