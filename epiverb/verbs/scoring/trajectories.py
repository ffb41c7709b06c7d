"""Token trajectories of a run: entropy, confidence and propensity of every token, by a model or from what is stored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from epiverb.measures import TOKEN_MEASURES
from epiverb.measures.tokens import Trajectory
from epiverb.models.scorer import Item, Scored
from epiverb.run import conform
from epiverb.verbs.sampling.store import write
from epiverb.verbs.scoring.events import study
from epiverb.verbs.scoring.job import Job, Keeper, reasons, sets_of
from epiverb.verbs.scoring.shown import shown
from epiverb.verbs.scoring.source import COLUMNS, Aligned
from epiverb.verbs.scoring.store import Parts, claimed, install, remember, replace
from epiverb.verbs.scoring.stored import bounded, fault, schema_of, stored

STAGE = "tokens"
NO_UPPER = (
    "tokens: the upper bound on entropy is unknown: how many tokens the vocabulary has is not told; pass --vocabulary N"
)


def trajectories(job: Job) -> dict[str, Any]:
    """Score what is not scored yet, put values and points into the run, and give the document."""
    traces = _traces(job)
    sets = sets_of(job.lex, job.source.tokenizer) if job.source and job.exact else {}
    identity = job.identity(STAGE, sets=sets, top_k=job.config.top_k, limit=job.config.limit)
    parts = Parts(job.run.path, STAGE, identity)
    done = {key for (key,) in parts.done("trace_id")}
    keeper = Keeper(parts, STAGE, len(traces), job.progress, done=len(done))
    todo = traces.filter(~pl.col("trace_id").is_in(list(done)))
    keeper.take(_computed(job, todo, sets) if job.scorer else stored(job, todo))
    document = _finish(job, parts, traces, sets)
    parts.drop()
    return document


def _traces(job: Job) -> pl.DataFrame:
    traces = job.run.scan("traces").select(COLUMNS).collect()
    return traces.head(job.config.limit) if job.config.limit else traces


def _computed(job: Job, traces: pl.DataFrame, sets: dict[str, list[int]]) -> Iterator[pl.DataFrame]:
    """A frame for each trace, in the order in which the model is done with them."""
    assert job.scorer is not None
    assert job.source is not None
    waiting: dict[str, Aligned] = {}
    faulty: list[pl.DataFrame] = []

    def items() -> Iterator[Item]:
        assert job.source is not None
        for one in job.source.read(traces):
            if one.fault:
                faulty.append(fault(one.key, one.fault, sets))
                continue
            waiting[one.key] = one
            yield Item(one.key, one.prompt, one.ids)

    for scored in job.scorer.score(items(), sets=sets, k=job.config.top_k):
        yield from _taken(faulty)
        one = waiting.pop(scored.key)
        yield fault(one.key, scored.fault, sets) if scored.fault else _frame(job, one, scored, sets)
    yield from _taken(faulty)


def _taken(frames: list[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    while frames:
        yield frames.pop(0)


def _frame(job: Job, one: Aligned, scored: Scored, sets: Iterable[str]) -> pl.DataFrame:
    n = len(one.ids)
    if not job.exact:
        assert job.scorer is not None
        columns = {"token_id": one.ids, "start": one.start, "end": one.end, "logprob": scored["logprob"]}
        return bounded(one.key, columns, scored["top_logprobs"].astype(np.float64), job.scorer.vocabulary)
    top = scored["top_logprobs"]
    columns = {
        "trace_id": [one.key] * n,
        "fault": [None] * n,
        "position": np.arange(n),
        "token_id": np.array(one.ids),
        "start": one.start,
        "end": one.end,
        "logprob": scored["logprob"],
        "low": scored["entropy"],
        "high": scored["entropy"],
        "confidence": -top.mean(axis=1) if top.shape[1] else np.full(n, np.nan, np.float32),
        "certainty": scored["self_certainty"],
    }
    masses = {f"mass/{name}": scored[f"mass/{name}"] for name in sets}
    return pl.DataFrame(columns | masses, schema=schema_of(sets))


def _finish(job: Job, parts: Parts, traces: pl.DataFrame, sets: dict[str, list[int]]) -> dict[str, Any]:
    exact = job.exact
    rows = parts.scan()
    faults = rows.filter(pl.col("fault").is_not_null()).select("fault").collect()["fault"]
    values: list[pl.DataFrame] = []
    files: dict[str, list[Path]] = {"values": [], "points": []}
    for number, file in enumerate(parts.files):
        frame = pl.read_parquet(file).filter(pl.col("fault").is_null())
        points = _points(frame, sets, exact)
        files["points"].append(_written(parts, "points", number, points))
        values.append(_values(frame, sets, exact, job.config.window))
    found, events = study(job, parts, traces, exact)
    table = pl.concat([*values, found])
    files["values"].append(_written(parts, "values", 0, table))
    own = sorted({*table["measure"].unique(), *_names(files["points"])})
    names = claimed(job.run.path, STAGE, own)
    for name in ("values", "points"):
        install(job.run, STAGE, name, files[name], names)
    replace(job.run, "spans", _spans(job, rows))
    document = (
        _document(job, traces, table, faults, rows, exact, sets)
        | events
        | {"shown": shown(job, parts, exact), "tables": {"measures": own}}
    )
    remember(job.run.path, STAGE, document)
    return document


def _spans(job: Job, rows: pl.LazyFrame) -> pl.LazyFrame:
    """Where the tokens stand of those traces whose tokens the run does not keep; -1 is unknown."""
    kept = job.run.scan("tokens").select("trace_id").unique().collect()["trace_id"]
    own = rows.filter(pl.col("fault").is_null() & ~pl.col("trace_id").is_in(kept.to_list()))
    places = [pl.when(pl.col(name) >= 0).then(name).alias(name) for name in ("start", "end")]
    return own.select("trace_id", "position", *places)


def _names(files: list[Path]) -> list[str]:
    return pl.scan_parquet(files).select(pl.col("measure").unique()).collect()["measure"].to_list() if files else []


def _written(parts: Parts, table: str, number: int, frame: pl.DataFrame) -> Path:
    path = parts.folder / table / f"{number:05}.parquet"
    write(path, conform(frame, table))
    return path


def _trajectory(frame: pl.DataFrame, sets: Iterable[str], exact: bool, window: int) -> Trajectory:
    def column(name: str) -> np.ndarray | None:
        values = frame[name].cast(pl.Float64).to_numpy()
        return values if np.isfinite(values).any() else None

    low = column("low")
    masses = {name: frame[f"mass/{name}"].cast(pl.Float64).to_numpy() for name in sets}
    high = low if exact else column("high")
    return Trajectory(column("logprob"), low, high, column("confidence"), column("certainty"), masses, window)


def _values(frame: pl.DataFrame, sets: Iterable[str], exact: bool, window: int) -> pl.DataFrame:
    found = []
    measures = [TOKEN_MEASURES.get(name) for name in TOKEN_MEASURES]
    for (key,), own in frame.group_by("trace_id", maintain_order=True):
        trajectory = _trajectory(own, sets, exact, window)
        for measure in measures:
            for name, value in measure(trajectory).items():
                found.append((key, name, measure.version, value if np.isfinite(value) else None))
    schema = {"trace_id": pl.String, "measure": pl.String, "version": pl.Int64, "value": pl.Float64}
    return pl.DataFrame(found, schema=schema, orient="row")


def _points(frame: pl.DataFrame, sets: Iterable[str], exact: bool) -> pl.DataFrame:
    """All tokens at once: what is along tokens is computed token by token."""
    trajectory = _trajectory(frame, sets, exact, 1)
    shown = []
    for measure in (TOKEN_MEASURES.get(name) for name in TOKEN_MEASURES):
        for name, column in (measure.points(trajectory) if measure.points else {}).items():
            if column is not None:
                value = pl.Series("value", np.asarray(column, np.float64), nan_to_null=True)
                labels = (pl.lit(name).alias("measure"), pl.lit("token").alias("axis"))
                shown.append(
                    frame.select("trace_id", *labels, pl.col("position").cast(pl.Float64).alias("x")).with_columns(
                        value
                    )
                )
    schema = {"trace_id": pl.String, "measure": pl.String, "axis": pl.String, "x": pl.Float64, "value": pl.Float64}
    return pl.concat(shown) if shown else pl.DataFrame(schema=schema)


def _document(
    job: Job, traces: pl.DataFrame, table: pl.DataFrame, faults: pl.Series, rows: pl.LazyFrame, exact: bool,
    sets: dict[str, list[int]],
) -> dict[str, Any]:  # fmt: skip
    counted = rows.filter(pl.col("fault").is_null()).select(
        pl.len(), pl.col("low").is_nan().sum() if job.scorer else pl.lit(0)
    )
    n_tokens, n_unknown = counted.collect().row(0)
    bounded = (
        not exact and table.filter((pl.col("measure") == "entropy-upper") & pl.col("value").is_not_null()).is_empty()
    )
    return {
        "notes": [NO_UPPER] if bounded else [],
        "model": job.scorer.used if job.scorer else None,
        "entropy": "exact" if exact else f"bounds from {'prompt' if job.scorer else 'stored'} top-k log-probabilities",
        "n_traces": len(traces),
        "n_scored": len(traces) - len(faults),
        "unknown": reasons(faults),
        "n_tokens": n_tokens,
        "n_unknown_positions": n_unknown,
        "ids": job.source.described(traces) if job.source else {"stored": len(traces) - len(faults)},
        "window": job.config.window,
        "top_k": job.config.top_k,
        "lexicon": {
            "name": job.lex.name,
            "sha256": job.lex.sha256,
            "marker_tokens": {k: len(v) for k, v in sets.items()},
        },
        "measures": _means(job, traces, table),
    }


def _means(job: Job, traces: pl.DataFrame, table: pl.DataFrame) -> list[dict[str, Any]]:
    """A row for each measure and condition: the mean over problems with its interval."""
    wide = table.pivot("measure", index="trace_id", values="value")
    joined = traces.select("trace_id", "problem_id", "benchmark", "condition").join(wide, on="trace_id", how="left")
    units = {name: TOKEN_MEASURES.get(name).unit for name in TOKEN_MEASURES}
    found = []
    for (condition,), own in joined.group_by("condition", maintain_order=True):
        resampler = job.resampler(own)
        for name in wide.columns[1:]:
            interval = resampler.mean(own[name].cast(pl.Float64).to_numpy())
            unit = units.get(name) or units.get(name.split("/")[0]) or units.get(name.rsplit("-", 1)[0], "share")
            found.append({"condition": condition, "measure": name, "unit": unit, **interval.as_dict()})
    return found
