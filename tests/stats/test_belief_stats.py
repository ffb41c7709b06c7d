"""Means over problems, gains by kind of sentence and the EAT table on made traces whose figures are known."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from epiverb.stats.beliefs import gains_by_kind, mean_table, stopping


def test_a_problem_counts_once():
    frame = pl.DataFrame(
        {"benchmark": "b", "problem_id": ["p"] * 9 + ["q"], "a": [0.0] * 9 + [1.0], "c": [None] * 9 + [4.0]}
    )
    told = mean_table(frame, ["a", "c"], differences={"d": ("c", "a")}, n_draws=100)
    assert told["a"]["value"] == 0.5
    assert told["a"]["n_problems"] == 2
    assert (told["c"]["value"], told["c"]["n_problems"], told["c"]["lo"]) == (4, 1, None)
    assert told["d"]["value"] == 3


def test_gains_by_kind_recover_what_was_put_in():
    rng = np.random.default_rng(0)
    kinds = ["epistemic", "procedural", "other"]
    rows = []
    for problem in range(60):
        own = rng.normal(scale=0.1)
        for kind, gain in zip(kinds, (0.3, 0.1, 0.0), strict=True):
            rows += [("b", f"p{problem}", kind, gain + own + rng.normal(scale=0.05), gain) for _ in range(5)]
    frame = pl.DataFrame(rows, schema=["benchmark", "problem_id", "kind", "gain", "gold_gain"], orient="row")
    block = gains_by_kind(frame, n_draws=500)
    assert block["gain"]["difference"]["lo"] < 0.2 < block["gain"]["difference"]["hi"]
    alone = block["gain"]["epistemic"]["hi"] - block["gain"]["epistemic"]["lo"]
    assert block["gain"]["difference"]["hi"] - block["gain"]["difference"]["lo"] < alone / 2  # paired by problem
    assert block["n_sentences"] == dict.fromkeys(kinds, 300)
    assert "associations" in block["association"]


def test_a_kind_that_is_not_there_is_unknown():
    frame = pl.DataFrame(
        {"benchmark": "b", "problem_id": ["p", "q"], "kind": "other", "gain": [0.1, 0.2], "gold_gain": [None, None]},
        schema_overrides={"gold_gain": pl.Float64},
    )
    block = gains_by_kind(frame, n_draws=100)
    assert block["gain"]["epistemic"]["value"] is None
    assert block["gain"]["difference"]["value"] is None
    assert block["gold_gain"]["other"]["reason"]


def test_stopping_counts_its_cost():
    frame = pl.DataFrame(
        {
            "benchmark": "b",
            "problem_id": [f"p{i}" for i in range(10)],
            "belief-forced-right": [1.0] * 8 + [0.0] * 2,
            "eat-stop/0.01": [0.5] * 6 + [1.0] * 4,
            "eat-stop-right/0.01": [1.0] * 6 + [0.0] * 4,
        }
    )
    block = stopping(frame, [0.01, 0.001], n_draws=200)
    (row,) = block["rows"]
    assert row["n_stopped"] == 6
    assert row["tokens"]["value"] == pytest.approx(0.7)
    assert row["accuracy"]["value"] == pytest.approx(0.6)
    assert row["cost"]["value"] == pytest.approx(-0.2)
    assert block["accuracy_at_end"]["value"] == pytest.approx(0.8)
