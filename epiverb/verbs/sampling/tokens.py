"""Tokens of completions as rows: ids as sampled, their place in the text, their log-probabilities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import polars as pl

from epiverb.models.pieces import Span, places
from epiverb.run import polars_schema

if TYPE_CHECKING:
    from epiverb.models.base import Completion, Engine

Spans = Callable[["Completion"], "list[Span]"]


def tables(named: Sequence[tuple[str, Completion]], spans: Spans | None = None) -> dict[str, pl.DataFrame]:
    """The tables `tokens` and `alternatives` of completions whose log-probabilities are known; without rows where none are.

    Args:
        named: trace ids and completions.
        spans: where the text of each token stands; None: not known.
    """
    rows: dict[str, list[pl.DataFrame]] = {"tokens": [], "alternatives": []}
    for trace, completion in named:
        ids = completion.token_ids
        if ids is None or completion.logprobs is None or completion.finish_reason == "error":
            continue
        places = spans(completion) if spans else [(None, None)] * len(ids)
        frame = pl.DataFrame(
            {
                "position": range(len(ids)),
                "token_id": ids,
                "start": [start for start, _ in places],
                "end": [end for _, end in places],
                "logprob": completion.logprobs,
            },
            schema={key: kind for key, kind in polars_schema("tokens").items() if key != "trace_id"},
        )
        rows["tokens"].append(_of(trace, frame, "tokens"))
        if completion.top_logprobs is not None:
            rows["alternatives"].append(_of(trace, _alternatives(completion.top_logprobs), "alternatives"))
    return {
        name: pl.concat(frames) if frames else pl.DataFrame(schema=polars_schema(name)) for name, frames in rows.items()
    }


def _alternatives(top: Sequence[Sequence[tuple[int, float]]]) -> pl.DataFrame:
    flat = [(position, rank, *pair) for position, pairs in enumerate(top) for rank, pair in enumerate(pairs)]
    schema = {key: kind for key, kind in polars_schema("alternatives").items() if key != "trace_id"}
    return pl.DataFrame(flat, schema=schema, orient="row")


def _of(trace: str, frame: pl.DataFrame, table: str) -> pl.DataFrame:
    return frame.with_columns(pl.lit(trace).alias("trace_id")).select(list(polars_schema(table)))


def spans_of(engine: Engine) -> Spans | None:
    """A function that finds the places of an engine's tokens in its texts; None where it has no tokenizer."""
    tokenizer = getattr(getattr(engine, "chat", None), "tokenizer", None)
    if tokenizer is None:
        return None
    made: list[Spans] = []

    def spans(completion: Completion) -> list[Span]:
        if not made:  # the vocabulary is gone through when the first log-probabilities come, or never
            from epiverb.models.pieces import token_bytes

            made.append(spans_by(token_bytes(tokenizer)))
        return made[0](completion)

    return spans


def spans_by(pieces: Sequence[bytes]) -> Spans:
    """A function that finds the places of a completion's tokens, from the bytes that each token of the vocabulary adds."""

    def spans(completion: Completion) -> list[Span]:
        ids = completion.token_ids or ()
        added = [pieces[index] if 0 <= index < len(pieces) else b"" for index in ids]
        return places(added, completion.text[completion.given :], completion.given)

    return spans
