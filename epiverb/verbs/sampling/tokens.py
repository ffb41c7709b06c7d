"""Tokens of completions as rows: ids as sampled, their place in the text, their log-probabilities."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import polars as pl

from epiverb.run import polars_schema

if TYPE_CHECKING:
    from epiverb.models.base import Completion, Engine

Span = tuple["int | None", "int | None"]
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


def places(added: Sequence[bytes], text: str, given: int = 0) -> list[Span]:
    """Code points [start, end) of each token in `given` + `text`; nulls for all where the bytes do not spell the text.

    A token that holds a part of a character spans the whole of it. What stands behind the text (a stop string that was
    cut off) has no place.

    >>> places([b"ab", "é".encode()[:1], "é".encode()[1:]], "abé")
    [(0, 2), (2, 3), (2, 3)]
    >>> places([b"\\xc3", b"ab"], "\ufffdab")
    [(0, 1), (1, 3)]
    """
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    spelled: list[str] = []
    bounds, count, pending = [], 0, False
    for piece in added:
        new = decoder.decode(piece)
        spelled.append(new)
        # Bytes that were waiting for the rest of a character, and now will not get it, show as one sign of their own.
        broken = pending and piece != b"" and not 0x80 <= piece[0] < 0xC0
        start, count = count + broken, count + len(new)
        pending = bool(decoder.getstate()[0])
        bounds.append((start, count + pending))
    spelled.append(decoder.decode(b"", final=True))
    whole = "".join(spelled)
    # Vocabularies made by SentencePiece have a space before the first word that their decoders leave out.
    lead = 1 if whole.startswith(" ") and not text.startswith(" ") else 0
    if not whole[lead:].startswith(text):
        return [(None, None)] * len(added)
    end = len(text)
    return [
        (given + max(start - lead, 0), given + min(max(stop - lead, 0), end))
        if start - lead < end or not end
        else (None, None)
        for start, stop in bounds
    ]
