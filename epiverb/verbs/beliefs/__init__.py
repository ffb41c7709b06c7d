"""Beliefs of a model along the traces of a run: candidates, one pass a trace, tables, and what they say."""

from __future__ import annotations

from typing import Any

from epiverb.verbs.beliefs.agreement import agreement
from epiverb.verbs.beliefs.candidates import Answers
from epiverb.verbs.scoring.job import Job


def added(job: Job) -> dict[str, Any]:
    """The blocks `agreement`, and `beliefs`, `mi`, `signals` as far as they were asked for, computed and put into the run."""
    document: dict[str, Any] = {}
    if job.config.beliefs or job.config.signals:
        columns = ["trace_id", "benchmark", "problem_id", "answer", "gold", "correct"]
        answers = Answers.of(job.run.scan("traces").select(columns).collect())
        document["agreement"] = agreement(job, answers)
    if job.config.beliefs:
        from epiverb.verbs.beliefs.stage import beliefs

        document["beliefs"] = beliefs(job, answers)
    if job.config.mi:
        from epiverb.verbs.beliefs.mi import mi

        document["mi"] = mi(job)
    if job.config.signals:
        from epiverb.verbs.beliefs.judged import judged

        document["signals"] = judged(job)
    return document
