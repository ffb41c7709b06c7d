"""Agreement of samples by hand: shares, entropy over meanings, the vote; what one sample or no answer leaves unknown."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from epiverb.measures.consistency import CONSISTENCY, Samples, compute

BY_NAME = {measure.name: measure for measure in CONSISTENCY}


def samples(rows):
    frame = pl.DataFrame(
        rows,
        schema={"problem_id": pl.String, "meaning": pl.Int64, "correct": pl.Boolean, "condition": pl.String},
        orient="row",
    ).with_columns(
        pl.lit("b").alias("benchmark"),
        pl.lit(None, pl.Int64).alias("step"),
        pl.int_range(pl.len()).cast(pl.String).alias("trace_id"),
    )
    return Samples.of(frame, frame["meaning"].to_numpy()), frame


def test_by_hand():
    told, frame = samples(
        [("p", 0, True, None)] * 2 + [("p", 1, False, None), ("p", 2, False, None), ("p", -1, False, None)]
    )
    assert BY_NAME["majority-share"](told).tolist() == [0.5] * 5
    agreement = BY_NAME["agreement"](told)
    np.testing.assert_allclose(agreement[:4], [1 / 3, 1 / 3, 0, 0])
    assert np.isnan(agreement[4])
    expected = -(0.5 * np.log(0.5) + 2 * 0.25 * np.log(0.25))
    np.testing.assert_allclose(BY_NAME["semantic-entropy"](told), [expected] * 5)
    assert BY_NAME["meanings"](told).tolist() == [3] * 5
    assert BY_NAME["answered"](told).tolist() == [0.8] * 5
    assert BY_NAME["majority-right"](told).tolist() == [1] * 5
    rows = compute(told, frame)
    assert len(rows) == 5 * len([m for m in CONSISTENCY if not m.name.startswith("weighted")])
    assert rows["value"].null_count() == 1


def test_arms_are_not_mixed():
    told, _ = samples([("p", 0, True, "a"), ("p", 0, True, "a"), ("p", 1, False, "b"), ("p", 0, True, "b")])
    assert BY_NAME["majority-share"](told).tolist() == [1, 1, 0.5, 0.5]


def test_answers_that_tie_count_in_equal_parts():
    told, _ = samples([("p", 0, True, None), ("p", 1, False, None)])
    assert BY_NAME["majority-right"](told).tolist() == [0.5, 0.5]


@pytest.mark.parametrize("rows", [[("p", 0, True, None)], [("p", -1, None, None)] * 3, [(None, 0, True, None)] * 2])
def test_too_few_answers_say_nothing(rows):
    told, _ = samples(rows)
    for measure in CONSISTENCY:
        if measure.name != "answered":
            assert np.isnan(measure(told)).all(), measure.name


def test_the_weighted_vote_by_hand():
    """Two wrong samples of confidence 1 and 2 against a right one of 4; a tie in weight counts half; no weight, no vote."""
    rows = [("p", 0, False, None), ("p", 0, False, None), ("p", 1, True, None), ("p", -1, False, None)]
    rows += [("q", 0, True, None), ("q", 1, False, None), ("r", 0, True, None), ("r", 1, False, None)]
    plain, frame = samples(rows)
    weight = np.array([1.0, 2, 4, np.nan, 3, 3, 1, np.nan])
    told = Samples.of(frame, plain.meaning, {"confidence": weight})
    weighted = BY_NAME["weighted-right/confidence"](told)
    assert weighted[:6].tolist() == [1, 1, 1, 1, 0.5, 0.5]
    assert np.isnan(weighted[6:]).all()
    assert BY_NAME["majority-right"](told)[:4].tolist() == [0] * 4
    names = set(compute(told, frame)["measure"])
    assert "weighted-right/confidence" in names
    assert "weighted-right/confidence-tail" not in names
