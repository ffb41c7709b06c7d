"""Places that are no markers but tell what markers do: questions, and where a response states a candidate answer."""

from __future__ import annotations

import polars as pl

from epiverb.schema import CATEGORIES
from epiverb.text.lexicon import Lexicon

CUES = Lexicon(
    name="cues",
    title="Questions and stated answers",
    source="epiverb",
    language="en",
    match="substring",
    reviewed=True,
    forms={
        "question": {"?": ("?", "？")},
        "answer": {
            "boxed": ("boxed{",),
            "answer is": ("answer is",),
            "answer:": ("answer:",),
            "must be": ("answer must be",),
        },
    },
    cancel=(),
    initial=(),
    standalone=(),
    sha256="",
)
"""Matched in the same pass as the lexicons; its hits feed measures and are not written."""

KINDS = (*CATEGORIES, *CUES.forms)
"""All that a hit can be, cues among them: the category of a hit is held as an index into these."""

ANSWER = r"^[\s*:$\\({]*(?:boxed\{)?([^\s{}$*,;]{1,40})"
"""The answer that follows a cue, as far as two can be told apart by it."""


REACH = 48
"""Code points in which it is looked for."""


def stated(responses: pl.Series) -> pl.Series:
    """The answer that each text begins with, or null; the texts start behind a cue."""
    return responses.str.slice(0, REACH).str.extract(ANSWER, 1).str.strip_chars_end(".!?)")
