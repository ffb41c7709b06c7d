"""What the figures of beliefs and signals show: bands that fill the height, markers where they stand, whiskers that are there."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from epiverb.plots.beliefs import BANDS, belief_bands, gains, signals
from epiverb.plots.style import axes, svg


@pytest.fixture
def ax():
    return axes(3.0)[1][0]


def table(candidates, right=0, places=4):
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(candidates), places)
    rows = [
        (x, 10 * x, f"answer {k}" if k else "$1$", k == right, float(p[x, k]))
        for x in range(places)
        for k in range(candidates)
    ]
    return pl.DataFrame(rows, schema=["x", "end", "candidate", "right", "p"], orient="row")


def tops(ax):
    """The upper edge of each band at every place."""
    return [
        [max(y for x, y in band.get_paths()[0].vertices if x == place) for place in range(4)] for band in ax.collections
    ]


@pytest.mark.parametrize(("candidates", "bands"), [(2, 2), (5, 5), (9, 1 + BANDS)])
def test_bands_fill_the_height_and_the_right_answer_lies_below(ax, candidates, bands):
    frame = table(candidates)
    belief_bands(frame, ax)
    assert len(ax.collections) == bands
    np.testing.assert_allclose(tops(ax)[-1], 1)
    np.testing.assert_allclose(tops(ax)[0], frame.filter("right")["p"])


def test_markers_stand_between_the_ends_of_their_sentences(ax):
    hits = pl.DataFrame({"category": ["uncertainty", "uncertainty", "procedural"], "start": [5, 99, 7]})
    belief_bands(table(3), ax, hits)
    (line,) = ax.lines
    assert line.get_xdata().tolist() == [0.5]
    assert line.get_label() == "uncertainty"


def test_entropy_on_an_axis_of_its_own_and_an_answer_that_looks_like_mathematics():
    figure, (ax,) = axes(3.0)
    belief_bands(table(2), ax, eat=pl.DataFrame({"x": [0.0, 1.0], "value": [1.5, 0.5]}))
    assert [len(one.lines) for one in figure.axes] == [0, 1]
    assert "$1$" in svg(figure, "beliefs", "bands")


def figure_of(value, lo=None, hi=None):
    return {"value": value, "lo": lo, "hi": hi, "n_problems": 9}


def test_gains_leave_out_what_is_unknown(ax):
    block = {
        "gain": {"epistemic": figure_of(0.2, 0.1, 0.3), "procedural": figure_of(0.1), "other": figure_of(None)},
        "n_sentences": {"epistemic": 1200, "procedural": 30, "other": 0},
    }
    gains(block, ax)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["epistemic (n=1,200)", "procedural (n=30)"]
    assert [0.1, 0.3] in [list(line.get_xdata()) for line in ax.lines]


def test_signals_show_both_ways_of_counting(ax):
    rows = [
        {"name": "a", "within": figure_of(0.7, 0.6, 0.8), "auroc": figure_of(0.4)},
        {"name": "b", "within": figure_of(None), "auroc": figure_of(0.6)},
    ]
    signals({"rows": rows}, ax)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a"]
    drawn = [list(line.get_xdata()) for line in ax.lines]
    assert [0.7] in drawn
    assert [0.4] in drawn
