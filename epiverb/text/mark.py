"""Markers of a few plain texts, for tools that hold texts and no tables."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import polars as pl

from epiverb.text import loops, thinking, words
from epiverb.text.lexicon import load
from epiverb.text.match import Matcher
from epiverb.text.offsets import Flat


@lru_cache(maxsize=16)
def _matcher(lexicons: tuple[str, ...]) -> Matcher:
    return Matcher([load(name) for name in lexicons])


def mark(
    texts: Sequence[str], lexicons: Sequence[str], *, prompts: Sequence[str | None] | None = None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The texts as rows of `traces`, and their `hits`, whose `trace_id` is the number of the text.

    Args:
        texts: responses as generated; offsets count their code points.
        lexicons: names or TOML files.
        prompts: what each was asked, which tells markers that only repeat the question.

    Raises:
        LexiconError: a lexicon that is not there or cannot be used.
    """
    column = pl.Series("response", texts, dtype=pl.String)
    flat = Flat.of(column)
    frame = pl.DataFrame(
        {
            "trace_id": pl.int_range(len(column), dtype=pl.UInt32, eager=True),
            "response": column,
            "prompt": pl.Series(prompts if prompts is not None else [None] * len(column), dtype=pl.String),
            "finish_reason": pl.Series([None] * len(column), dtype=pl.String),
        }
    ).with_columns(loops.find(column, flat)["loop_start"], words.count(column))
    traces = thinking.annotate(frame)
    return traces, _matcher(tuple(lexicons)).hits(traces, flat)
