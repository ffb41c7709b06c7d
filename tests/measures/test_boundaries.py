"""Where thinking is broken off: sentences, steps, thinning, kinds of sentences, traces without thinking."""

from __future__ import annotations

import numpy as np
import polars as pl

from epiverb.measures.base import Hits
from epiverb.measures.boundaries import EMPTY, NO_THINKING, boundaries

TEXT = "<think>\nOne is 1. Wait, no.\n\nSo 😀 two.  \n\n\nIt is 3!</think>\n\nYes."


def traces(*texts):
    rows = [(t, 7, t.index("</think>")) if "</think>" in t else (t, None, None) for t in texts]
    return pl.DataFrame(
        rows, schema={"response": pl.String, "thinking_start": pl.Int64, "thinking_end": pl.Int64}, orient="row"
    )


def parts(found):
    return [TEXT[a:b] for a, b in zip(found.begin_N, found.end_N, strict=True)]


def test_sentences_and_steps():
    (found,) = boundaries(traces(TEXT))
    assert parts(found) == ["", "One is 1.", "Wait, no.", "So 😀 two.", "It is 3!"]
    (steps,) = boundaries(traces(TEXT), "step")
    assert parts(steps) == ["", "One is 1. Wait, no.", "So 😀 two.", "It is 3!"]
    assert steps.single_N.tolist() == [False, True, True, True]


def test_nothing_to_break_off():
    assert boundaries(traces("None.", "<think></think>x")) == [NO_THINKING, EMPTY]


def test_thinned_places_keep_the_first_and_last():
    text = "<think>" + " ".join(f"It is {i}x." for i in range(20)) + "</think>"
    (found,) = boundaries(traces(text), most=4)
    (whole,) = boundaries(traces(text))
    assert len(found.end_N) == 5
    assert (found.end_N[0], found.end_N[1], found.end_N[-1]) == (7, whole.end_N[1], whole.end_N[-1])
    assert found.single_N.tolist() == [False, True, False, False, False]
    assert set(found.end_N.tolist()) <= set(whole.end_N.tolist())


def test_kinds_by_what_a_sentence_holds():
    (found,) = boundaries(traces(TEXT))
    at = TEXT.index("Wait"), TEXT.index("So"), TEXT.index("two"), TEXT.index("Yes")
    categories = ("reconsideration", "procedural", "uncertainty", "uncertainty")
    frame = pl.DataFrame(
        {"trace_id": ["0"] * 4, "start": at, "end": [a + 2 for a in at], "category": categories, "in_loop": [False] * 4,
         "segment": ["thinking"] * 4}
    )  # fmt: skip
    epistemic, procedural = found.kinds(Hits.of(frame))
    assert np.flatnonzero(epistemic).tolist() == [2, 3]
    assert np.flatnonzero(procedural).tolist() == []  # the sentence with "So" doubts as well
    assert not any(mask.any() for mask in found.kinds(None))
