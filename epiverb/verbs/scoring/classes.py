"""Classes of tokens: markers by category, style words, words as frequent as markers, and the rest."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import polars as pl

from epiverb.errors import DataError
from epiverb.measures.markers import cover
from epiverb.models.controls import matched, phrase_counts, written_counts
from epiverb.schema import EPISTEMIC
from epiverb.verbs.scoring.job import Job

STYLE = (
    "okay", "ok", "alright", "well", "now", "first", "second", "next", "finally", "also", "let", "let's", "we", "i", "need",
    "given", "note", "here", "just", "simply", "basically", "okay", "right", "look", "think", "try", "see", "start",
)  # fmt: skip
"""Words of manner that carry neither doubt nor an argument. Ours; those of the lexicon are in its categories."""
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")


class Classes:
    """Tells the class of each token of a trace: the lexicon's categories, `style`, `matched`, `rest`.

    A token that several hold belongs to the first. `matched` are other words of the traces that occur as often as the
    markers do, one for each marker that occurs.
    """

    def __init__(self, job: Job, traces: pl.DataFrame) -> None:
        self.names = [*job.lex.forms, "style", "matched", "rest"]
        self.markers = list(dict.fromkeys(marker for category, marker in job.lex.markers if category in EPISTEMIC))
        self._texts = dict(traces.select("trace_id", "response").iter_rows())
        rows = job.run.scan("hits").filter(pl.col("lexicon") == job.lex.name).sort("trace_id", "start").collect()
        self._hits = {str(key): own for (key,), own in rows.group_by("trace_id", maintain_order=True)}
        self.described: dict[str, Any] = {"style": sorted(set(STYLE))}
        texts = traces["response"]
        try:
            control = matched(
                job.lex, written_counts(texts), seed=job.config.seed, phrases=phrase_counts(job.lex, texts)
            )
            words = {word.lower() for word in control.words}
            self.described["matched"] = list(control.pairs)
        except DataError as error:
            words = set()
            self.described |= {"matched": [], "matched_reason": str(error)}
        self._classes = [("style", set(STYLE)), ("matched", words - set(STYLE))]
        self._known: tuple[str, np.ndarray, np.ndarray] | None = None

    def of(self, key: str, start: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Index into `names` of each token, and into `markers`, -1 for tokens of no epistemic marker."""
        if self._known is None or self._known[0] != key:
            self._known = (key, *self._of(key, start, end))
        return self._known[1:]

    def _of(self, key: str, start: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        code = np.full(len(start), self.names.index("rest"))
        marker = np.full(len(start), -1)
        text = self._texts[key] or ""
        found = [(match.start(), match.end(), match[0].lower().replace("’", "'")) for match in _WORD.finditer(text)]
        for name, words in reversed(self._classes):
            spans = [(a, b) for a, b, word in found if word in words]
            self._mark(code, start, end, spans, [self.names.index(name)] * len(spans))
        hits = self._hits.get(key)
        if hits is not None:
            spans = list(zip(hits["start"], hits["end"], strict=True))
            self._mark(code, start, end, spans, [self.names.index(name) for name in hits["category"]])
            told = {name: i for i, name in enumerate(self.markers)}
            self._mark(marker, start, end, spans, [told.get(name, -1) for name in hits["marker"]])
        return code, marker

    @staticmethod
    def _mark(
        codes: np.ndarray, start: np.ndarray, end: np.ndarray, spans: list[tuple[int, int]], values: list[int]
    ) -> None:
        at = cover(start, end, np.array([a for a, _ in spans], np.int64), np.array([b for _, b in spans], np.int64))
        for first, stop, hit in zip(at.first, at.stop, at.hit, strict=True):
            codes[first:stop] = values[hit]
