"""A few traces to look at: entropy along each of them, and where its markers begin."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from epiverb.measures.markers import cover
from epiverb.text.cues import KINDS
from epiverb.verbs.scoring.job import Job
from epiverb.verbs.scoring.store import Parts

MOST = 3
STRIPES = 300
"""Stripes of a trace at most; tokens of a longer one share them."""


def shown(job: Job, parts: Parts, exact: bool) -> dict[str, Any]:
    """The scored traces with the most epistemic markers outside loops, one a problem.

    `entropy` is the mean of each stripe of `tokens_per_stripe` tokens, None where it is not known; `x` of a marker is its
    first token.
    """
    hits = {key: own.select(~own.in_loop).epistemic for key, own in job.hits().items()}
    keys = sorted(hits, key=lambda key: (-len(hits[key].start), key))
    scored = parts.scan().filter(pl.col("fault").is_null() & pl.col("low").is_finite())
    good = set(scored.select("trace_id").unique().collect()["trace_id"])
    problems = dict(
        job.run.scan("traces").select("trace_id", pl.struct("benchmark", "problem_id")).collect().iter_rows()
    )
    chosen: dict[str, str] = {}  # problem -> trace
    for key in keys:
        if key in good and len(chosen) < MOST:
            chosen.setdefault(str(problems[key]), key)
    rows = parts.scan().filter(pl.col("trace_id").is_in(list(chosen.values()))).sort("trace_id", "position").collect()
    by_key = {str(key): own for (key,), own in rows.group_by("trace_id")}
    name = "entropy" if exact else "lower bound on entropy"
    return {"of": name, "unit": "nats", "rows": [_trace(key, by_key[key], hits[key]) for key in chosen.values()]}


def _trace(key: str, own: pl.DataFrame, hits: Any) -> dict[str, Any]:
    entropy = own["low"].cast(pl.Float64).to_numpy()
    each = -(-len(entropy) // STRIPES)
    padded = np.pad(entropy, (0, -len(entropy) % each), constant_values=np.nan).reshape(-1, each)
    known = np.isfinite(padded)
    with np.errstate(invalid="ignore"):
        means = np.where(known, padded, 0).sum(axis=1) / known.sum(axis=1)
    at = cover(own["start"].to_numpy(), own["end"].to_numpy(), hits.start, hits.end)
    return {
        "trace_id": key,
        "n_tokens": len(entropy),
        "tokens_per_stripe": each,
        "entropy": [float(round(value, 4)) if np.isfinite(value) else None for value in means.tolist()],
        "markers": [
            {"category": KINDS[code], "x": int(x)} for code, x in zip(hits.category[at.hit], at.first, strict=True)
        ],
    }
