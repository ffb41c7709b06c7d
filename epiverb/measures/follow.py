"""What follows a marker: another answer, a check, or nothing; and questions, a cue that no lexicon counts.

The window is `WINDOW` code points. An answer is changed when the last one stated before the marker differs from the
first one stated within the window; that takes precedence over a check. What is neither is rumination.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from epiverb.measures.base import Batch, Columns, Hits, Ints, Mask, Measure
from epiverb.text.cues import CUES, REACH, stated

WINDOW = 300
_ROW = 1 << 36
"""Row and place in one sortable number; a response is shorter than this, and no window reaches the next row."""


def _keys(hits: Hits) -> Ints:
    return hits.row * _ROW + hits.start


def _within(place: Ints, others: Ints) -> tuple[Mask, Ints]:
    """Whether one of `others` follows each place within the window, and which is the next."""
    following = np.searchsorted(others, place, side="right")
    index = np.minimum(following, max(len(others) - 1, 0))
    near = (following < len(others)) & (others[index] - place <= WINDOW) if len(others) else np.zeros(len(place), bool)
    return near, index


def _outcomes(batch: Batch) -> tuple[Ints, Mask, Mask]:
    """Row, changed and verified of every epistemic marker outside loops but verification itself."""
    told = batch.told
    checks = told.select(told.named("verification"))
    doubts = told.select(~told.named("verification"))
    cues = batch.hits[CUES.name]
    answers = cues.select(cues.named("answer"))
    said = _said(batch, answers)
    known = said >= 0
    place, at, said = _keys(doubts), _keys(answers)[known], said[known]
    verified = _within(place, _keys(checks))[0]
    near, following = _within(place, at)
    before = np.searchsorted(at, place) - 1
    had = (before >= 0) & (at[np.maximum(before, 0)] // _ROW == doubts.row) if len(at) else near
    changed = near & had
    changed[changed] = said[following[changed]] != said[before[changed]]
    return doubts.row, changed, verified


def _said(batch: Batch, answers: Hits) -> npt.NDArray[np.int64]:
    """A number for each stated answer, equal where the answers are; -1 where none can be read."""
    flat = batch.text.flat
    begin, end = (flat.positions(answers.end + more, answers.row) for more in (0, REACH))
    # Cut out by bytes: to count code points from the start of the text to each would take five times as long.
    tail = pl.DataFrame(
        {
            "text": batch.traces["response"].gather(answers.row),
            "begin": begin - flat.starts[answers.row],
            "n": end - begin,
        }
    ).select(pl.col("text").cast(pl.Binary).bin.slice("begin", "n").cast(pl.String))
    said = stated(tail.to_series())
    return said.rank("dense").cast(pl.Int64).fill_null(-1).to_numpy()


def _follow(batch: Batch) -> Columns:
    row, changed, verified = _outcomes(batch)
    total = batch.count(row)
    known = np.where(total > 0, total, np.nan)
    shares = {"changed": changed, "verified": verified & ~changed, "ruminated": ~verified & ~changed}
    return {f"follow/{batch.primary}/{name}": batch.count(row[chosen]) / known for name, chosen in shares.items()}


def _questions(batch: Batch) -> Columns:
    cues = batch.hits[CUES.name]
    return {"questions": 1000 * batch.count(cues.row[cues.named("question")]) / batch.words}


QUESTIONS = Measure("questions", "per 1,000 words", "asks itself more", "Question marks over words.", _questions)
FOLLOW = Measure(
    "follow",
    "share of markers",
    "changed: doubt changes answers; verified: it leads to checks; ruminated: to nothing",
    f"What follows a marker outside loops within {WINDOW} code points: another answer than before, a check, or neither.",
    _follow,
)
