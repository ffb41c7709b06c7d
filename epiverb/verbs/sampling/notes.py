"""What was done to single samples: figures in the table `values`, all of it in `interventions.jsonl`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from epiverb.run import conform

FILE = "interventions.jsonl"
PREFIX = "intervention/"


def write_notes(folder: Path, notes: pl.DataFrame) -> None:
    """Add a part of `values`, and write the file with a line a sample, where anything was done."""
    figures = notes.filter(pl.col("value").is_not_null())
    if len(figures):
        values = folder / "values.parquet"
        part = values / f"part-{len(list(values.iterdir())):05}.parquet"
        frame = conform(figures.with_columns(pl.lit(1).alias("version")), "values")
        frame.write_parquet(part, compression="lz4", statistics=False)
    done = notes.filter(pl.col("measure").str.starts_with(PREFIX))
    if done.is_empty():
        return
    with open(folder / FILE, "w", encoding="utf-8") as file:
        for (trace,), rows in done.group_by(["trace_id"], maintain_order=True):
            known = {
                row["measure"].removeprefix(PREFIX): row["text"] if row["value"] is None else row["value"]
                for row in rows.iter_rows(named=True)
            }
            file.write(json.dumps({"trace_id": trace, **known}, ensure_ascii=False) + "\n")


def recovered(folder: Path, order: Sequence[str], *, draws: int, seed: int) -> dict[str, Any]:
    """How often continuations of wrong responses came out right, under the key `recovery`; nothing where there are none."""
    if not any(condition.startswith("insert-") for condition in order):
        return {}
    from epiverb.stats.recovery import recovery

    done = pl.read_ndjson(folder / FILE, infer_schema_length=None)
    files = sorted((folder / "traces.parquet").glob("*")) or [folder / "traces.parquet"]
    traces = pl.scan_parquet(files).select("trace_id", "benchmark", "problem_id", "correct").collect()
    rows = traces.join(done.with_columns(pl.col("original_correct").cast(pl.Boolean)), on="trace_id")
    controls = [name for name in rows["phrase"].unique().to_list() if name == "none" or name.startswith("neutral-")]
    return {"recovery": recovery(rows, controls=controls, seed=seed, n_draws=draws)}
