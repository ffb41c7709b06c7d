"""How a training went: reward, length and markers step by step, from the tables of its run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl

from epiverb.run import polars_schema
from epiverb.schema import EPISTEMIC


def course(tables: Path, lexicon: str) -> list[dict[str, Any]]:
    """A row for each arm (rollout, probe/NAME) and step: responses, reward, accuracy, share finished, tokens, and markers of
    `lexicon` per 1,000 words; what is not known is None."""
    traces = _scan(tables, "traces").select(
        "trace_id", "condition", "step", "reward", "correct", "status", "n_tokens", "n_words"
    )
    epistemic = (pl.col("lexicon") == lexicon) & pl.col("category").is_in(EPISTEMIC)
    hits = _scan(tables, "hits").filter(epistemic).group_by("trace_id").agg(pl.len().alias("hits"))
    rows = traces.join(hits, on="trace_id", how="left").with_columns(pl.col("hits").fill_null(0))
    figures = rows.group_by("condition", "step").agg(
        pl.len().alias("n"),
        pl.col("reward").mean(),
        pl.col("correct").mean().alias("accuracy"),
        (pl.col("status") == "complete").mean().alias("finished"),
        pl.col("n_tokens").mean().alias("length"),
        (1000 * pl.col("hits").sum() / pl.col("n_words").sum()).alias("markers_per_1k_words"),
    )
    ordered = figures.sort(pl.col("condition") != "rollout", "condition", "step").collect()
    return ordered.with_columns(pl.selectors.float().fill_nan(None)).to_dicts()


def _scan(tables: Path, name: str) -> pl.LazyFrame:
    path = tables / f"{name}.parquet"
    parts = [path] if path.is_file() else sorted(path.glob("*.parquet"))
    return pl.scan_parquet(parts, glob=False) if parts else pl.LazyFrame(schema=polars_schema(name))


def last(out: Path, rows: list[dict[str, Any]]) -> dict[str, float | None]:
    """The figures of the last step that sampled, and the last divergence that was logged."""
    sampled = [row for row in rows if row["condition"] == "rollout"]
    final = sampled[-1] if sampled else {}
    names = ("reward", "length", "markers_per_1k_words")
    return {**{name: final.get(name) for name in names}, "divergence": _logged(out, "distill/divergence")}


def _logged(out: Path, name: str) -> float | None:
    """The last value of a scalar in `metrics.jsonl`."""
    found = None
    with open(out / "metrics.jsonl", encoding="utf-8") as file:
        for line in file:
            if name in line:
                found = json.loads(line).get(name)
    return found
