"""Beliefs along one trace: where it is broken off, what closes its thinking, what the model says of each candidate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from epiverb.errors import DataError
from epiverb.measures.base import Column, Ints
from epiverb.measures.beliefs import closed_world
from epiverb.measures.boundaries import Boundaries
from epiverb.models.beliefs import force
from epiverb.models.heads import Split, Whole
from epiverb.models.probe import Probe
from epiverb.models.stems import Stem
from epiverb.text.thinking import FAMILIES
from epiverb.verbs.beliefs.candidates import Candidates
from epiverb.verbs.scoring.source import Aligned

NO_CANDIDATES = "no answer: none of its problem's samples has one that can be read, and no gold answer is known"
ONE_CANDIDATE = "one candidate answer: all samples agree and no other answer is known, so that nothing can be undecided"
NO_TAG = "its thinking is marked by no tag that is known"
NO_NUMBER = "the model gives NaN"
TOO_LONG = "longer than the model: its prompt and an answer alone do not fit"


@dataclass(frozen=True)
class Told:
    """What is known along one trace, entry n behind its nth place."""

    p_N_K: Column
    logp_N_K: Column | None
    """Natural log-probability of each candidate with its end, behind the stem; None: sampled."""
    scored_K: Ints
    """Tokens of each candidate that were scored; answers sampled, where they were."""
    eat_N: Column
    asked_N: Column
    tokens_N: Ints
    """Tokens of the thinking up to there."""
    texts: tuple[str, ...]
    right: tuple[bool, ...]
    own: int | None


@dataclass(frozen=True)
class Asked:
    """What all traces are asked, and of which model."""

    parts: Split | Whole
    tokenizer: Any
    stem: Stem
    window: int | None

    def scored(self, one: Aligned, at: Boundaries, closing: str, found: Candidates) -> Told | str:
        """Beliefs at the first places, as many as the model is long enough for; or why there are none."""
        try:
            probe = Probe.of(self.tokenizer, closing, self.stem, found.texts)
        except DataError as error:
            return str(error).rstrip(".")
        inside = cuts(one, at)
        ends = len(one.prompt) + inside
        kept = len(ends) if self.window is None else int((ends + probe.longest <= self.window).sum())
        if not kept:
            return TOO_LONG
        told = force(self.parts, (*one.prompt, *one.ids), ends[:kept], probe)
        if not np.isfinite(told.logp_N_K).all():
            return NO_NUMBER
        return Told(
            closed_world(told.logp_N_K), told.logp_N_K, told.scored_K, told.closed_N, told.asked_N,
            inside[:kept] - inside[0], found.texts, found.right, found.own.get(one.key),
        )  # fmt: skip


def cuts(one: Aligned, at: Boundaries) -> Ints:
    """Tokens of the response before each place; a token across it (a full stop and a line feed) is before it."""
    known = np.maximum.accumulate(np.maximum(one.start, 0))
    return np.searchsorted(known, at.end_N, side="left")


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
