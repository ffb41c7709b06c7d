"""`epiverb score --signals`: every score of a trace that the run holds, against its correctness, in one table."""

from __future__ import annotations

from typing import Any

import polars as pl

from epiverb.errors import DataError
from epiverb.measures.belief_measures import VALUES
from epiverb.measures.consistency import CONSISTENCY
from epiverb.stats.signals import signals
from epiverb.verbs.scoring.job import Job
from epiverb.verbs.scoring.store import remember

STAGE = "signals"
LENGTHS = ("n_words", "n_tokens")
TOLD = {m.name for m in VALUES if "gold" in m.needs} | {m.name for m in CONSISTENCY if "correct" in m.needs}
"""Measures that are made from the gold answer or the grades: they know what a signal is asked to guess."""
NO_SIGNALS = ("transition/", "mi")
"""Beginnings of others that are none: counts of pairs, and what is measured against the gold answer."""


def judged(job: Job) -> dict[str, Any]:
    """The `signals` document: for each condition and step of the run, every signal's figures.

    Raises:
        DataError: no trace is graded, or none of the arms has both right and wrong traces.
    """
    columns = ["trace_id", "benchmark", "problem_id", "condition", "step", "status", "correct", *LENGTHS]
    traces = job.run.scan("traces").select(columns).collect()
    table = job.run.scan("values").collect()
    names = [name for name in table["measure"].unique(maintain_order=True) if is_signal(name)]
    wide = table.filter(pl.col("measure").is_in(names)).pivot("measure", index="trace_id", values="value")
    whole = traces.join(wide, on="trace_id", how="left")
    chosen = [*(n for n in LENGTHS if whole[n].null_count() < len(whole)), *names]
    arms, skipped = [], []
    for (condition, step), own in whole.group_by("condition", "step", maintain_order=True):
        label = {"condition": condition, "step": step}
        try:
            arms.append(label | signals(own, chosen, seed=job.config.seed, n_draws=min(job.config.draws, 1_000)))
        except DataError as error:
            skipped.append(label | {"reason": str(error)})
    if not arms:
        raise DataError(f"{job.run.path}: {skipped[0]['reason']}")
    excluded = sorted(set(table["measure"].unique()) - set(names))
    document = {"arms": arms, "skipped": skipped, "no_signals": excluded}
    remember(job.run.path, STAGE, document)
    return document


def is_signal(name: str) -> bool:
    """Whether a measure may be asked to tell right from wrong."""
    return name not in TOLD and not any(name == start or name.startswith(start) for start in NO_SIGNALS)
