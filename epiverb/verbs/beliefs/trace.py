"""Beliefs along one trace: where it is broken off, what closes its thinking, what the model says of each candidate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from epiverb.errors import DataError
from epiverb.measures.base import Ints
from epiverb.measures.beliefs import Beliefs, closed_world
from epiverb.measures.boundaries import Boundaries
from epiverb.models.beliefs import force
from epiverb.models.heads import Split, Whole
from epiverb.models.probe import Probe
from epiverb.models.stems import Stem
from epiverb.text.thinking import FAMILIES
from epiverb.verbs.beliefs.candidates import Candidates

NO_CANDIDATES = "no answer: none of its problem's samples has one that can be read, and no gold answer is known"
ONE_CANDIDATE = "one candidate answer: all samples agree and no other answer is known, so that nothing can be undecided"
NO_TAG = "its thinking is marked by no tag that is known"
NO_NUMBER = "the model gives NaN"


@dataclass(frozen=True)
class Tokens:
    """A trace as tokens."""

    prompt: tuple[int, ...]
    response: tuple[int, ...]
    start_T: Ints
    """Code point in the response where each token begins, rising."""


@dataclass(frozen=True)
class Asked:
    """What all traces are asked."""

    parts: Split | Whole
    tokenizer: Any
    stem: Stem
    window: int | None
    share: bool | None = None

    def forced(self, tokens: Tokens, at: Boundaries, closing: str, found: Candidates) -> tuple[Beliefs, Ints] | str:
        """Beliefs, and how many of `at`'s places they cover from the first on; or why there are none."""
        if reason := lacking(found):
            return reason
        try:
            probe = Probe.of(self.tokenizer, closing, self.stem, found.texts)
        except DataError as error:
            return str(error).rstrip(".")
        inside = np.searchsorted(tokens.start_T, at.end_N, side="left")
        ends = len(tokens.prompt) + inside
        fits = np.ones(len(ends), bool) if self.window is None else ends + probe.longest <= self.window
        if not fits[0]:
            return f"longer than the model: its prompt alone and an answer take more than {self.window:,} tokens"
        if ends[0] < 1:
            return "no prompt is known, so that its thinking stands behind nothing"
        kept = int(fits.sum())
        told = force(self.parts, (*tokens.prompt, *tokens.response), ends[:kept], probe, share=self.share)
        if not np.isfinite(told.logp_N_K).all():
            return NO_NUMBER
        beliefs = Beliefs(
            closed_world(told.logp_N_K),
            np.array(found.right),
            tokens_N=(inside[:kept] - inside[0]).astype(float),
            coverage_N=np.exp(told.logp_N_K).sum(1),
            eat_N=told.closed_N,
            asked_N=told.asked_N,
            mean_N_K=closed_world(told.logp_N_K / told.scored_K),
            logp_N_K=told.logp_N_K,
            scored_K=told.scored_K,
        )
        return beliefs, np.arange(kept)


def lacking(found: Candidates) -> str | None:
    """Why these candidates are not enough, or None."""
    return NO_CANDIDATES if not found.texts else ONE_CANDIDATE if len(found.texts) == 1 else None


def closing_tag(row: dict[str, Any]) -> str | None:
    """The tag that closes the thinking of a trace: its own, else that of the opening tag before it."""
    response, start, end = row["response"], row["thinking_start"], row["thinking_end"]
    before = (response[:start] if response[:start].strip() else row["prompt"] or "").rstrip()
    for tags in FAMILIES:
        if response.startswith(tags.closing, end):
            return tags.closing
    return next((tags.closing for tags in FAMILIES if before.endswith(tags.opening)), None)


def knows(tokenizer: Any, closing: str) -> bool:
    """Whether a model was made for this tag: one token, or named in its chat template."""
    if len(tokenizer.encode(closing, add_special_tokens=False)) == 1:
        return True
    return closing in str(tokenizer.chat_template or "")


def with_context(beliefs: Beliefs, at: Boundaries, kept: Ints, hits: pl.DataFrame, own: int | None) -> Beliefs:
    """The beliefs with the trace's own answer and the kinds of its sentences."""
    marked, procedural = at.kinds(hits)
    return replace(beliefs, own=own, marked_N=marked[kept], procedural_N=procedural[kept])
