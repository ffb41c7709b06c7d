"""Figures of scored runs: what stands in them is what is in the document."""

from __future__ import annotations

import polars as pl
import pytest

from epiverb.plots import scores
from epiverb.plots.style import axes, svg


def _figure(value, lo=None, hi=None):
    return {"value": value, "lo": lo, "hi": hi}


def _points(ax):
    return [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "o"]


def test_pressure_by_class_leaves_out_sums_and_unknown():
    rows = [
        {"class": "uncertainty", "ratio": _figure(2.5, 2.0, 3.0)},
        {"class": "epistemic", "ratio": _figure(2.4, 2, 3)},
        {"class": "booster", "ratio": _figure(None)},
        {"class": "rest", "ratio": _figure(0.9)},
        {"class": "all", "ratio": _figure(1.0, 1, 1)},
    ]
    figure, (ax,) = axes(2)
    scores.pressure({"context": "solution", "classes": rows}, ax)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["uncertainty", "rest"]
    assert _points(ax) == [2.5, 0.9]
    assert "solution" in ax.get_xlabel()
    assert svg(figure, "Pressure", "by class").startswith("<svg")


def test_ranking_and_ladder():
    _, (ax,) = axes(2)
    ranked = [
        {"context": "s", "relative_change": _figure(-0.5, -0.6, -0.4)},
        {"context": "a", "relative_change": _figure(-0.1)},
    ]
    scores.suppression({"ranking": ranked}, ax)
    assert _points(ax) == pytest.approx([-50, -10])
    _, (ax,) = axes(2)
    scores.ladder({"rows": [{"condition": "s", "guided": {"per_token": _figure(0.3, 0.2, 0.4)}}]}, ax)
    assert _points(ax) == [0.3]


def test_a_trace_as_heat_with_its_markers():
    _, (ax,) = axes(1.5)
    hits = pl.DataFrame({"category": ["uncertainty", "reconsideration", "uncertainty"], "x": [1, 2, 3]})
    scores.heat([0.1, 2.0, float("nan"), 0.5], hits, ax)
    bars = [drawn for drawn in ax.collections if (drawn.get_gid() or "").startswith("heat-")]
    spans = {bar.get_alpha(): [path.get_extents().intervalx.tolist() for path in bar.get_paths()] for bar in bars}
    assert {alpha: where for alpha, where in spans.items() if where} == {0.1: [[0, 1]], 0.3: [[3, 4]], 1.0: [[1, 2]]}
    assert not ax.images  # an image would not follow the page's theme
    assert [label.get_text() for label in ax.get_yticklabels()] == ["entropy", "uncertainty", "reconsideration"]
    assert "2 nats" in ax.get_xlabel()
    places = [drawn.get_offsets()[:, 0].tolist() for drawn in ax.collections if drawn not in bars]
    assert places == [[1.5, 3.5], [2.5]]


def test_event_curves():
    _, (ax,) = axes(2)
    scores.event(
        {"category": "uncertainty", "n": 9, "n_matched": 5, "marker_curve": [1, 2, 3], "control_curve": [1, 1, 1]}, ax
    )
    assert ax.lines[1].get_xdata().tolist() == [-1, 0, 1]
    assert ax.lines[1].get_ydata().tolist() == [1, 2, 3]
