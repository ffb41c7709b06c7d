"""From the kept parts of `--beliefs` to the run's tables, and the document that says what they tell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl

from epiverb.measures.belief_measures import DELTAS, POINTS, VALUES
from epiverb.measures.beliefs import Beliefs, closed_world
from epiverb.run import conform
from epiverb.stats.beliefs import gains_by_kind, mean_table, stopping
from epiverb.verbs.beliefs.tables import put
from epiverb.verbs.sampling.store import write
from epiverb.verbs.scoring.job import Job, reasons
from epiverb.verbs.scoring.store import Parts

STAGE = "beliefs"
ROW = {"trace_id": pl.String, "measure": pl.String, "version": pl.Int64, "value": pl.Float64}
POINT = {"trace_id": pl.String, "measure": pl.String, "axis": pl.String, "x": pl.Float64, "value": pl.Float64}


def finish(job: Job, parts: Parts, traces: pl.DataFrame, asked: dict[str, Any]) -> dict[str, Any]:
    """Put `beliefs`, `values` and `points` into the run, and the document: how it was `asked`, and the figures."""
    rows = parts.scan().collect()
    rows = traces.select("trace_id").join(rows, on="trace_id", how="inner", maintain_order="left")
    faults = rows.filter(pl.col("fault").is_not_null())["fault"]
    kept = rows.filter(pl.col("fault").is_null())
    values: list[tuple[str, str, int, float | None]] = []
    points: list[pl.DataFrame] = [pl.DataFrame(schema=POINT)]
    sentences: list[pl.DataFrame] = []
    for key, told in read(kept):
        values += [(key, m.name, m.version, _number(float(m(told)))) for m in VALUES]
        points += [_points(key, m.name, np.asarray(m(told)), job.config.asking.at) for m in POINTS]
        sentences.append(_sentences(key, told))
    table, drawn = pl.DataFrame(values, schema=ROW, orient="row"), pl.concat(points)
    measures = [m.name for m in (*VALUES, *POINTS)]
    document = (
        asked
        | {
            "n_traces": len(traces),
            "n_scored": len(traces) - len(faults),
            "unknown": reasons(faults),
            "n_places": kept.select(pl.struct("trace_id", "x").n_unique()).item() if len(kept) else 0,
            "n_beyond_the_model": _per_trace(kept, "beyond"),
            "n_answers_left_out": _per_trace(kept, "left_out"),
            "tables": {"measures": measures},
        }
        | _figures(job, traces, table, sentences)
    )
    write(job.run.path / "beliefs.parquet", conform(kept, "beliefs"))
    put(
        job.run, STAGE, parts.folder, {"values": conform(table, "values"), "points": conform(drawn, "points")}, document
    )
    return document


def read(kept: pl.DataFrame) -> Iterator[tuple[str, Beliefs]]:
    """The beliefs of each trace from the rows of the parts."""
    for (key,), own in kept.group_by("trace_id", maintain_order=True):
        count = int(own["k"].max()) + 1  # type: ignore[arg-type]
        first = own.filter(pl.col("k") == 0)
        p, logp = (own[name].to_numpy().reshape(-1, count) for name in ("p", "logprob"))
        scored = own["logprob"].null_count() == 0
        right, mine = own["right"].head(count).fill_null(False).to_numpy(), own["own"].head(count).to_list()
        yield str(key), Beliefs(
            p, right, mine.index(True) if True in mine else None,
            first["marked"].to_numpy(), first["procedural"].to_numpy(),
            first["tokens"].cast(pl.Float64).to_numpy(),
            np.exp(logp).sum(1) if scored else None,
            first["eat"].to_numpy() if scored else None,
            first["asked"].to_numpy() if scored else None,
            closed_world(logp / own["n_scored"].head(count).to_numpy()) if scored else None,
            first["single"].to_numpy(),
        )  # fmt: skip


def _number(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _points(key: str, name: str, column: np.ndarray, axis: str) -> pl.DataFrame:
    known = np.isfinite(column)
    if not known.any():
        return pl.DataFrame(schema=POINT)
    told = pl.Series("value", column, nan_to_null=True)
    x = pl.Series("x", np.arange(len(column), dtype=np.float64))
    labels = (pl.lit(key).alias("trace_id"), pl.lit(name).alias("measure"), pl.lit(axis).alias("axis"))
    frame = pl.DataFrame([x, told]).select(*labels, "x", "value")
    return frame if known[0] else frame[1:]  # nothing is gained before the first sentence


def _sentences(key: str, told: Beliefs) -> pl.DataFrame:
    """Kind and gains of every sentence that stands by itself between two places."""
    by_name = {m.name: np.asarray(m(told)) for m in POINTS if m.name in ("belief-gain", "belief-gold-gain")}
    kind = np.where(told.marked_N, "epistemic", np.where(told.procedural_N, "procedural", "other"))
    frame = pl.DataFrame({"kind": kind, "gain": by_name["belief-gain"], "gold_gain": by_name["belief-gold-gain"]})
    return frame.filter(pl.Series(told.single_N)).with_columns(pl.lit(key).alias("trace_id"))


def _per_trace(kept: pl.DataFrame, column: str) -> int:
    return int(kept.group_by("trace_id").agg(pl.col(column).first())[column].sum())


def _figures(job: Job, traces: pl.DataFrame, table: pl.DataFrame, sentences: list[pl.DataFrame]) -> dict[str, Any]:
    """Means of the measures, changes after markers, gains by kind, the EAT rule: by condition."""
    wide = table.pivot("measure", index="trace_id", values="value")
    whole = traces.select("trace_id", "problem_id", "benchmark", "condition").join(wide, on="trace_id")
    every = pl.concat(sentences) if sentences else None
    units = {m.name: m.unit for m in VALUES}
    options: dict[str, Any] = {"seed": job.config.seed, "n_draws": job.config.draws}
    found: dict[str, list[dict[str, Any]]] = {"measures": [], "changes": [], "gains": [], "eat": []}
    for (condition,), own in whole.group_by("condition", maintain_order=True):
        names = [name for name in units if own[name].null_count() < len(own)]
        pair = ("belief-changed/marker", "belief-changed/control")
        both = {"difference": pair} if set(pair) <= set(names) else {}
        means = mean_table(own, names, differences=both, **options)
        label = {"condition": condition}
        found["measures"] += [label | {"measure": name, "unit": units[name]} | means[name] for name in names]
        if both:
            kinds = zip(("marker", "control", "difference"), (*pair, "difference"), strict=True)
            found["changes"].append(label | {kind: means[name] for kind, name in kinds})
        if every is not None:
            of_arm = every.join(own.select("trace_id", "problem_id", "benchmark"), on="trace_id")
            found["gains"].append(label | gains_by_kind(of_arm, **options))
        if "belief-forced-right" in names and f"eat-stop-right/{DELTAS[0]:g}" in names:
            found["eat"].append(label | stopping(own, DELTAS, **options))
    return found
