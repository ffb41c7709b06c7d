"""epiverb's own traces: the `traces` table of a run, or records that already use its column names."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from epiverb.io.columns import TEXT, integer, number, require, truth
from epiverb.io.detect import Format
from epiverb.io.names import benchmark_of
from epiverb.io.raw import RAW, Reading
from epiverb.io.sniff import Head

ENDED = {"complete": "stop", "truncated": "length", "missing": "error"}
"""Status -> finish reason: a run keeps what it concluded from the reason, and not the reason."""
DERIVED = ("trace_id", "source", "line")
"""Columns that the reading itself gives anew."""
READERS: dict[pl.DataType, Callable[[str], pl.Expr]] = {
    pl.Int64(): integer,
    pl.Float64(): number,
    pl.Boolean(): truth,
    pl.String(): pl.col,
}


def recognise(head: Head) -> str | None:
    """A response with a problem id and another column that only epiverb's tables have under that name."""
    if not head.has("problem_id", "response") or not head.keys & {"sample", "trace_id"}:
        return None
    return "its columns are those of epiverb's table of traces (problem_id, sample, response)"


def fields(head: Head) -> dict[str, pl.DataType]:
    """All raw columns, and the status of a run's traces, as text."""
    return {name: TEXT for name in (*RAW, "status") if name not in DERIVED}


def project(frame: pl.DataFrame, reading: Reading, head: Head) -> pl.DataFrame:
    """The columns in their types."""
    frame = require(frame, "response", reading)
    typed = [READERS[RAW[name]](name).alias(name) for name in frame.columns if name in RAW and name != "line"]
    benchmark = pl.coalesce("benchmark", pl.lit(benchmark_of(head.path)))
    ended = pl.col("status").replace_strict(ENDED, default=None, return_dtype=pl.String)
    typed = [column for column in typed if column.meta.output_name() != "finish_reason"]
    reason = pl.coalesce("finish_reason", ended).alias("finish_reason")
    return frame.select("line", *typed, reason).with_columns(benchmark.alias("benchmark"))


OWN = Format("epiverb", "epiverb's own table of traces, as Parquet or JSON Lines", recognise, fields, project)
