"""What a training run records, as tables: rollouts, their markers, and sums over their tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from epiverb.io.raw import RAW
from epiverb.train.watch import Marked, Rollout

if TYPE_CHECKING:
    from torch import Tensor

ADDED = {"advantage": pl.Float64, "has_demo": pl.Boolean, "demo": pl.String, "trimmed": pl.Int64, "n_words": pl.Int64,
         "n_markers": pl.Int64, "n_lost": pl.Int64}  # fmt: skip
"""Columns of a rollout beside those of a raw trace; there is one more for each category of the lexicon, `n_CATEGORY`."""
TOKENS = {"trace_id": pl.String, "step": pl.Int64, "class": pl.String, "column": pl.String, "n": pl.Int64,
          "total": pl.Float64}  # fmt: skip


@dataclass(frozen=True)
class Pending:
    """Sums of some rows that are still where they were computed."""

    keys: tuple[str, ...]
    columns: tuple[str, ...]
    sums: Tensor
    """(columns, 2, rows, classes): n and total."""


def rollout_rows(
    rows: Sequence[tuple[Rollout, Marked]], step: int, categories: Sequence[str], *, prompts: bool = True,
) -> pl.DataFrame:  # fmt: skip
    """Rollouts as a shard: the columns of a raw trace but its source, and `ADDED`."""
    ended = {True: "length", False: "stop", None: None}
    records = [
        {
            "trace_id": row.key, "problem_id": row.problem_id, "benchmark": row.benchmark, "domain": row.domain,
            "condition": row.condition, "step": step, "sample": row.sample, "prompt": row.prompt if prompts else None,
            "context": row.context, "response": marked.text, "answer": row.answer, "gold": row.gold,
            "correct": row.correct, "grade_reason": row.grade_reason, "reward": row.reward, "n_tokens": marked.n_tokens,
            "finish_reason": ended[row.truncated], "advantage": row.advantage, "has_demo": row.has_demo,
            "demo": row.demo, "trimmed": row.trimmed, "n_words": marked.n_words, "n_markers": marked.n_markers,
            "n_lost": marked.n_lost, **{f"n_{name}": marked.counts[name] for name in categories},
        }
        for row, marked in rows
    ]  # fmt: skip
    own = {
        name: dtype for name, dtype in RAW.items() if name not in ("thinking_start", "thinking_end", "source", "line")
    }
    frame = pl.DataFrame(records, schema={**own, **ADDED, **{f"n_{name}": pl.Int64 for name in categories}})
    if not any(row.extra for row, _ in rows):
        return frame
    extra = pl.DataFrame([dict(row.extra) for row, _ in rows], infer_schema_length=None)
    return frame.hstack([extra[name] for name in extra.columns if name not in frame.columns])


def hit_rows(rows: Sequence[tuple[Rollout, Marked]]) -> pl.DataFrame:
    """The markers of rollouts, one row each."""
    frames = [marked.hits.select(pl.lit(row.key).alias("trace_id"), pl.all()) for row, marked in rows]
    return pl.concat(frames).with_columns(pl.col(pl.Enum).cast(pl.String))


def token_rows(done: Sequence[Pending], step: int, classes: Sequence[str]) -> pl.DataFrame:
    """Sums as a shard: one row a rollout, class and column that any token was counted for."""
    frames = []
    for pending in done:
        sums = pending.sums.cpu().double()
        column, row, code = (sums[:, 0] > 0).nonzero(as_tuple=True)
        frames.append(
            pl.DataFrame(
                {
                    "trace_id": pl.Series(pending.keys).gather(row.numpy()),
                    "step": [step] * len(row),
                    "class": pl.Series(classes).gather(code.numpy()),
                    "column": pl.Series(pending.columns).gather(column.numpy()),
                    "n": sums[column, 0, row, code].long().numpy(),
                    "total": sums[column, 1, row, code].numpy(),
                },
                schema=TOKENS,
            ).filter(pl.col("trace_id") != "")
        )
    return (
        pl.concat(frames)
        .group_by("trace_id", "step", "class", "column", maintain_order=True)
        .sum()
        .select(list(TOKENS))
    )
