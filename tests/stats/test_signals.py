"""Signals against worlds whose truth is known: within problems and pooled apart, calibration, what is left out."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from epiverb.errors import DataError
from epiverb.stats.signals import by_name, signals


@pytest.fixture(scope="module")
def world():
    """200 problems of 8 samples. `difficult` tells hard problems only; `told` is the chance itself; `doubt` is higher on
    hard problems and higher on right answers, so that pooling gets its sign wrong; `noise` is noise."""
    rng = np.random.default_rng(11)
    n, k = 200, 8
    hard = np.repeat(rng.normal(size=n), k)
    chance = 1 / (1 + np.exp(1.5 * hard))
    correct = rng.random(n * k) < chance
    return pl.DataFrame(
        {
            "benchmark": "b",
            "problem_id": [f"p{i // k}" for i in range(n * k)],
            "correct": correct,
            "status": ["truncated" if i % 11 == 0 else "complete" for i in range(n * k)],
            "difficult": -hard,
            "told": chance,
            "doubt": np.exp(1.2 * hard + 0.7 * correct + 0.7 * rng.normal(size=n * k)),
            "noise": rng.normal(size=n * k),
            "constant": 1.0,
            "rare": [float(i) if i < 5 else None for i in range(n * k)],
        }
    )


@pytest.fixture(scope="module")
def block(world):
    return signals(world, ["difficult", "told", "doubt", "noise", "constant", "rare"], n_draws=400)


def holds(figure, value):
    return figure["lo"] <= value <= figure["hi"]


def test_what_tells_problems_apart_tells_nothing_within_them(block):
    row = by_name(block)["difficult"]
    assert row["within"]["value"] == 0.5
    assert row["auroc"]["lo"] > 0.7
    assert row["prr"]["lo"] > 0.5


def test_pooling_gets_the_sign_of_doubt_wrong_and_it_is_said(block):
    row = by_name(block)["doubt"]
    assert row["within"]["lo"] > 0.6
    assert row["auroc"]["hi"] < 0.5
    assert row["sign"] == -1
    assert any("disagree in sign: doubt" in warning for warning in block["warnings"])


def test_noise_is_chance(block):
    row = by_name(block)["noise"]
    assert holds(row["within"], 0.5)
    assert holds(row["auroc"], 0.5)
    assert abs(row["prr"]["value"]) < 0.15


def test_the_chance_itself_is_calibrated(block, world):
    row = by_name(block)["told"]
    assert row["ece"]["value"] < 0.06
    brier = float(np.mean((world["correct"].to_numpy() - world["told"].to_numpy()) ** 2))
    assert row["brier"]["value"] == pytest.approx(brier, abs=0.01)
    assert row["auroc"]["lo"] <= row["auroc"]["value"] <= row["auroc"]["hi"]


def test_the_strongest_within_problems_comes_first_and_nothing_is_dropped_unsaid(block):
    assert block["rows"][0]["name"] == "doubt"
    assert {row["name"]: row["reason"].split(";")[0] for row in block["left_out"]} == {
        "constant": "it is 1 on all traces.",
        "rare": "5 graded traces have it",
    }
    assert block["n_problems"] == 200
    assert all(row["within"]["n_problems"] < 200 for row in block["rows"])


def test_turning_a_signal_round_turns_its_figures(world):
    both = by_name(signals(world.with_columns((-pl.col("doubt")).alias("calm")), ["doubt", "calm"], n_draws=200))
    for name in ("within", "auroc"):
        assert both["calm"][name]["value"] == pytest.approx(1 - both["doubt"][name]["value"])
    assert both["calm"]["sign"] == -both["doubt"]["sign"]
    for name in ("aurc", "prr", "brier"):
        assert both["calm"][name]["value"] == pytest.approx(both["doubt"][name]["value"])


def test_intervals_resample_problems_and_not_traces(world):
    """Every trace five times over is no more evidence."""
    once = by_name(signals(world, ["doubt"], n_draws=300))["doubt"]
    five = by_name(signals(pl.concat([world] * 5), ["doubt"], n_draws=300))["doubt"]
    for name in ("within", "auroc", "prr"):
        widths = [row[name]["hi"] - row[name]["lo"] for row in (once, five)]
        assert widths[1] == pytest.approx(widths[0], rel=0.05)


def test_the_same_seed_gives_the_same_block(world):
    assert signals(world, ["told"], seed=3, n_draws=100) == signals(world, ["told"], seed=3, n_draws=100)


def test_unfinished_traces_are_told_apart(world):
    cheat = world.with_columns(
        ((pl.col("status") == "complete") & pl.col("correct")).alias("correct"),
        (pl.col("status") == "complete").cast(float).alias("ends"),
    )
    row = by_name(signals(cheat, ["ends"], n_draws=100))["ends"]
    assert row["within"]["value"] > 0.55
    assert row["within_finished"]["value"] == 0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (pl.lit(None, pl.Boolean), "no trace is graded. Grade them first"),
        (pl.lit(True), "graded traces are right"),
        (pl.lit(False), "graded traces are wrong"),
    ],
)
def test_nothing_to_tell_apart(world, change, message):
    with pytest.raises(DataError, match=message):
        signals(world.with_columns(change.alias("correct")), ["told"])


def test_what_is_not_graded_is_counted(world):
    half = world.with_columns(
        pl.when(pl.int_range(pl.len()) % 2 == 0).then("correct").alias("correct"),
        pl.when(pl.int_range(pl.len()) > 8).then("problem_id").alias("problem_id"),
    )
    block = signals(half, ["told"], n_draws=50)
    assert "805 of 1600 traces" in block["warnings"][0]
