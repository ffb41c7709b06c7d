"""Where the thinking of a trace can be broken off: behind its sentences, or behind its steps (at blank lines)."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import polars as pl

from epiverb.measures.base import Hits, Ints, Mask
from epiverb.text import sentences

UNITS = ("sentence", "step")
STEP = re.compile(r"\n\n+")
"""Steps end at blank lines. Source: arXiv 2509.26522, whose code splits at two line feeds and skips empty parts."""
NO_THINKING = "no thinking"
EMPTY = "its thinking is empty"


@dataclass(frozen=True)
class Boundaries:
    """The places of one trace, entry 0 before its thinking; code points into the response."""

    begin_N: Ints
    """Where the nth sentence begins; entry 0 is the start of the thinking."""
    end_N: Ints
    """Where it ends."""
    single_N: Mask
    """Whether one sentence lies between this place and the one before; several where places were thinned out."""

    def kinds(self, hits: Hits | None) -> tuple[Mask, Mask]:
        """Whether each sentence holds an epistemic marker; and whether a procedural word and no epistemic marker.

        Args:
            hits: of this trace and one lexicon; None: it has none. Those in loops do not count.
        """
        told = hits.select(~hits.in_loop) if hits is not None else None
        epistemic = self._holding(told.epistemic.start if told else np.zeros(0, np.int64))
        procedural = self._holding(told.start[told.named("procedural")] if told else np.zeros(0, np.int64))
        return epistemic, procedural & ~epistemic

    def _holding(self, start: Ints) -> Mask:
        inside = start[(start >= self.end_N[0]) & (start < self.end_N[-1])]
        mask = np.zeros(len(self.end_N), bool)
        mask[np.searchsorted(self.end_N, inside, side="right")] = True
        return mask


def boundaries(traces: pl.DataFrame, unit: str = "sentence", most: int | None = None) -> list[Boundaries | str]:
    """The places of each trace, or why it has none.

    Args:
        traces: rows of the `traces` table.
        unit: `sentence` or `step`.
        most: places of a trace besides the first; a longer one is thinned out evenly, its last place kept.
    """
    inside = traces.select(
        pl.col("response").str.slice(pl.col("thinking_start"), pl.col("thinking_end") - pl.col("thinking_start"))
    ).to_series()
    if unit == "sentence":
        found = sentences.find(inside.fill_null(""))
        parts: dict[int, list[tuple[int, int]]] = {}
        for row, start, end in found.iter_rows():
            parts.setdefault(row, []).append((start, end))
    else:
        parts = {row: _steps(text) for row, text in enumerate(inside) if text is not None}
    offsets = traces["thinking_start"].to_list()
    return [
        NO_THINKING if offset is None else _places(parts.get(row, []), offset, most)
        for row, offset in enumerate(offsets)
    ]


def _steps(text: str) -> list[tuple[int, int]]:
    """Start and end of the parts between blank lines that are not empty, white space at their edges left out."""
    cuts = [0, *(place for match in STEP.finditer(text) for place in match.span()), len(text)]
    spans = []
    for start, end in zip(cuts[::2], cuts[1::2], strict=True):
        part = text[start:end]
        if part.strip():
            spans.append((start + len(part) - len(part.lstrip()), end - len(part) + len(part.rstrip())))
    return spans


def _places(parts: list[tuple[int, int]], offset: int, most: int | None) -> Boundaries | str:
    if not parts:
        return EMPTY
    begin, end = np.array([(0, 0), *parts]).T + offset
    if most is None or len(parts) <= most:
        return Boundaries(begin, end, np.arange(len(end)) > 0)
    kept = np.unique(np.concatenate([[0], np.round(np.linspace(1, len(parts), most)).astype(int)]))
    single = np.diff(kept, prepend=-1) == 1
    single[0] = False
    return Boundaries(begin[np.concatenate([[0], kept[:-1] + 1])], end[kept], single)
