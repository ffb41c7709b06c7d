"""`epiverb score --beliefs`: beliefs along every trace of a run, kept in parts, then tables and what they say."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from epiverb.measures.base import Hits
from epiverb.measures.boundaries import Boundaries, boundaries
from epiverb.models.beliefs import why_not
from epiverb.models.stems import stem
from epiverb.verbs.beliefs.candidates import Answers, Candidates
from epiverb.verbs.beliefs.finish import finish
from epiverb.verbs.beliefs.sampled import sampled
from epiverb.verbs.beliefs.trace import NO_TAG, Asked, Told, closing_tag, cuts, knows, lacking
from epiverb.verbs.scoring.job import Job, Keeper
from epiverb.verbs.scoring.source import Aligned
from epiverb.verbs.scoring.store import Parts

STAGE = "beliefs"
SCHEMA: dict[str, Any] = {
    "trace_id": pl.String,
    "fault": pl.String,
    "x": pl.Int64,
    "end": pl.Int64,
    "k": pl.Int64,
    "candidate": pl.String,
    "right": pl.Boolean,
    "own": pl.Boolean,
    "logprob": pl.Float64,
    "n_scored": pl.Int64,
    "p": pl.Float64,
    "eat": pl.Float64,
    "asked": pl.Float64,
    "tokens": pl.Int64,
    "marked": pl.Boolean,
    "procedural": pl.Boolean,
    "single": pl.Boolean,
    "beyond": pl.Int64,
    "left_out": pl.Int64,
}
"""A candidate at a place of a trace; a trace without beliefs because of `fault` is one row. `beyond`: places for which the
model is too short; `left_out`: answers of its problem that are no candidates."""


@dataclass(frozen=True)
class Work:
    """What every trace needs to be asked."""

    asked: Asked
    candidates: dict[str, Candidates]
    places: dict[str, Boundaries | str]
    rows: dict[str, dict[str, Any]]
    hits: dict[str, Hits]
    known: dict[str, bool]
    """Closing tag -> whether the model was made for it."""


def beliefs(job: Job, answers: Answers) -> dict[str, Any]:
    """Ask what is not asked yet, put tables, values and points into the run, and give the document."""
    config = job.config
    assert job.source is not None
    asking = config.asking
    chosen = stem(asking.stem)
    settings = {**asdict(asking), "limit": config.limit, "seed": config.seed}
    parts = Parts(job.run.path, STAGE, job.identity(STAGE, **settings))
    done = {key for (key,) in parts.done("trace_id")}
    traces = job.source.traces()
    traces = traces.head(config.limit) if config.limit else traces
    keeper = Keeper(parts, STAGE, len(traces), job.progress, done=len(done))
    asked = Asked(job.here.parts, job.source.tokenizer, chosen, job.here.window)
    work = _work(job, answers, traces, asked)
    todo = traces.filter(~pl.col("trace_id").is_in(list(done)))
    keeper.take(_frame(job, one, work) for one in job.source.read(todo))
    document = {
        "model": job.here.used,
        "how": _how(job),
        "unit": asking.at,
        "stem": {"name": asking.stem, "text": chosen.text, "end": chosen.end, "source": chosen.source},
        "ids": job.source.described(traces),
    }
    document = finish(job, parts, traces, document)
    parts.drop()
    return document


def _work(job: Job, answers: Answers, traces: pl.DataFrame, asked: Asked) -> Work:
    keys = traces["trace_id"].to_list()
    columns = ("trace_id", "response", "prompt", "thinking_start", "thinking_end")
    rows = job.run.scan("traces").select(columns).collect()
    rows = traces.select("trace_id").join(rows, on="trace_id", how="left", maintain_order="left")
    found = boundaries(rows, job.config.asking.at, job.config.asking.places)
    named = {row["trace_id"]: row for row in rows.iter_rows(named=True)}
    tags = {tag for row in named.values() if row["thinking_start"] is not None and (tag := closing_tag(row))}
    known = {tag: knows(asked.tokenizer, tag) for tag in tags}
    return Work(asked, answers.candidates(), dict(zip(keys, found, strict=True)), named, job.hits(), known)


def _how(job: Job) -> str:
    if job.config.asking.rollouts:
        return f"{job.config.asking.rollouts} answers sampled behind every place"
    reason = why_not(job.here.parts)
    return f"one pass a place and candidate: {reason}" if reason else "all places of a trace in one pass"


def _frame(job: Job, one: Aligned, work: Work) -> pl.DataFrame:
    """The rows of one trace."""
    told, at = _told(job, one, work), work.places[one.key]
    if isinstance(told, str) or isinstance(at, str):
        return _fault(one.key, told if isinstance(told, str) else str(at))
    places, count = len(told.p_N_K), len(told.texts)
    marked, procedural = at.kinds(work.hits.get(one.key))
    known = any(told.right)
    own = [k == told.own for k in range(count)]

    def per_place(column: np.ndarray) -> np.ndarray:
        return np.repeat(column[:places], count)

    columns = {
        "trace_id": [one.key] * (places * count),
        "fault": [None] * (places * count),
        "x": per_place(np.arange(places)),
        "end": per_place(at.end_N),
        "k": np.tile(np.arange(count), places),
        "candidate": list(told.texts) * places,
        "right": [right if known else None for right in told.right] * places,
        "own": own * places,
        "logprob": None if told.logp_N_K is None else told.logp_N_K.ravel(),
        "n_scored": np.tile(told.scored_K, places) if told.logp_N_K is not None else per_place(told.scored_K),
        "p": told.p_N_K.ravel(),
        "eat": per_place(told.eat_N),
        "asked": per_place(told.asked_N),
        "tokens": per_place(told.tokens_N),
        "marked": per_place(marked),
        "procedural": per_place(procedural),
        "single": per_place(at.single_N),
        "beyond": [len(at.end_N) - places] * (places * count),
        "left_out": [work.candidates[one.key].left_out] * (places * count),
    }
    return pl.DataFrame(columns, schema=SCHEMA)


def _told(job: Job, one: Aligned, work: Work) -> Told | str:
    """Beliefs along a trace, or why there are none."""
    at, found, row = work.places[one.key], work.candidates[one.key], work.rows[one.key]
    if one.fault:
        return one.fault
    if isinstance(at, str):
        return at
    if reason := lacking(found):
        return reason
    closing = closing_tag(row)
    if closing is None:
        return NO_TAG
    if not work.known[closing]:
        return f"the model has no thinking tag {closing}: it is no token of its, and its chat template does not name it"
    if not job.config.asking.rollouts:
        return work.asked.scored(one, at, closing, found)
    assert job.source is not None
    cut = [row["response"][:end] for end in at.end_N.tolist()]
    prompt = job.source.tokenizer.decode(list(one.prompt), skip_special_tokens=False)
    drawn = sampled(
        job.here.engine, prompt, cut, closing, work.asked.stem, found, one.key,
        rollouts=job.config.asking.rollouts, seed=job.config.seed,
    )  # fmt: skip
    return drawn if isinstance(drawn, str) else _counted(drawn, cuts(one, at))


def _counted(told: Told, inside: np.ndarray) -> Told:
    return replace(told, tokens_N=inside - inside[0])


def _fault(key: str, reason: str) -> pl.DataFrame:
    row = dict.fromkeys(SCHEMA) | {"trace_id": key, "fault": reason}
    return pl.DataFrame([row], schema=SCHEMA)
