"""Normalised HSIC against both matrices inverted whole; peaks and their overlap with markers."""

from __future__ import annotations

import numpy as np
import pytest

from epiverb.measures.mi import Factor, hsic, overlap, peaks, trajectory


def inverted(x, y, sigma=50.0, epsilon=1e-5):
    """As published, in float64: d x d kernels, centred, each times the inverse of itself with a ridge."""
    d = len(x)
    centre = np.eye(d) - 1 / d
    smooth = []
    for v in (x, y):
        kernel = np.exp(-((v[:, None] - v[None]) ** 2) / (2 * sigma**2)) @ centre
        smooth.append(kernel @ np.linalg.inv(kernel + epsilon * d * np.eye(d)))
    return float(np.sum(smooth[0] * smooth[1].T))


@pytest.mark.parametrize(("d", "scale"), [(64, 1.0), (96, 20.0), (200, 300.0)])
def test_factored_equals_inverted(d, scale):
    rng = np.random.default_rng(d)
    x = rng.normal(size=d) * scale
    for y in (x, 0.5 * x + rng.normal(size=d) * scale, rng.normal(size=d)):
        assert hsic(Factor.of(x), Factor.of(y)) == pytest.approx(inverted(x, y), abs=1e-6)


def test_one_unit_far_out_and_equal_numbers():
    x = np.ones(64)
    x[3] = 4000.0
    assert hsic(Factor.of(x), Factor.of(x)) == pytest.approx(inverted(x, x), abs=1e-6)


def test_dependent_states_have_more():
    rng = np.random.default_rng(1)
    gold = rng.normal(size=256) * 30
    states = np.stack([rng.normal(size=256) * 30, gold + rng.normal(size=256), np.full(256, np.nan)])
    told = trajectory(states, gold)
    assert told[1] > 3 * told[0]
    assert np.isnan(told[2])


def test_peaks_and_overlap():
    told = np.array([0.1, 5.0, np.nan, 4.0, 4.0, 0.2])
    assert peaks(told, 2).tolist() == [1, 3]
    marker = np.array([False, True, False, False, False, False])
    assert overlap(peaks(told, 2), marker) == {"share": 0.5, "lift": pytest.approx(3.0)}
    assert np.isnan(overlap(peaks(told, 2), np.zeros(6, bool))["lift"])
