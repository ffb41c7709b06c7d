"""All measures of a batch, in the long form of the `values` and `points` tables."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from epiverb.measures import MEASURES
from epiverb.measures.base import Batch, Column, Measure
from epiverb.schema import AXES


@dataclass(frozen=True)
class _Long:
    """A measure's column on its way into a table."""

    measure: Measure
    name: str
    column: Column


def compute(batch: Batch) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The `values` and `points` tables of a batch."""
    all_measures = [MEASURES.get(name) for name in MEASURES]
    long = [_Long(m, name, column) for m in all_measures for name, column in m(batch).items()]
    return (
        _values(batch, [one for one in long if one.measure.axis is None]),
        _points(batch, [one for one in long if one.measure.axis is not None]),
    )


def _values(batch: Batch, long: list[_Long]) -> pl.DataFrame:
    """Measures with one value a trace."""
    rows = len(batch.traces)
    trace = np.tile(np.arange(rows, dtype=np.uint32), len(long))
    table = _named(batch, long, trace, np.repeat(np.arange(len(long), dtype=np.uint32), rows))
    return table.select("trace_id", "measure", "version", "value")


def _points(batch: Batch, long: list[_Long]) -> pl.DataFrame:
    """Measures with equally many points a trace, spaced evenly from 0."""
    rows = len(batch.traces)
    each = [len(one.column) // rows if rows else 0 for one in long]
    arange = np.arange(rows, dtype=np.uint32)
    trace = np.concatenate([np.zeros(0, np.uint32), *(np.repeat(arange, n) for n in each)])
    x = np.concatenate([np.zeros(0), *(np.tile(np.arange(n) / max(n, 1), rows) for n in each)])
    which = np.repeat(np.arange(len(long), dtype=np.uint32), [n * rows for n in each])
    table = _named(batch, long, trace, which).with_columns(pl.Series("x", x))
    return table.select("trace_id", "measure", "axis", "x", "value")


def _named(batch: Batch, long: list[_Long], trace: np.ndarray, which: np.ndarray) -> pl.DataFrame:
    """The columns of `long` under each other: `trace` is the row in the batch of each entry, `which` its measure.

    Names and ids are `Enum`s.
    """
    names = [one.name for one in long]
    one = pl.DataFrame(
        {
            "measure": names,
            "version": [one.measure.version for one in long],
            "axis": [one.measure.axis for one in long],
        },
        schema={"measure": pl.Enum(names), "version": pl.Int64, "axis": pl.Enum(AXES)},
    )
    # One table for all: a table for each of some fifty columns costs a tenth of all the work on a batch.
    value = np.concatenate([np.zeros(0), *(one.column for one in long)])
    ids = batch.traces["trace_id"]
    ids = ids.cast(pl.Enum(ids)).gather(trace)
    return one[which].with_columns(ids, pl.Series("value", value, nan_to_null=True))
