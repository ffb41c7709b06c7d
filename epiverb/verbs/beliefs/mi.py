"""`epiverb score --mi`: mutual information of every token's state with the gold answer's, and whether markers are its peaks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl

from epiverb.errors import ConfigError
from epiverb.measures.base import Hits
from epiverb.measures.markers import cover
from epiverb.measures.mi import MOST_TOKENS, PEAKS, SIGMA, overlap, peaks, trajectory
from epiverb.measures.scored import MI
from epiverb.models.heads import Split
from epiverb.run import conform
from epiverb.stats.beliefs import mean_table
from epiverb.verbs.beliefs.finish import POINT, ROW
from epiverb.verbs.beliefs.tables import put
from epiverb.verbs.scoring.job import Job, Keeper, mask_of, reasons
from epiverb.verbs.scoring.source import Aligned
from epiverb.verbs.scoring.store import Parts

STAGE = "mi"
UNITS = {measure.name: measure.unit for measure in MI}
NAMES = tuple(UNITS)
SCHEMA: dict[str, Any] = {
    "trace_id": pl.String, "fault": pl.String, "position": pl.Int64, "mi": pl.Float64, "marker": pl.Boolean,
}  # fmt: skip
NO_GOLD = "no gold answer is known"


def mi(job: Job) -> dict[str, Any]:
    """Compute what is not there yet, put `mi` along tokens and its overlap with markers into the run, give the document.

    Raises:
        ConfigError: no model, or one whose hidden states cannot be had.
    """
    assert job.source is not None
    if not isinstance(job.here.parts, Split):
        raise ConfigError(f"--mi: the model's hidden states cannot be had ({job.here.parts.how}).")
    parts = Parts(job.run.path, STAGE, job.identity(STAGE, limit=job.config.limit))
    done = {key for (key,) in parts.done("trace_id")}
    traces = job.source.traces()
    traces = traces.head(job.config.limit) if job.config.limit else traces
    todo = traces.filter(~pl.col("trace_id").is_in(list(done)))
    Keeper(parts, STAGE, len(traces), job.progress, done=len(done)).take(_frames(job, todo))
    document = _finish(job, parts, traces)
    parts.drop()
    return document


def _frames(job: Job, todo: pl.DataFrame) -> Iterator[pl.DataFrame]:
    assert job.source is not None
    golds = dict(job.run.scan("traces").select("trace_id", "gold").collect().iter_rows())
    hits = job.hits()
    states: dict[str, np.ndarray] = {}
    for one in job.source.read(todo):
        gold = golds[one.key]
        if one.fault or gold is None or not gold.strip():
            yield _fault(one.key, one.fault or NO_GOLD)
            continue
        if gold not in states:
            states[gold] = _hidden(job, tuple(job.source.tokenizer.encode(gold)))[-1]
        yield _frame(job, one, states[gold], hits.get(one.key))


def _frame(job: Job, one: Aligned, gold: np.ndarray, hits: Hits | None) -> pl.DataFrame:
    ids = one.ids[:MOST_TOKENS]
    if fault := job.here.fault(one.prompt, ids):
        return _fault(one.key, fault)
    told = trajectory(_hidden(job, (*one.prompt, *ids))[len(one.prompt) :], gold)
    marker = np.zeros(len(ids), bool)
    if hits is not None:
        own = hits.epistemic.select(~hits.epistemic.in_loop)
        at = cover(one.start, one.end, own.start, own.end)
        inside = at.stop <= len(ids)
        marker = mask_of(len(ids), at.first[inside], at.stop[inside])
    columns = {
        "trace_id": [one.key] * len(ids),
        "fault": None,
        "position": range(len(ids)),
        "mi": told,
        "marker": marker,
    }
    return pl.DataFrame(columns, schema=SCHEMA)


def _hidden(job: Job, ids: tuple[int, ...]) -> np.ndarray:
    """Hidden states behind the last norm (tokens x hidden), float64."""
    import torch

    split = job.here.parts
    assert isinstance(split, Split)
    with torch.inference_mode():
        return split.hidden(torch.tensor([ids], device=split.model.device))[0].double().cpu().numpy()


def _fault(key: str, reason: str) -> pl.DataFrame:
    return pl.DataFrame([dict.fromkeys(SCHEMA) | {"trace_id": key, "fault": reason}], schema=SCHEMA)


def _finish(job: Job, parts: Parts, traces: pl.DataFrame) -> dict[str, Any]:
    rows = parts.scan().collect()
    faults = rows.filter(pl.col("fault").is_not_null())["fault"]
    kept = rows.filter(pl.col("fault").is_null())
    values: list[tuple[str, str, int, float | None]] = []
    for (key,), own in kept.group_by("trace_id", maintain_order=True):
        told = own["mi"].to_numpy()
        at = overlap(peaks(told), own["marker"].to_numpy())
        known = told[np.isfinite(told)]
        figures = (float(known.mean()) if len(known) else np.nan, at["share"], at["lift"])
        told_of = zip(MI, figures, strict=True)
        values += [(str(key), one.name, one.version, x if np.isfinite(x) else None) for one, x in told_of]
    table = pl.DataFrame(values, schema=ROW, orient="row")
    points = kept.select(
        "trace_id", pl.lit("mi").alias("measure"), pl.lit("token").alias("axis"),
        pl.col("position").cast(pl.Float64).alias("x"), pl.col("mi").fill_nan(None).alias("value"),
    ).cast(pl.Schema(POINT))  # fmt: skip
    wide = traces.join(table.pivot("measure", index="trace_id", values="value"), on="trace_id") if values else None
    means = [
        {"condition": condition, "measure": name, "unit": UNITS[name]} | figure
        for (condition,), own in (wide.group_by("condition", maintain_order=True) if wide is not None else ())
        for name, figure in mean_table(own, NAMES, seed=job.config.seed, n_draws=job.config.draws).items()
    ]
    document = {
        "model": job.here.used, "n_traces": len(traces), "n_scored": len(traces) - len(faults),
        "unknown": reasons(faults), "sigma": SIGMA, "peaks": PEAKS, "most_tokens": MOST_TOKENS, "measures": means,
        "tables": {"measures": ["mi", *NAMES]},
    }  # fmt: skip
    put(
        job.run,
        STAGE,
        parts.folder,
        {"values": conform(table, "values"), "points": conform(points, "points")},
        document,
    )
    return document
