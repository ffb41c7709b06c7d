"""Forests: what stands beside a row, where its interval is drawn, and ticks that do not run together."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from epiverb.plots.forest import PLAIN, POINTS, RATIO, Row, forest, height, ratio_axis, told
from epiverb.plots.style import axes


def test_numbers_beside_a_row():
    half = Row("x", math.log(0.5), math.log(0.25), math.log(1.0))
    assert told(half, RATIO) == "0.5 [0.25, 1]"
    assert told(Row("x", 0.1, -0.05, 0.25), POINTS) == "+10.0 [-5.0, +25.0]"
    assert told(Row("x", 1.0), PLAIN) == "+1.00"
    assert told(Row("x", lo=math.log(7.0)), RATIO) == "≥ 7"
    assert told(Row("x", hi=math.log(0.2)), RATIO) == "≤ 0.2"
    assert told(Row("x", 0.0, None, math.log(3)), RATIO) == "1 [open, 3]"
    assert told(Row("x"), RATIO) == "unknown"
    assert told(Row("x", heading=True), RATIO) == ""


def test_intervals_are_drawn_where_they_are():
    rows = [Row("a", 0.1, -0.1, 0.3), Row("b", -0.2, -0.3, -0.1)]
    _, (ax,) = axes(height(rows))
    forest(rows, ax, scale=POINTS, label="points")
    bars = [line for line in ax.lines if len(line.get_xdata()) == 2 and line.get_marker() == "None"]
    spans = [[float(x) for x in line.get_xdata()] for line in bars]
    assert [-10.0, 30.0] in [[round(x, 9) for x in span] for span in spans]
    assert [text.get_text() for text in ax.get_yticklabels()] == ["a", "b"]


def test_an_interval_far_beyond_the_values_ends_in_an_arrow():
    rows = [Row("a", 0.1, 0.0, 0.2), Row("b", 0.1, -40.0, 40.0)]
    _, (ax,) = axes(height(rows))
    forest(rows, ax, scale=RATIO, label="ratio")
    low, high = ax.get_xlim()
    assert high < 10
    assert low > -10
    assert {line.get_marker() for line in ax.lines} >= {"<", ">"}


@pytest.mark.parametrize("reach", [0.05, 0.3, 1, 2, 4, 8, 12])
@pytest.mark.parametrize("shift", [-1, -0.5, 0, 0.5])
def test_ticks_of_ratios_are_apart_and_few(reach, shift):
    low, high = reach * (shift - 1), reach * (shift + 1)
    _, (ax,) = axes(2.0)
    ax.set_xlim(low, high)
    ratio_axis(ax, low, high)
    ticks = list(ax.get_xticks())
    assert 1 <= len(ticks) <= 9
    assert all(b - a >= 0.12 * (high - low) for a, b in pairwise(ticks))
    assert [text.get_text() for text in ax.get_xticklabels()] == [f"{math.exp(t):.6g}" for t in ticks]
