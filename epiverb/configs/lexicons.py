"""What the commands about lexicons can be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from epiverb.config import setting


@dataclass(frozen=True)
class ValidateConfig:
    """Measure a lexicon against labelled marker occurrences: precision and recall per marker, and the confusions.

    Example: epiverb validate --gold gold.jsonl --lexicon epiverb-en
    Example: epiverb validate --gold gold.jsonl --lexicon mine.toml --json
    """

    gold: str = setting(metavar="FILE")
    """JSONL of {id, text, start, end, label}; label is an epistemic category or none."""
    lexicon: str = setting("epiverb-en", short="-l", metavar="NAME|FILE")
    """The lexicon to measure."""
    linguistic: str | None = setting(None, metavar="PIPELINE")
    """spaCy pipeline for rules that need a part of speech."""


@dataclass(frozen=True)
class LexiconConfig:
    """Check a lexicon file, or show a lexicon's entries.

    Example: epiverb lexicon check mine.toml
    Example: epiverb lexicon show epiverb-en
    """

    action: Literal["check", "show"] = setting(metavar="check|show", positional=True)
    """check a file, or show a lexicon."""
    lexicon: str = setting(metavar="NAME|FILE", positional=True)
    """A TOML file or the name of a shipped lexicon."""
