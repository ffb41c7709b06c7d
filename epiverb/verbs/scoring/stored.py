"""Trajectories from log-probabilities that are stored: in the run's own tables, or in the trace files it was made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import polars as pl

from epiverb.errors import DataError
from epiverb.io import logprobs as files
from epiverb.measures.tokens import entropy_bounds
from epiverb.models.pieces import places
from epiverb.verbs.scoring.job import Job

SCHEMA: dict[str, Any] = {
    "trace_id": pl.String,
    "fault": pl.String,
    "position": pl.Int64,
    "token_id": pl.Int64,
    "start": pl.Int64,
    "end": pl.Int64,
    **dict.fromkeys(("logprob", "low", "high", "confidence", "certainty"), pl.Float32),
}
"""A token of a trace; a trace that has none because of `fault` is one row. Masses stand in columns `mass/SET` behind these."""


def schema_of(sets: Iterable[str]) -> dict[str, Any]:
    """`SCHEMA` with a column for each set."""
    return SCHEMA | {f"mass/{name}": pl.Float32 for name in sets}


def fault(key: str, why: str, sets: Iterable[str]) -> pl.DataFrame:
    """The row of a trace that has no tokens."""
    row = {"trace_id": key, "fault": why}
    return pl.DataFrame([row], schema=schema_of(sets))


def stored(job: Job, traces: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """A frame for each trace: log-probabilities, and bounds on entropy from those of the top k.

    Raises:
        DataError: none are stored anywhere.
    """
    vocabulary = job.config.vocabulary or (job.run.manifest.get("engine") or {}).get("vocabulary")
    if job.run.scan("tokens").filter(pl.col("logprob").is_not_null()).head(1).collect().height:
        yield from _of_run(job, traces, vocabulary)
        return
    found = 0
    for frame in _of_files(job, traces, vocabulary):
        found += int(frame["fault"][0] is None)
        yield frame
    if not found:
        raise DataError(
            f"{job.run.path}: holds no log-probabilities, nor do the files it was made of, so a model has to score it. "
            "Pass --model DIR|NAME, or sample with --logprobs 20."
        )


def _of_run(job: Job, traces: pl.DataFrame, vocabulary: int | None) -> Iterator[pl.DataFrame]:
    for part in traces.iter_slices(1_000):
        keys = part["trace_id"].to_list()
        mine = pl.col("trace_id").is_in(keys)
        tokens = job.run.scan("tokens").filter(mine).sort("trace_id", "position").collect()
        tops = job.run.scan("alternatives").filter(mine & (pl.col("rank") < job.config.top_k)).collect()
        by_trace = {str(key): own for (key,), own in tokens.group_by("trace_id", maintain_order=True)}
        top_of = {str(key): own for (key,), own in tops.group_by("trace_id", maintain_order=True)}
        for key in keys:
            own = by_trace.get(key)
            if own is None or own["logprob"].null_count() == len(own):
                yield fault(key, "no log-probabilities are stored", ())
                continue
            columns = own.select("token_id", pl.col("start", "end").fill_null(-1), "logprob").to_dict()
            yield bounded(key, columns, _table(own, top_of.get(key)), vocabulary)


def _table(own: pl.DataFrame, top: pl.DataFrame | None) -> np.ndarray:
    """Log-probabilities of the k most likely tokens, position by rank; NaN where there is none."""
    if top is None or not len(top):
        return np.full((len(own), 0), np.nan)
    position, rank = top["position"].to_numpy(), top["rank"].to_numpy()
    table = np.full((max(int(position.max()), int(own["position"].to_numpy().max())) + 1, int(rank.max()) + 1), np.nan)
    table[position, rank] = top["logprob"].to_numpy()
    return table[own["position"].to_numpy()]


def _of_files(job: Job, traces: pl.DataFrame, vocabulary: int | None) -> Iterator[pl.DataFrame]:
    """From the sources of the run, where they are still there."""
    rows = job.run.scan("traces").filter(pl.col("trace_id").is_in(traces["trace_id"].to_list()))
    place = rows.select("source", "line", "sample", "trace_id", "response").collect()
    waiting = {tuple(row[:3]): (row[3], row[4] or "") for row in place.iter_rows()}
    for source in job.run.summary["sources"]:
        for line, sample, tokens in files.read(source["path"], source["format"]):
            if known := waiting.pop((source["path"], line, sample), None):
                yield _of_file(*known, tokens, job.config.top_k, vocabulary)
    for key, _ in waiting.values():
        yield fault(key, "no log-probabilities are stored", ())


def _of_file(key: str, text: str, tokens: list[files.Token], top_k: int, vocabulary: int | None) -> pl.DataFrame:
    texts = [token.text for token in tokens]
    known = [piece for piece in texts if piece is not None]
    spans = places(known, text) if len(known) == len(texts) else [(None, None)] * len(texts)
    k = min(min(len(token.top) for token in tokens), top_k)
    columns = {
        "token_id": [token.token_id for token in tokens],
        "start": [-1 if a is None else a for a, _ in spans],
        "end": [-1 if b is None else b for _, b in spans],
        "logprob": [token.logprob for token in tokens],
    }
    return bounded(key, columns, np.array([token.top[:k] for token in tokens]).reshape(len(tokens), k), vocabulary)


def bounded(key: str, columns: dict[str, Any], top: np.ndarray, vocabulary: int | None) -> pl.DataFrame:
    """A trace's rows with bounds on entropy, from the log-probabilities of its most likely tokens, position by rank."""
    n = len(top)
    low, high, confidence = (np.full(n, np.nan) for _ in range(3))
    whole = np.isfinite(top).all(axis=1)
    if top.shape[1] and whole.any():
        low[whole], high[whole] = entropy_bounds(top[whole], vocabulary)
        confidence[whole] = -top[whole].mean(axis=1)
    fixed = {"trace_id": [key] * n, "fault": [None] * n, "position": np.arange(n)}
    figures = {"low": low, "high": high, "confidence": confidence, "certainty": np.full(n, np.nan)}
    return pl.DataFrame(fixed | columns | figures, schema=SCHEMA, strict=False)
