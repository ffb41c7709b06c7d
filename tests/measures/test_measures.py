"""Measures of three tiny traces, worked by hand."""

from __future__ import annotations

import math
import statistics
from itertools import pairwise, product
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epiverb.measures import MEASURES, TOKEN_MEASURES, table
from epiverb.measures.base import Batch, Hits, by_lexicon
from epiverb.measures.compute import compute
from epiverb.measures.places import BINS
from epiverb.text import words
from epiverb.text.cues import CUES
from epiverb.text.lexicon import Lexicon
from epiverb.text.match import Matcher

FORMS = {
    "uncertainty": {"maybe": ("maybe",)},
    "reconsideration": {"wait": ("wait",)},
    "verification": {"check": ("check",)},
    "booster": {"sure": ("sure",)},
}
MINE = Lexicon("mine", "", "", "en", "words", True, FORMS, (), (), (), "")
OTHER = Lexicon("other", "", "", "en", "words", True, {"alternative": {"or": ("or",)}}, (), (), (), "")


def batch_of(texts: list[str], **columns: list[Any]) -> Batch:
    """A batch of texts; columns of `traces` that are not given are null."""
    responses = pl.Series("response", texts, dtype=pl.String)
    places = ("thinking_start", "thinking_end", "loop_start", "n_tokens")
    given = {name: pl.Series(columns.get(name, [None] * len(texts)), dtype=pl.Int64) for name in places}
    prompt = pl.Series("prompt", [None] * len(texts), dtype=pl.String)
    rows = pl.Series("trace_id", range(len(texts)), dtype=pl.UInt32)
    traces = pl.DataFrame({"trace_id": rows, "response": responses, "prompt": prompt, **given})
    traces = traces.with_columns(words.count(responses))
    found = Matcher([MINE, OTHER, CUES]).hits(traces)
    nothing = Hits.of(found.clear())
    named = {name: by_lexicon(found).get(name, nothing) for name in ("mine", "other", "cues")}
    return Batch(traces.with_columns(pl.format("t{}", "trace_id").alias("trace_id")), named, (MINE, OTHER))


def values(texts: list[str], **columns: list[Any]) -> dict[str, list[float | None]]:
    """Measure -> its value for each text."""
    frame, _ = compute(batch_of(texts, **columns))
    by_name = frame.group_by("measure", maintain_order=True).agg("value")
    return dict(by_name.iter_rows())


#        0         1         2         3
#        0123456789012345678901234567890123456789
FIRST = "maybe 4 or wait 5? check sure maybe end."  # 40 code points, 9 words
TEXTS = [FIRST, "é nothing here", ""]


def test_counts_and_rates() -> None:
    found = values(TEXTS)
    assert found["count/mine"] == [4, 0, 0]
    assert found["count/other"] == [1, 0, 0]
    assert found["count/mine/uncertainty"] == [2, 0, 0]
    assert found["count/mine/booster"] == [1, 0, 0]  # counted, but not among the epistemic
    assert found["presence/mine"] == [1, 0, 0]
    assert found["density/mine"] == [pytest.approx(1000 * 4 / 9), 0, None]  # of no words: unknown
    assert found["density/other"] == [pytest.approx(1000 / 9), 0, None]
    assert found["questions"] == [pytest.approx(1000 / 9), 0, None]


def test_places() -> None:
    found = values(TEXTS)
    # 0, 11, 19 and 30 of 40
    assert found["first/mine"] == [0, None, None]
    assert found["last/mine"] == [30 / 40, None, None]
    gaps = np.array([11, 8, 11])
    assert found["gap/mine"] == [pytest.approx(10), None, None]
    expected = (gaps.std() - 10) / (gaps.std() + 10)
    assert found["burstiness/mine"] == [pytest.approx(expected), None, None]


def test_burstiness_needs_three_gaps_and_ends_at_minus_one_for_even_ones() -> None:
    found = values(["wait wait wait", "wait wait wait wait"])
    assert found["burstiness/mine"] == [None, -1]
    assert found["gap/mine"] == [5, 5]


def test_code_points_not_bytes() -> None:
    assert values(["🙂等é wait"])["first/mine"] == [4 / 8]


def test_profile_has_every_part_of_every_trace() -> None:
    _, points = compute(batch_of(TEXTS))
    assert points.height == len(TEXTS) * BINS
    assert set(points["measure"]) == {"profile/mine"}
    rows = points.filter(pl.col("trace_id") == "t0")
    assert rows["x"].to_list() == [i / BINS for i in range(BINS)]
    expected = [0.0] * BINS
    for place in (0, 11, 19, 30):
        expected[place * BINS // 40] += 1
    assert rows["value"].to_list() == expected
    assert points.filter(pl.col("trace_id") != "t0")["value"].to_list() == [0.0] * 2 * BINS


def test_segments() -> None:
    #      0         1         2         3         4
    #      01234567890123456789012345678901234567890123456
    text = "<think>maybe wait or so.</think>\nSo check it. 5"
    found = values(
        [text, FIRST, "", "<think>wait"], thinking_start=[7, None, None, 7], thinking_end=[24, None, None, 11]
    )
    assert found["count/mine/thinking"] == [2, None, None, 1]  # without thinking: unknown, not none
    assert found["count/mine/answer"] == [1, 4, 0, 0]
    assert found["presence/mine/thinking"] == [1, None, None, 1]
    # Four words of thinking; "</think>", "So", "check", "it." and "5" stand behind it.
    assert found["density/mine/thinking"] == [pytest.approx(1000 * 2 / 4), None, None, pytest.approx(1000)]
    assert found["density/mine/answer"] == [pytest.approx(1000 / 5), pytest.approx(1000 * 4 / 9), None, None]


def test_without_the_loop() -> None:
    found = values([FIRST, FIRST, "wait wait"], loop_start=[20, None, 0])
    assert found["count/mine"] == [4, 4, 2]
    assert found["count/mine/outside-loops"] == [3, 4, 0]
    # "maybe 4 or wait 5? c" are six words; all of the last text is its loop.
    assert found["density/mine/outside-loops"] == [pytest.approx(1000 * 3 / 6), pytest.approx(1000 * 4 / 9), None]
    assert found["gap/mine"] == [pytest.approx(9.5), pytest.approx(10), None]
    assert found["transition/mine/verification>uncertainty"] == [0, 1, 0]


def test_transitions() -> None:
    found = values([FIRST, "wait", ""])
    cells = {
        name.removeprefix("transition/mine/"): column for name, column in found.items() if name.startswith("trans")
    }
    assert len(cells) == 16
    followed = {name for name, column in cells.items() if column[0]}
    assert followed == {"uncertainty>reconsideration", "reconsideration>verification", "verification>uncertainty"}
    assert all(column[1:] == [0, 0] for column in cells.values())  # counts: nothing is none, not unknown


def test_median_gap() -> None:
    assert values(["wait wait or so, wait", "wait wait", "wait"])["gap-median/mine"] == [8.5, 5, None]


@settings(max_examples=60)
@given(st.lists(st.lists(st.sampled_from(["maybe", "wait", "check", "sure", "é", "or", "?"])), max_size=6))
def test_against_plain_python(lists: list[list[str]]) -> None:
    kinds = {"maybe": "uncertainty", "wait": "reconsideration", "check": "verification"}
    found = values([" ".join(tokens) for tokens in lists])
    for i, tokens in enumerate(lists):
        places, at = [], 0
        for token in tokens:
            places += [(at, kinds[token])] if token in kinds else []
            at += len(token) + 1
        starts, length = [place for place, _ in places], at - 1
        assert found["count/mine"][i] == len(places)
        assert found["density/mine"][i] == (pytest.approx(1000 * len(places) / len(tokens)) if tokens else None)
        assert found["first/mine"][i] == (pytest.approx(starts[0] / length) if starts else None)
        assert found["last/mine"][i] == (pytest.approx(starts[-1] / length) if starts else None)
        gaps = [b - a for a, b in pairwise(starts)]
        assert found["gap/mine"][i] == (pytest.approx(statistics.mean(gaps)) if gaps else None)
        assert found["gap-median/mine"][i] == (statistics.median(gaps) if gaps else None)
        for a, b in product(kinds.values(), repeat=2):
            pairs = sum((a, b) == (x, y) for (_, x), (_, y) in pairwise(places))
            assert found[f"transition/mine/{a}>{b}"][i] == pairs


def test_tokens_where_they_are_known() -> None:
    assert "density-tokens/mine" not in values(TEXTS)
    found = values(TEXTS, n_tokens=[20, None, 0])
    assert found["density-tokens/mine"] == [200, None, None]


FAR = "." * 301
CASES = [
    (r"\boxed{3} wait \boxed{4}", "changed"),
    (r"\boxed{3} wait, check \boxed{4}", "changed"),  # another answer takes precedence over a check
    (r"\boxed{3} wait \boxed{3}", "ruminated"),
    (r"wait \boxed{4}", "ruminated"),  # no answer before
    (rf"\boxed{{3}} wait {FAR} \boxed{{4}}", "ruminated"),
    (rf"\boxed{{3}} {FAR} wait \boxed{{4}}", "changed"),  # an answer before may stand as far back as it likes
    ("the answer is 3, wait, the answer is 4.", "changed"),
    ("The answer is 3. Wait, so the answer is 3!", "ruminated"),
    ("maybe, check", "verified"),
    (f"maybe {FAR} check", "ruminated"),
    ("check, maybe", "ruminated"),
]


@pytest.mark.parametrize(("text", "outcome"), CASES)
def test_what_follows_a_marker(text: str, outcome: str) -> None:
    found = values(["before", text, r"check \boxed{9}"])
    for name in ("changed", "verified", "ruminated"):
        assert found[f"follow/mine/{name}"] == [None, float(name == outcome), None]


def test_shares_of_several_markers_add_up() -> None:
    found = values([r"\boxed{3} wait \boxed{4} maybe check. " + FAR + "wait"])
    shares = [found[f"follow/mine/{name}"][0] for name in ("changed", "verified", "ruminated")]
    assert shares == [pytest.approx(1 / 3)] * 3
    assert math.isclose(sum(filter(None, shares)), 1)


def test_every_measure_says_what_it_is() -> None:
    rows = table()
    names = [row["name"] for row in rows]
    assert names[: len([*MEASURES])] == [*MEASURES]
    assert {*TOKEN_MEASURES} < {*names}  # and those of beliefs and samples
    assert len(names) == len({*names})
    assert all(all(row.values()) for row in rows)
    frames = compute(batch_of(TEXTS, n_tokens=[1, 2, 3]))
    assert {name.split("/")[0] for frame in frames for name in frame["measure"]} == set(MEASURES)


def test_no_traces() -> None:
    frame, points = compute(batch_of([]))
    assert len(frame) == len(points) == 0
