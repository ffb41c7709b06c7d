"""Recovery rates by hand, both readings, and intervals over problems."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from epiverb.errors import DataError
from epiverb.stats.recovery import recovery


def frame(rows: list[tuple[str, str, float, str, bool | None]]) -> pl.DataFrame:
    names = ["problem_id", "original_trace", "fraction", "phrase", "correct"]
    return pl.DataFrame(rows, schema=names, orient="row")


def test_both_readings_by_hand() -> None:
    rows = [("p", "p1", 0.5, "wait", c) for c in (True, False, False, False)]
    rows += [("p", "p2", 0.5, "wait", False)] * 4
    rows += [("q", "q1", 0.5, "wait", c) for c in (True, True, True, None)]
    rows += [(t[0], t, 0.5, "none", False) for t in ("p1", "p2", "q1") for _ in range(4)]
    result = recovery(frame(rows), n_draws=500)
    none, wait = result["rows"]
    assert (none["phrase"], none["mean"]["value"], none["any"]["value"]) == ("none", 0.0, 0.0)
    assert wait["mean"]["value"] == pytest.approx((1 / 4 + 0 + 1) / 3)
    assert wait["any"]["value"] == pytest.approx(2 / 3)
    assert (wait["n_problems"], wait["n_traces"], wait["n_continuations"], wait["n_unknown"]) == (2, 3, 11, 1)
    assert wait["continuations_per_trace"] == [3, 4]
    (gap,) = result["differences"]
    assert (gap["phrase"], gap["control"], gap["mean"]["value"]) == ("wait", "none", wait["mean"]["value"])
    assert any("1 of 24 continuations are not graded" in note for note in result["notes"])


def simulated(rng: np.random.Generator, n: int, gain: float) -> pl.DataFrame:
    """Wrong traces of `n` problems of uneven difficulty; a phrase adds `gain` to the chance that a continuation is right."""
    rows = []
    for p in range(n):
        easy = rng.beta(0.4, 2.0)
        for t in range(rng.integers(1, 5)):
            for name, chance in (("none", easy * 0.5), ("wait", min(1.0, easy * 0.5 + gain))):
                rows += [(str(p), f"{p}-{t}", 0.5, name, bool(rng.random() < chance)) for _ in range(4)]
    return frame(rows)


def test_intervals_are_of_problems_and_hold_the_truth(rng: np.random.Generator) -> None:
    hits = 0
    for _ in range(40):
        result = recovery(simulated(rng, 30, 0.1), n_draws=800)
        gap = result["differences"][0]["mean"]
        hits += gap["lo"] <= 0.1 <= gap["hi"]
    assert 33 <= hits <= 40


def test_copies_of_a_trace_do_not_narrow_the_interval(rng: np.random.Generator) -> None:
    one = simulated(rng, 12, 0.1)
    copies = pl.concat([one.with_columns(pl.col("original_trace") + f"/{i}") for i in range(5)])
    narrow, wide = (recovery(f, n_draws=800)["rows"][1]["mean"] for f in (copies, one))
    assert narrow["value"] == pytest.approx(wide["value"])
    assert narrow["hi"] - narrow["lo"] == pytest.approx(wide["hi"] - wide["lo"], rel=1e-6)


def test_right_traces_are_kept_apart() -> None:
    rows = frame([("p", "a", 0.5, "wait", True), ("q", "b", 0.5, "wait", False)])
    rows = rows.with_columns(original_correct=pl.Series([True, False]))
    assert recovery(rows, n_draws=50)["rows"][0]["mean"]["value"] == 0.0
    stay = recovery(rows, n_draws=50, originally=True)
    assert (stay["rows"][0]["mean"]["value"], stay["originally"]) == (1.0, "right")
    assert "1 of 2 continuations are of other traces" in stay["notes"][0]


def test_nothing_to_report_is_an_error() -> None:
    with pytest.raises(DataError, match="no graded continuation"):
        recovery(frame([("p", "a", 0.5, "wait", None)]))
    with pytest.raises(DataError, match="no column 'fraction'"):
        recovery(pl.DataFrame({"problem_id": ["p"], "original_trace": ["a"], "phrase": ["x"], "correct": [True]}))
