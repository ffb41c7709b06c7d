"""Parts of a solution: without its thinking, or only its beginning."""

from __future__ import annotations

import re
from collections.abc import Sequence

import polars as pl

from epiverb.errors import ConfigError, nearest
from epiverb.text import sentences
from epiverb.text.thinking import FAMILIES, WORDED, spans

UNITS = ("words", "sentences", "characters", "tokens")
_WORD = re.compile(r"\S+")


def without_thinking(text: str) -> str:
    """What is left of `text` without its thinking: s\\think.

    Every closed block goes, with the white space behind it; so does all up to a closing tag whose opening tag stood in the
    prompt. Thinking that never closes stays.

    Source: arXiv 2603.24472, beanie00/self-distillation-analysis@5c51051 `_remove_thinking_trace`.
    Ours differs: the tags of all families that `epiverb.text.thinking` knows, not only `<think>`.
    """
    for tags in FAMILIES:
        text = _closed(text, tags.opening, tags.closing)
        head, closing, rest = text.partition(tags.closing)
        if tags.alone and closing and tags.opening not in head:
            text = rest.lstrip()
    for opening, closing in WORDED:
        if re.match(opening, text) and closing in text:
            text = text.partition(closing)[2].lstrip()
    return text


def _closed(text: str, opening: str, closing: str) -> str:
    """`text` without the blocks from an opening tag to the next closing one."""
    kept, place = [], 0
    while (begin := text.find(opening, place)) >= 0 and (end := text.find(closing, begin)) >= 0:
        kept.append(text[place:begin])
        place = end + len(closing)
        while place < len(text) and text[place].isspace():
            place += 1
    return "".join([*kept, text[place:]])


def thinks_to_the_end(text: str) -> bool:
    """Whether the thinking of `text` never closes, so that there is nothing without it."""
    return bool(spans(pl.Series([text]))["open"][0])


def beginning(text: str, share: float, unit: str) -> str:
    """The first `share` of `text`, counted in whole units and rounded down, but at least one.

    Raises:
        ConfigError: the unit is none of `UNITS`, or tokens, which only a tokenizer can count.
    """
    ends: Sequence[int]
    if unit == "characters":
        ends = range(1, len(text) + 1)
    elif unit == "words":
        ends = [match.end() for match in _WORD.finditer(text)]
    elif unit == "sentences":
        ends = sentences.find(pl.Series([text]))["end"].to_list()
    else:
        raise ConfigError(f"a solution cannot be cut by {unit!r} here.{nearest(unit, UNITS[:3])}")
    return text[: ends[max(1, int(share * len(ends) + 1e-9)) - 1]] if len(ends) else ""
