"""Markers of a few plain texts, for tools that hold texts and no tables."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import polars as pl

from epiverb.text import loops, words
from epiverb.text.lexicon import load
from epiverb.text.match import Matcher
from epiverb.text.offsets import Flat
from epiverb.text.thinking import annotate


@lru_cache(maxsize=16)
def _matcher(lexicons: tuple[str, ...]) -> Matcher:
    return Matcher([load(name) for name in lexicons])


def mark(
    texts: Sequence[str],
    lexicons: Sequence[str],
    *,
    prompts: Sequence[str | None] | None = None,
    thinking: Sequence[tuple[int, int] | None] | None = None,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The texts as rows of `traces`, and their `hits`, whose `trace_id` is the number of the text.

    Args:
        texts: responses as generated; offsets count their code points.
        lexicons: names or TOML files.
        prompts: what each was asked, which tells markers that only repeat the question.
        thinking: where the thinking of each is, where that is known; else its tags are looked for.

    Raises:
        LexiconError: a lexicon that is not there or cannot be used.
    """
    nothing: list[None] = [None] * len(texts)
    places = [place or (None, None) for place in thinking or nothing]
    column = pl.Series("response", texts, dtype=pl.String)
    flat = Flat.of(column)
    frame = pl.DataFrame(
        {
            "trace_id": pl.int_range(len(column), dtype=pl.UInt32, eager=True),
            "response": column,
            "prompt": pl.Series(prompts or nothing, dtype=pl.String),
            "finish_reason": pl.Series(nothing, dtype=pl.String),
            "thinking_start": pl.Series([start for start, _ in places], dtype=pl.Int64),
            "thinking_end": pl.Series([end for _, end in places], dtype=pl.Int64),
        }
    ).with_columns(loops.find(column, flat)["loop_start"], words.count(column))
    traces = annotate(frame)
    return traces, _matcher(tuple(lexicons)).hits(traces, flat)
