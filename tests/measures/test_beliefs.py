"""Measures of beliefs: commit points, changes and controls, the EAT rule and gains by hand; a posterior in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from epiverb.measures.belief_measures import POINTS, VALUES
from epiverb.measures.beliefs import Beliefs, changes, closed_world, eat_stop, entropy, leaders

BY_NAME = {measure.name: measure for measure in (*POINTS, *VALUES)}


def belief(rows, right=(True, False), own=0, marked=(), procedural=(), **more):
    n = len(rows)
    mask = [np.isin(np.arange(n), at) for at in (marked, procedural)]
    return Beliefs(np.array(rows, dtype=float), np.array(right), own, *mask, np.arange(n) * 10.0, **more)


def value(name, told):
    return BY_NAME[name](told)


WANDERS = belief([[0.5, 0.5], [0.8, 0.2], [0.3, 0.7], [0.4, 0.6], [0.9, 0.1], [0.95, 0.05]], marked=(2, 4, 5))


def test_commit_by_hand():
    assert WANDERS.leader_N.tolist() == [0, 0, 1, 1, 0, 0]
    assert value("belief-commit", WANDERS) == 4
    assert value("belief-post-commit", WANDERS) == pytest.approx(1 - 4 / 5)
    assert value("belief-switches", WANDERS) == 2
    assert value("belief-rumination", WANDERS) == pytest.approx(1 / 3)  # of 2, 4, 5 only 5 stands behind 4


def test_never_undecided_commits_before_the_thinking():
    told = belief([[0.9, 0.1]] * 4)
    assert value("belief-commit", told) == 0
    assert value("belief-post-commit", told) == 1


def test_a_tie_does_not_change_the_leader():
    assert leaders(np.array([[0.2, 0.8], [0.5, 0.5], [0.8, 0.2], [0.5, 0.5]])).tolist() == [1, 1, 0, 0]


def test_lost_and_followed():
    lost = belief([[0.5, 0.5], [0.8, 0.2], [0.1, 0.9]], own=1)
    assert value("belief-lost", lost) == 1
    assert value("belief-followed", lost) == 1
    never = belief([[0.4, 0.6], [0.2, 0.8]], own=1)
    assert value("belief-lost", never) == 0
    assert value("belief-lost", belief([[0.5, 0.5], [0.8, 0.2]], own=0)) == 0
    for unknown in (belief([[0.9, 0.1]], own=None), belief([[0.9, 0.1]], right=(False, False))):
        assert np.isnan(value("belief-lost", unknown))


def test_without_gold_what_needs_it_is_unknown():
    told = belief([[0.5, 0.5], [0.9, 0.1]], right=(False, False), eat_N=np.array([1.0, 0.5]))
    for measure in VALUES:
        assert np.isnan(measure(told)) == ("gold" in measure.needs or measure.name.startswith("belief-changed")
                                           or measure.name == "belief-rumination"), measure.name  # fmt: skip
    assert np.isnan(value("belief-gold", told)).all()


def test_changes_and_matched_controls_by_hand():
    told = belief([[0.9, 0.1]] * 4 + [[0.1, 0.9]] * 6, marked=(2, 8))
    marked, control, changed = changes(told, window=3)
    assert changed.tolist() == [False, False, True, True, True, False, False, False, False, False]
    assert (marked.tolist(), control.tolist()) == ([2, 8], [1, 7])  # the earlier of two as near
    assert value("belief-changed/marker", told) == 0.5
    assert value("belief-changed/control", told) == 0
    crowded = belief([[0.9, 0.1]] * 5, marked=(1, 2, 3))
    marked, control, _ = changes(crowded)
    assert (marked.tolist(), control.tolist()) == (
        [1],
        [4],
    )  # one sentence is free, so that two markers have no control


def test_gains_of_a_known_posterior():
    """Two coins; each flip of heads is log 3 for the first: entropy and gains in closed form."""
    odds = 3.0 ** np.array([0, 1, 2, 1, 2, 3])
    p = odds / (1 + odds)
    told = belief(np.stack([p, 1 - p], 1))
    expected = -(p * np.log(p) + (1 - p) * np.log(1 - p))
    np.testing.assert_allclose(value("belief-entropy", told), expected)
    gain = value("belief-gain", told)
    assert np.isnan(gain[0])
    np.testing.assert_allclose(gain[1:], expected[:-1] - expected[1:])
    assert gain[3] < 0 < gain[1]
    np.testing.assert_allclose(value("belief-gold-gain", told)[1:], np.diff(np.log(p)))
    assert value("belief-total-gain", told) == pytest.approx(np.log(2) - expected[-1])
    assert np.nansum(gain) == pytest.approx(value("belief-total-gain", told))
    assert value("belief-area", told) == pytest.approx(expected[1:].mean() / np.log(2))
    assert value("belief-monotone", told) == pytest.approx(4 / 5)


def test_closed_world_forgets_what_all_candidates_share():
    logp = np.log([[0.02, 0.06], [0.3, 0.1]])
    np.testing.assert_allclose(closed_world(logp), [[0.25, 0.75], [0.75, 0.25]])
    assert entropy(np.array([1.0, 0.0])) == 0


def published_stop(series, timescale, threshold, warm):
    """The rule as its authors' code has it, written anew: whole series first, then the first index past the warm-up."""
    mean = [series[0]]
    for x in series[1:]:
        mean.append(timescale * x + (1 - timescale) * mean[-1])
    variance = [0.0]
    for x, m in zip(series[1:], mean[1:], strict=True):
        variance.append(timescale * (x - m) ** 2 + (1 - timescale) * variance[-1])
    for i, v in enumerate(variance[1:]):
        if i >= warm and v < threshold:
            return i + 1
    return None


@pytest.mark.parametrize("delta", [1e-1, 1e-2, 1e-3, 1e-6])
@pytest.mark.parametrize("warm", [0, 5, 25])
def test_eat_rule_against_another_implementation(delta, warm):
    rng = np.random.default_rng(7)
    for _ in range(20):
        series = rng.gamma(1.0, 1.0, size=60) * np.linspace(1, 0, 60) ** 2
        assert eat_stop(series, delta=delta, warm=warm) == published_stop(series, 0.2, delta, warm)


def test_eat_stops_where_it_must_and_says_what_is_read():
    flat = np.full(40, 0.3)
    told = belief([[0.2, 0.8]] * 30 + [[0.9, 0.1]] * 10, eat_N=flat)
    assert eat_stop(flat) == 26
    assert value("eat-stop/0.0001", told) == pytest.approx(26 / 39)
    assert value("eat-stop-right/0.0001", told) == 0  # the right answer leads from 30 on
    assert value("belief-forced-right", told) == 1
    short = belief([[0.9, 0.1]] * 10, eat_N=np.full(10, 0.3))
    assert value("eat-stop/0.0001", short) == 1  # too short to stop
    assert eat_stop(np.zeros(0)) is None


def test_every_measure_says_what_it_is():
    assert len(BY_NAME) == len(POINTS) + len(VALUES)
    for measure in BY_NAME.values():
        assert measure.unit
        assert measure.direction
        assert measure.about.endswith(".")


def test_underthinking_by_hand():
    """Wrong in the end; the right answer leads first behind sentence 2 of 5, ten tokens each: 30 of 50 came after it."""
    rows = [[0.5, 0.5], [0.4, 0.6], [0.7, 0.3], [0.3, 0.7], [0.6, 0.4], [0.1, 0.9]]
    assert value("belief-underthinking", belief(rows, own=1)) == pytest.approx(1 - 20 / 50)
    assert np.isnan(value("belief-underthinking", belief(rows, own=0)))  # a right trace has none
    assert np.isnan(value("belief-underthinking", belief(rows, own=None)))
    assert (
        value("belief-underthinking", belief([[0.9, 0.1], [0.1, 0.9], [0.2, 0.8]], own=1)) == 0
    )  # no thought is right


def test_importance_of_a_sentence_is_what_it_adds_to_the_right_answer():
    told = value("belief-importance", WANDERS)
    assert np.isnan(told[0])
    np.testing.assert_allclose(told[1:], [0.3, -0.5, 0.1, 0.5, 0.05])
