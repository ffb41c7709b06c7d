"""Measures of tokens by hand, bounds on entropy as a property, tokens of markers."""

from __future__ import annotations

import numpy as np
import pytest

from epiverb.measures import TOKEN_MEASURES
from epiverb.measures.markers import around, controls, cover
from epiverb.measures.tokens import Trajectory, entropy_bounds
from epiverb.verbs.scoring.events import word_starts


@pytest.mark.parametrize("k", [1, 2, 5, 19, 40])
def test_bounds_hold_and_meet_where_all_is_known(rng, k):
    logits = rng.normal(size=(200, 40)) * rng.uniform(0.1, 6, size=(200, 1))
    logp = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    exact = -(np.exp(logp) * logp).sum(1)
    low, high = entropy_bounds(-np.sort(-logp, axis=1)[:, :k], 40)
    assert (low <= exact + 1e-9).all()
    assert (exact <= high + 1e-9).all()
    if k == 40:
        assert np.abs(high - low).max() < 1e-9
        assert np.abs(low - exact).max() < 1e-9
    else:
        assert (high - low).max() > 1e-3


def test_bounds_by_hand():
    low, high = entropy_bounds(np.log([[0.5, 0.2]]), 6)  # 0.3 is left to four tokens of at most 0.2
    known = -0.5 * np.log(0.5) - 0.2 * np.log(0.2)
    assert low[0] == pytest.approx(known - 0.3 * np.log(0.2))
    assert high[0] == pytest.approx(known - 0.3 * np.log(0.3 / 4))
    assert np.isnan(entropy_bounds(np.log([[0.5, 0.2]]), None)[1][0])


def _all(trajectory: Trajectory) -> dict[str, float]:
    return {k: v for name in TOKEN_MEASURES for k, v in TOKEN_MEASURES.get(name)(trajectory).items()}


def test_deepconf_by_hand():
    confidence = np.array([5.0, 1.0, 3.0, 4.0, 8.0, 6.0])
    found = _all(Trajectory(confidence=confidence, window=2))
    groups = [3.0, 2.0, 3.5, 6.0, 7.0]
    assert found["confidence"] == pytest.approx(4.5)
    assert found["confidence-lowest-group"] == pytest.approx(min(groups))
    assert found["confidence-bottom-10"] == pytest.approx(2.0)  # a tenth of five groups is at least one
    assert found["confidence-tail"] == pytest.approx(7.0)
    short = _all(Trajectory(confidence=confidence))
    assert short["confidence-lowest-group"] == short["confidence-tail"] == pytest.approx(4.5)
    wide = np.tile([10.0, 0.0], 50)
    assert _all(Trajectory(confidence=wide, window=1))["confidence-bottom-10"] == 0.0


def test_exact_and_bounded_entropy_have_different_names_and_unknown_is_nan():
    column = np.array([1.0, np.nan, 3.0])
    assert _all(Trajectory(low=column, high=column))["entropy"] == pytest.approx(2.0)
    found = _all(Trajectory(low=column, high=column + 1))
    assert "entropy" not in found
    assert found["entropy-lower"] == pytest.approx(2.0)
    assert found["entropy-upper"] == pytest.approx(3.0)
    nothing = _all(Trajectory())
    assert nothing
    assert all(np.isnan(value) for value in nothing.values())


def test_every_measure_says_what_it_is():
    for name in TOKEN_MEASURES:
        measure = TOKEN_MEASURES.get(name)
        assert measure.name == name
        assert measure.unit
        assert measure.direction
        assert measure.needs
        assert measure.version >= 1
        assert set(measure.needs) <= set(Trajectory.__dataclass_fields__)


def test_tokens_of_a_marker_of_several_tokens_and_of_text_without_tokens():
    start, end = np.array([0, 3, 7, 9, -1]), np.array([3, 7, 9, 12, -1])
    found = cover(start, end, np.array([4, 8, 12]), np.array([6, 11, 14]))
    assert list(zip(found.first, found.stop, found.hit, strict=True)) == [(1, 2, 0), (2, 4, 1)]
    assert found.n_lost == 1


def test_controls_are_alike_far_from_markers_and_used_once(rng):
    n, width = 60, 3
    begins = np.ones(n, bool)
    alike = np.arange(n) % 5 == 0
    taken = np.zeros(n, bool)
    places = np.array([20, 21, 45])
    taken[places] = True
    chosen = controls(begins, taken, places, alike, width, rng)
    assert len(set(chosen)) == 3
    for place, control in zip(places, chosen, strict=True):
        assert alike[place] == alike[control]
        assert np.abs(places - control).min() > width
        assert width <= control < n - width
    assert (controls(begins[:4], taken[:4], np.array([1]), alike[:4], width, rng) == -1).all()


def test_series_around_places():
    found = around(np.arange(5.0), np.array([0, 2]), 1)
    assert np.isnan(found[0, 0])
    assert found[1].tolist() == [1, 2, 3]


def test_where_words_and_sentences_begin():
    text = "So x.\n\nWait, no"
    start = np.array([0, 2, 4, 5, 7, 11, 12])
    end = np.array([2, 4, 5, 7, 11, 12, 15])
    begins, opens = word_starts(text, start, end)
    assert begins.tolist() == [True, True, False, False, True, False, True]
    assert opens.tolist() == [True, False, False, False, True, False, False]
