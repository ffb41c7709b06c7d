"""Curves of a training: what is drawn is what is in the table; and the table is what pandas makes of the same traces."""

from __future__ import annotations

import random
from itertools import pairwise

import polars as pl
import pytest

from epiverb.plots import training
from epiverb.plots.style import axes, svg
from epiverb.stats.training import curves


@pytest.fixture
def traces():
    rng = random.Random(1)
    rows = [
        {
            "benchmark": "sums", "problem_id": f"p{problem}", "condition": condition, "step": step,
            "status": rng.choice(["complete", "truncated"]), "correct": rng.random() < 0.5 if condition else None,
            "reward": float(problem % 2) if sample else None, "n_tokens": 10 * (problem + 1) + step, "n_words": 20 + problem,
            "n_markers": rng.randint(0, 4),
        }
        for condition in ("rollout", "probe/ood")
        for step in (0, 10)
        for problem in range(8)
        for sample in range(3)
    ]  # fmt: skip
    return pl.DataFrame(rows)


def test_figures_by_step(traces):
    table = curves(traces, draws=200)
    assert set(table["arm"]) == {"training", "ood"}
    frame = traces.to_pandas()
    for arm, condition in (("training", "rollout"), ("ood", "probe/ood")):
        for step in (0, 10):
            own = frame[(frame.condition == condition) & (frame.step == step)]
            at = {row["figure"]: row for row in table.filter(arm=arm, step=step).iter_rows(named=True)}
            assert at["markers"]["value"] == pytest.approx(1000 * own.n_markers.sum() / own.n_words.sum())
            assert at["length"]["value"] == pytest.approx(own.groupby("problem_id").n_tokens.mean().mean())
            assert at["reward"]["value"] == pytest.approx(
                own.dropna(subset="reward").groupby("problem_id").reward.mean().mean()
            )
            assert at["accuracy"]["value"] == pytest.approx(own.correct.astype(float).mean())
            assert at["finished"]["value"] == pytest.approx((own.status == "complete").mean())
            assert (at["accuracy"]["n_traces"], at["accuracy"]["n_problems"], at["reward"]["n_traces"]) == (24, 8, 16)
            for row in at.values():
                assert row["lo"] <= row["value"] <= row["hi"]


def test_what_is_not_known_has_no_row(traces):
    table = curves(
        traces.with_columns(pl.lit(None, pl.Boolean).alias("correct"), pl.lit(None, pl.Int64).alias("n_tokens")),
        draws=50,
    )
    assert "accuracy" not in set(table["figure"])
    assert table.filter(figure="length", arm="ood", step=0)["value"][0] == pytest.approx(23.5)  # words
    assert curves(traces.with_columns(pl.lit(None, pl.Int64).alias("step")), draws=50).is_empty()


def test_curves_are_the_table():
    table = pl.DataFrame(
        {
            "arm": ["ood", "ood", "training", "training"], "step": [0, 10, 0, 9], "value": [0.5, 0.25, 0.4, 0.6],
            "lo": [0.4, 0.2, None, None], "hi": [0.6, 0.3, None, None],
        }
    )  # fmt: skip
    figure, (top, bottom) = axes(3, rows=2)
    training.curves(table, top, label="right", share=True)
    first, second = top.lines
    assert first.get_xydata().tolist() == [[0, 40], [9, 60]]  # the training comes first
    assert second.get_xydata().tolist() == [[0, 50], [10, 25]]
    assert (first.get_linestyle(), second.get_linestyle()) == ("-", "-")
    assert [text.get_text() for text in top.texts] == ["— ood", "— training"]
    assert top.get_ylabel() == "right, %"
    assert len(top.collections) == 1  # a band only where there are intervals
    points = pl.DataFrame({"group": ["markers", "markers", "others"], "x": [0.0, 1.0, 0.0], "value": [0.2, 0.1, 0.05]})
    training.tokens(points, bottom, label="divergence")
    assert [line.get_ydata().tolist() for line in bottom.lines] == [[0.2, 0.1], [0.05]]
    training.together([top, bottom])
    assert top.get_xlim() == bottom.get_xlim()
    assert bottom.get_xlabel() == "training step"
    assert svg(figure, "Curves", "by step").startswith("<svg")


def test_names_do_not_cover_each_other():
    rows = [(name, 0, 0.5, None, None) for name in ("training", "a", "b", "c")]
    schema = {"arm": pl.String, "step": pl.Int64, "value": pl.Float64, "lo": pl.Float64, "hi": pl.Float64}
    _, (ax,) = axes(1.3)
    training.curves(pl.DataFrame(rows, schema=schema, orient="row"), ax, label="x")
    heights = sorted(text.xy[1] for text in ax.texts)
    assert all(high - low >= 0.149 for low, high in pairwise(heights))
