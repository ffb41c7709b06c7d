"""Phrases that are put into a trace: published ones, and neutral ones of the same length to compare them with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from epiverb.errors import ConfigError, nearest

INJECTION = "arXiv 2603.15500 v2, section 4.1"


@dataclass(frozen=True)
class Phrase:
    """What is put in."""

    name: str
    text: str
    """Empty: the trace is cut and goes on, nothing else."""
    source: str
    neutral: bool = False
    """A control: says nothing about what went before."""


PHRASES: dict[str, Phrase] = {
    phrase.name: phrase
    for phrase in (
        Phrase("none", "", INJECTION, neutral=True),
        Phrase("hmm", "Hmm, I'm not sure this is right.", INJECTION),
        Phrase("hmm-reconsider", "Hmm, I'm not sure this is right. Let me reconsider.", INJECTION),
        Phrase("wait-correct", "Wait, is that correct?", INJECTION),
        Phrase("wait-check", "Wait, let me double-check.", INJECTION),
        Phrase("wait", "Wait", "arXiv 2501.19393 (s1, budget forcing)"),
        Phrase("next", "Next, the following step.", "epiverb", neutral=True),
    )
}
"""Name -> phrase. The published study has no control but `none`, which is shorter than the others."""

_NEUTRAL = (
    "Next", "Next,", "Next, on.", "Next, step two.", "Next, the following.", "Next, the following step.",
    "Next, here is the following step.", "Next, we write down the following step.",
    "Next, we go on and write down the following step.", "Next, we go on and write down the following step. Then on.",
    "Next, we go on and write down the following step. Then the one after.",
    "Next, we go on and write down the following step. Then the one after that, too.",
)  # fmt: skip
"""Neutral continuations of growing length, for `neutral`."""


def phrase(name: str) -> Phrase:
    """The phrase called `name`; raises `ConfigError` that suggests the nearest."""
    if name not in PHRASES:
        raise ConfigError(f"unknown phrase {name!r}.{nearest(name, PHRASES)}")
    return PHRASES[name]


def neutral(other: Phrase, tokenizer: Any) -> Phrase:
    """A neutral phrase with as many tokens as `other`, or the nearest number there is; the shorter of two as near.

    Its name is `neutral-` and the other's. Numbers of tokens of both go into `Completion.extra` (`insertion`).
    """
    size = n_tokens(other.text, tokenizer)
    text = min(_NEUTRAL, key=lambda text: (abs(n_tokens(text, tokenizer) - size), n_tokens(text, tokenizer)))
    return Phrase(f"neutral-{other.name}", text if size else "", "epiverb", neutral=True)


def n_tokens(text: str, tokenizer: Any) -> int:
    """Tokens of `text` behind other text."""
    return len(tokenizer.encode(text, add_special_tokens=False)) if text else 0
