"""The record of a training run, read: raw traces for the tables of a run, and what is known by step.

record = finish("out")
for raw in record.frames(): tables = pipeline(raw)      # traces, hits, values, points of all rollouts and probes
record.values(), record.points()                        # to be added to the run's tables `values` and `points`
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from epiverb.errors import DataError
from epiverb.io.raw import RAW
from epiverb.run import polars_schema
from epiverb.schema import EPISTEMIC
from epiverb.train import shards

BATCH = 16 << 20
"""Bytes of shards, packed, that are given as one frame."""
PREFIX = "train"
VERSION = 1
LOGGED = ("loss", "grad_norm", "learning_rate", "entropy", "kl", "clip_ratio/region_mean")
"""Scalars of the trainer's log that become points."""
KEPT = ("advantage", "has_demo", "trimmed")
"""Columns of a rollout that become measures of its trace."""


@dataclass(frozen=True)
class Recorded:
    """What a run has recorded so far; whole shards only."""

    out: Path
    rollouts: list[shards.Shard] = field(default_factory=list)
    probes: list[shards.Shard] = field(default_factory=list)
    tokens: list[shards.Shard] = field(default_factory=list)

    def __len__(self) -> int:
        """Traces."""
        return sum(pl.scan_parquet(shard.path).select(pl.len()).collect().item() for shard in self._traces())

    @property
    def steps(self) -> list[int]:
        """Steps of which there are rollouts."""
        return sorted({shard.step for shard in self.rollouts})

    def _traces(self) -> list[shards.Shard]:
        return [*self.rollouts, *self.probes]

    def frames(self, nbytes: int = BATCH) -> Iterator[pl.DataFrame]:
        """Raw traces in the columns of `RAW`, rollouts first, by step; some shards at a time."""
        held: list[pl.DataFrame] = []
        size = 0
        for shard in self._traces():
            held.append(self._raw(shard))
            size += shard.path.stat().st_size
            if size >= nbytes:
                yield pl.concat(held)
                held, size = [], 0
        if held:
            yield pl.concat(held)

    def frame(self) -> pl.DataFrame:
        """All raw traces in one frame."""
        return pl.concat([pl.DataFrame(schema=RAW), *self.frames()])

    def _raw(self, shard: shards.Shard) -> pl.DataFrame:
        frame = pl.read_parquet(shard.path)
        given = [name for name in RAW if name in frame.columns]
        absent = [pl.lit(None, dtype=dtype).alias(name) for name, dtype in RAW.items() if name not in given]
        source = pl.lit(shard.path.relative_to(self.out).as_posix()).alias("source")
        placed = frame.select(*given, *absent).with_columns(source, line=pl.int_range(1, pl.len() + 1, dtype=pl.Int64))
        return placed.select(pl.col(name).cast(dtype) for name, dtype in RAW.items())

    def values(self) -> pl.DataFrame:
        """Measures of single traces that only training knows, as the table `values`.

        `train/advantage`, `train/has_demo` (1 or 0), `train/trimmed` (tokens), and for each column of tokens its mean on
        markers and on all others: `train/divergence/markers`, `train/divergence/others`, ...
        """
        parts = []
        for shard in self._traces():
            frame = pl.read_parquet(shard.path, columns=["trace_id", *KEPT]).with_columns(pl.col(KEPT).cast(pl.Float64))
            parts.append(frame.unpivot(KEPT, index="trace_id", variable_name="measure").drop_nulls("value"))
        parts.append(_means(self._sums(), "trace_id").select("trace_id", "measure", "value"))
        named = pl.concat(parts).with_columns(
            pl.concat_str(pl.lit(f"{PREFIX}/"), "measure").alias("measure"), pl.lit(VERSION, pl.Int64).alias("version")
        )
        return named.select(list(polars_schema("values")))

    def points(self) -> pl.DataFrame:
        """What is known by step, as rows of the table `points` on the axis `train_step`, without a trace.

        Of tokens the mean on markers, on all others and by class (`train/divergence/markers`, `train/divergence/class/rest`),
        at the step of the policy; of the log `train/log/loss` and the like, at the number of updates done.
        """
        sums = self._sums()
        by_class = sums.group_by("step", "class", "column").agg(pl.col("n", "total").sum())
        classes = by_class.select(
            pl.col("step").alias("x"),
            pl.concat_str("column", pl.lit("/class/"), "class").alias("measure"),
            (pl.col("total") / pl.col("n")).alias("value"),
        )
        groups = _means(sums, "step").select(pl.col("step").alias("x"), "measure", "value")
        logged = [
            {"x": line["step"], "measure": f"log/{name}", "value": line[name]}
            for line in shards.lines(self.out / shards.METRICS)
            for name in LOGGED
            if isinstance(line.get(name), int | float) and "step" in line
        ]
        schema = {"x": pl.Int64, "measure": pl.String, "value": pl.Float64}
        rows = pl.concat([classes, groups, pl.DataFrame(logged, schema=schema)]).with_columns(
            pl.lit(None, pl.String).alias("trace_id"),
            pl.lit("train_step").alias("axis"),
            pl.col("x").cast(pl.Float64),
            pl.concat_str(pl.lit(f"{PREFIX}/"), "measure").alias("measure"),
        )
        return rows.sort("measure", "x", maintain_order=True).select(list(polars_schema("points")))

    def _sums(self) -> pl.DataFrame:
        """All rows of the shards of tokens."""
        columns = {"trace_id": pl.String, "step": pl.Int64, "class": pl.String, "column": pl.String, "n": pl.Int64,
                   "total": pl.Float64}  # fmt: skip
        return pl.concat([pl.DataFrame(schema=columns), *(pl.read_parquet(shard.path) for shard in self.tokens)])


def _means(sums: pl.DataFrame, by: str) -> pl.DataFrame:
    """Mean of each column on markers and on all others that have a text, by step or trace: `by`, measure, value."""
    marker = pl.col("class").is_in(EPISTEMIC)
    group = pl.when(marker).then(pl.lit("markers")).otherwise(pl.lit("others")).alias("group")
    summed = sums.filter(pl.col("class") != "none").group_by(by, "column", group, maintain_order=True)
    return summed.agg(pl.col("n", "total").sum()).select(
        by,
        pl.concat_str("column", pl.lit("/"), "group").alias("measure"),
        (pl.col("total") / pl.col("n")).alias("value"),
    )


def finish(out: str | Path) -> Recorded:
    """The record in a training run's folder, finished or not.

    Raises:
        DataError: there is none.
    """
    out = Path(out)
    rollouts, probes = shards.shards(out / shards.ROLLOUTS), shards.shards(out / shards.PROBES)
    if not rollouts and not probes:
        raise DataError(f"{out}: no rollout and no probe was recorded here; is it the folder of a training run?")
    return Recorded(
        out,
        [shard for shard in rollouts if shard.table == "step"],
        [shard for shard in probes if shard.table == "step"],
        [shard for shard in rollouts if shard.table == "tokens"],
    )
