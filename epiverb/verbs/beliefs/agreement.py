"""Self-consistency and semantic entropy of a run's samples, into the run; no model is needed."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from epiverb.measures.consistency import CONSISTENCY, WEIGHTS, Samples, computable, compute
from epiverb.run import conform
from epiverb.stats.beliefs import mean_table
from epiverb.verbs.beliefs.candidates import Answers, meanings
from epiverb.verbs.beliefs.tables import put
from epiverb.verbs.scoring.job import Job
from epiverb.verbs.scoring.store import WORK

STAGE = "agreement"
NO_ANSWERS = (
    "no trace has an answer that can be read, so the samples' agreement is unknown. Grade the run first: "
    "epiverb grade RUN --out DIR"
)


def agreement(job: Job, answers: Answers) -> dict[str, Any]:
    """Put the measures of `CONSISTENCY` into `values`, and give the document."""
    columns = ["trace_id", "problem_id", "benchmark", "condition", "step", "correct"]
    traces = job.run.scan("traces").select(columns).collect()
    samples = Samples.of(traces, np.array(meanings(answers)), _weights(job, traces))
    measures = computable(samples)
    table = compute(samples, traces)
    wide = traces.join(table.pivot("measure", index="trace_id", values="value"), on="trace_id", how="left")
    rows = []
    for (condition,), own in wide.group_by("condition", maintain_order=True):
        means = mean_table(own, [m.name for m in measures], seed=job.config.seed, n_draws=job.config.draws)
        rows += [{"condition": condition, "measure": m.name, "unit": m.unit} | means[m.name] for m in measures]
    document = {
        "n_traces": len(traces),
        "n_answered": len(samples.known),
        "n_problems": len(samples.table),
        "n_alone": int(np.isnan(samples.k).sum()),
        "n_compared": answers.groups.n_compared,
        "n_not_comparable": answers.groups.n_failed,
        "measures": rows,
        "notes": [] if len(samples.known) else [NO_ANSWERS],
        "tables": {"measures": [m.name for m in CONSISTENCY]},
    }
    values = conform(table.with_columns(pl.col("value").fill_nan(None)), "values")
    put(job.run, STAGE, job.run.path / WORK / STAGE, {"values": values}, document)
    return document


def _weights(job: Job, traces: pl.DataFrame) -> dict[str, np.ndarray]:
    """The scores that the run holds and votes may be weighed by, a number a trace."""
    rows = job.run.scan("values").filter(pl.col("measure").is_in(WEIGHTS)).collect()
    found = {}
    for (name,), own in rows.group_by("measure", maintain_order=True):
        joined = traces.select("trace_id").join(own, on="trace_id", how="left", maintain_order="left")
        found[str(name)] = joined["value"].fill_null(np.nan).to_numpy()
    return found
