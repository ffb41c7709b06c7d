"""What the estimates of a run need, gathered batch by batch, and the summary made of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import polars as pl

from epiverb.schema import STATUSES
from epiverb.stats.estimate import HitCounts, accuracy, floats, lexicon_block, pass_curve
from epiverb.stats.resample import Resampler
from epiverb.text.offsets import Flat
from epiverb.text.words import Words

if TYPE_CHECKING:
    from epiverb.text.lexicon import Lexicon
    from epiverb.verbs.pipeline import Tables

KEEP = (
    "problem_id",
    "benchmark",
    "domain",
    "condition",
    "step",
    "status",
    "correct",
    "n_tokens",
    "n_words",
    "source",
)
GROUPS = ("condition", "source", "step", "domain", "benchmark")
"""A run of several arms is told apart by these, the first of which that varies."""


class Part(NamedTuple):
    """What the estimates need of one batch."""

    traces: pl.DataFrame
    """`KEEP`, `looped` and `n_words_robust`."""
    counts: pl.DataFrame
    """row (within the batch), lexicon, category, marker, n, n_robust; a pair that does not occur is absent."""

    @classmethod
    def of(cls, tables: Tables) -> Part:
        """From the tables of the batch."""
        traces = tables.traces
        looped = pl.col("loop_start").is_not_null()
        outside = (~pl.col("in_loop")).sum().alias("n_robust")
        counted = tables.found.group_by("trace_id", "lexicon", "category", "marker").agg(pl.len().alias("n"), outside)
        # Names are numbers (Enums): there are some 25 rows a trace, and all of a run's are held at once.
        names = pl.col("lexicon", "category", "marker")
        return cls(
            traces.select(*KEEP, looped.alias("looped")).with_columns(words_outside_loops(traces, tables.text)),
            counted.select(
                pl.col("trace_id").cast(pl.UInt32).alias("row"), names, pl.col("n", "n_robust").cast(pl.UInt32)
            ),
        )


class Digest:
    """Per-trace columns without text and hit counts per trace and marker: small enough to hold for millions of traces."""

    def __init__(self) -> None:
        self._traces: list[pl.DataFrame] = []
        self._counts: list[pl.DataFrame] = []
        self.n_traces = 0

    def add(self, part: Part) -> None:
        """Take in one batch; batches come in the order of their rows."""
        self._traces.append(part.traces)
        self._counts.append(part.counts.with_columns(pl.col("row") + self.n_traces))
        self.n_traces += len(part.traces)

    @property
    def traces(self) -> pl.DataFrame:
        """One row a trace."""
        return pl.concat(self._traces)

    @property
    def counts(self) -> pl.DataFrame:
        """row (of `traces`), lexicon, category, marker, n, n_robust; a pair that does not occur is absent."""
        return pl.concat(self._counts)


def words_outside_loops(traces: pl.DataFrame, text: Words | None = None) -> pl.Series:
    """`n_words` without what lies inside degenerate loops, as `n_words_robust`; `text` are the words of the responses."""
    counts = traces["n_words"].alias("n_words_robust")
    rows = traces["loop_start"].is_not_null().arg_true()
    if not len(rows):
        return counts
    text = text or Words(Flat.of(traces["response"]))
    loops = text.flat.positions(traces["loop_start"].gather(rows).to_numpy(), rows.to_numpy())
    return counts.scatter(rows, text.between(text.flat.starts[rows.to_numpy()], loops))


def summarise(digest: Digest, lexes: Sequence[Lexicon], *, draws: int, seed: int) -> dict[str, Any]:
    """The part of the JSON contract that comes from the traces; keys as in docs/tables.md."""
    traces, counts = digest.traces, digest.counts
    whole = _part(traces, counts, lexes, draws=draws, seed=seed)
    return {**whole, "groups": _groups(traces, counts, lexes, draws=draws, seed=seed)}


def _part(
    traces: pl.DataFrame, counts: pl.DataFrame, lexes: Sequence[Lexicon], *, draws: int, seed: int
) -> dict[str, Any]:
    """Counts and estimates of some traces; `counts.row` indexes `traces`."""
    resampler = Resampler(problem_codes(traces), draws=draws, seed=seed)
    finished = (traces["status"] == "complete").to_numpy()
    status = dict(traces["status"].value_counts().iter_rows())
    length = resampler.mean(traces["n_words"].to_numpy())
    return {
        "n_traces": len(traces),
        "n_problems": resampler.n_problems,
        "status": {name: status.get(name, 0) for name in STATUSES},
        "n_loops": int(traces["looped"].sum()),
        "accuracy": accuracy(resampler, traces["correct"], finished),
        "pass_at_k": pass_curve(resampler, traces["correct"]),
        "words": {**length.as_dict(), "median": traces["n_words"].median()},
        "tokens": resampler.mean(floats(traces["n_tokens"])).as_dict(),
        "lexicons": {lex.name: _lexicon(lex, resampler, traces, counts) for lex in lexes},
    }


def problem_codes(traces: pl.DataFrame) -> np.ndarray:
    """One integer a problem (benchmark and problem id together), -1 where the source tells no problem."""
    key = pl.struct("benchmark", "problem_id")
    coded = traces.select(pl.when(pl.col("problem_id").is_null()).then(-1).otherwise(key.rank("dense").cast(pl.Int64)))
    return coded.to_series().to_numpy()


def _lexicon(lex: Lexicon, resampler: Resampler, traces: pl.DataFrame, counts: pl.DataFrame) -> dict[str, Any]:
    entries = [(category, marker) for category, markers in lex.categories.items() for marker in markers]
    index = pl.DataFrame(
        {"category": [c for c, _ in entries], "marker": [m for _, m in entries], "index": range(len(entries))},
        schema_overrides={"category": counts.schema["category"], "marker": counts.schema["marker"], "index": pl.Int64},
    )
    found = counts.filter(pl.col("lexicon") == lex.name).join(index, on=["category", "marker"], how="left")
    every = _hit_counts(found, "n", entries)
    outside = _hit_counts(found, "n_robust", entries)
    tokens = None if traces["n_tokens"].null_count() else traces["n_tokens"]
    block = lexicon_block(
        resampler, every, traces["n_words"], robust=outside, robust_words=traces["n_words_robust"], tokens=tokens
    )
    return {"sha256": lex.sha256, "match": lex.match, **block}


def _hit_counts(found: pl.DataFrame, column: str, entries: list[tuple[str, str]]) -> HitCounts:
    row, index, n = (found[name].cast(pl.Int64).to_numpy() for name in ("row", "index", column))
    return HitCounts(row, index, n, [marker for _, marker in entries], [category for category, _ in entries])


def _groups(
    traces: pl.DataFrame, counts: pl.DataFrame, lexes: Sequence[Lexicon], **options: int
) -> list[dict[str, Any]]:
    """The same summary for each arm and benchmark, where there are several; without the rows per marker."""
    by = [name for name in GROUPS if traces[name].n_unique() > 1]
    if "condition" in by and "source" in by and traces["condition"].null_count() == 0:
        by.remove("source")
    return grouped(traces, counts, lexes, by, **options) if by else []


def grouped(
    traces: pl.DataFrame, counts: pl.DataFrame, lexes: Sequence[Lexicon], by: Sequence[str], *, draws: int, seed: int
) -> list[dict[str, Any]]:
    """The summary of each group of traces that agree in the columns `by`, in the order in which they come."""
    groups = []
    for key, part in traces.with_row_index("row").group_by(by, maintain_order=True):
        rows = part.select("row").with_row_index("new")
        own = counts.join(rows, on="row").drop("row").rename({"new": "row"})
        document = _part(part.drop("row"), own, lexes, draws=draws, seed=seed)
        for block in document["lexicons"].values():
            for figures in (block, block["robust"]):
                figures.pop("per_marker")
        groups.append({**dict(zip(by, key, strict=True)), **document})
    return groups
