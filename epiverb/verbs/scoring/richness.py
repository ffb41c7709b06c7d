"""The ladder of contexts in nats: every arm of a run that was sampled under a context, read with it and without it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from epiverb.errors import DataError
from epiverb.measures.scored import RICHNESS
from epiverb.models.prompt_logprobs import PromptScorer
from epiverb.models.scorer import Pair, Scored, Scorer
from epiverb.run import conform
from epiverb.stats.combine import combined
from epiverb.stats.richness import richness as richness_of
from epiverb.verbs.sampling.store import write
from epiverb.verbs.scoring.job import Job, Keeper, reasons
from epiverb.verbs.scoring.source import Aligned, Source
from epiverb.verbs.scoring.store import Parts, claimed, install, remember
from epiverb.verbs.scoring.teachers import students

STAGE = "richness"
SCHEMA: dict[str, Any] = {
    "trace_id": pl.String,
    "arm": pl.String,
    "fault": pl.String,
    "n": pl.Int64,
    "bare": pl.Float64,
    "told": pl.Float64,
}
"""A trace and the arm whose prompt it was read under: its log-probability behind the bare prompt, and behind the arm's."""
KEY = ["benchmark", "problem_id"]


def richness(job: Job) -> dict[str, Any]:
    """Read what is not read yet, put the gains into `values`, and give the document with the ladder."""
    assert job.scorer is not None
    assert job.source is not None
    traces = job.source.traces(pl.col("status") != "missing").with_columns(pl.col(KEY).fill_null(""))
    traces = traces.head(job.config.limit) if job.config.limit else traces
    prompts = Prompts.of(job, traces)
    parts = Parts(job.run.path, STAGE, job.identity(STAGE, arms=prompts.arms, limit=job.config.limit))
    done = parts.done("trace_id", "arm")
    total = len(prompts.own) + len(prompts.bare) * len(prompts.arms)
    keeper = Keeper(parts, STAGE, total, job.progress, done=len(done))
    keeper.take(_read(job.scorer, job.source, traces, prompts, done))
    document = _finish(job, parts, traces, prompts)
    parts.drop()
    return document


@dataclass(frozen=True)
class Prompts:
    """Under which prompts each trace is read: its own problem's, of the bare arm and of arms with a context."""

    bare: frozenset[str]
    """Traces of the bare arm."""
    own: dict[str, str]
    """Trace of an arm with context -> the arm."""
    arms: list[str]
    by_arm: dict[Any, str]
    """(arm, benchmark, problem) -> prompt."""
    plain: dict[Any, str]
    """(benchmark, problem) -> bare prompt."""

    @classmethod
    def of(cls, job: Job, traces: pl.DataFrame) -> Prompts:
        """From the prompts that the run holds; raises `DataError` where there is no bare arm or none with a context."""
        student = job.run.scan("traces").filter(students(job.run)).select("trace_id").collect()["trace_id"]
        bare = traces.filter(pl.col("trace_id").is_in(student.to_list()))
        guided = traces.filter(pl.col("context").is_not_null())
        if bare.is_empty() or guided.is_empty():
            lacking = "without" if bare.is_empty() else "with"
            raise DataError(
                f"{job.run.path}: holds no traces sampled {lacking} a context; richness needs both. "
                "Sample them with: epiverb sample --ladder, or --context none --context solution."
            )
        arms = guided["condition"].fill_null("context").unique(maintain_order=True).to_list()
        rows = guided.select(pl.col("condition").fill_null("context"), *KEY, "prompt").iter_rows()
        by_arm = {(arm, benchmark, problem): prompt for arm, benchmark, problem, prompt in rows}
        plain = {(benchmark, problem): prompt for benchmark, problem, prompt in bare.select(*KEY, "prompt").iter_rows()}
        own = dict(guided.select("trace_id", pl.col("condition").fill_null("context")).iter_rows())
        return cls(frozenset(bare["trace_id"]), own, arms, by_arm, plain)

    def wanted(self, one: Aligned) -> dict[str, str | None]:
        """Arm -> its prompt for the trace's problem; None where the arm has none."""
        key = (one.row["benchmark"], one.row["problem_id"])
        arms = [self.own[one.key]] if one.key in self.own else self.arms if one.key in self.bare else []
        return {arm: self.by_arm.get((arm, *key)) for arm in arms}


def _read(
    scorer: Scorer | PromptScorer,
    source: Source,
    traces: pl.DataFrame,
    prompts: Prompts,
    done: set[tuple[Any, ...]],
) -> Iterator[pl.DataFrame]:
    """A row for each trace and arm."""
    faulty: list[pl.DataFrame] = []

    def pairs() -> Iterator[Pair]:
        for one in source.read(traces):
            wanted = {arm: text for arm, text in prompts.wanted(one).items() if (one.key, arm) not in done}
            plain = source.prompt(prompts.plain.get((one.row["benchmark"], one.row["problem_id"])))
            fault = one.fault or ("its problem has no trace without context" if plain is None else None)
            told = {arm: None if fault else source.prompt(text) for arm, text in wanted.items()}
            for arm in (arm for arm, ids in told.items() if ids is None):
                faulty.append(_row(one.key, arm, fault or "its problem has no trace of this arm"))
            known = {arm: (*ids, *one.given) for arm, ids in told.items() if ids is not None}
            if known and plain is not None:
                yield Pair(one.key, (*plain, *one.given), known, one.ids)

    for scored in scorer.compare(pairs(), divergences=False):
        yield from faulty
        faulty.clear()
        yield _scored(scored)
    yield from faulty


def _scored(scored: Scored) -> pl.DataFrame:
    if scored.fault:
        return _row(scored.key, str(scored.context), scored.fault)
    if scored.n_unknown:
        return _row(scored.key, str(scored.context), "the model gave no number at some of its positions")
    bare, told = (float(scored[f"{who}_logprob"].sum(dtype=np.float64)) for who in ("student", "teacher"))
    return _row(scored.key, str(scored.context), None, len(scored["student_logprob"]), bare, told)


def _row(
    key: str, arm: str, fault: str | None, n: int | None = None, bare: float | None = None, told: float | None = None
) -> pl.DataFrame:
    row = {"trace_id": key, "arm": arm, "fault": fault, "n": n, "bare": bare, "told": told}
    return pl.DataFrame([row], schema=SCHEMA)


def _finish(job: Job, parts: Parts, traces: pl.DataFrame, prompts: Prompts) -> dict[str, Any]:
    rows = parts.scan().collect().with_columns((pl.col("told") - pl.col("bare")).alias("gain"))
    table = rows.select(
        "trace_id",
        pl.format("richness/{}", "arm").alias("measure"),
        pl.lit(RICHNESS.version).alias("version"),
        pl.col("gain").alias("value"),
    )
    path = parts.folder / "values" / "00000.parquet"
    write(path, conform(table, "values"))
    own = sorted(table["measure"].unique())
    install(job.run, STAGE, "values", [path], claimed(job.run.path, STAGE, own))
    ladder = [_arm(job, traces, rows, prompts, arm) for arm in prompts.arms]
    ladder.sort(key=lambda row: (row["guided"]["per_trace"]["value"] is None, row["guided"]["per_trace"]["value"]))
    document = {
        "model": job.scorer.used if job.scorer else None,
        "unit": "nats",
        "n_traces": rows["trace_id"].n_unique(),
        "unknown": reasons(f"{arm}: {why}" for arm, why in rows.select("arm", "fault").drop_nulls().iter_rows()),
        "ids": job.source.described(traces) if job.source else {},
        "rows": ladder,
        "tables": {"measures": own},
    }
    remember(job.run.path, STAGE, document)
    return document


def _arm(job: Job, traces: pl.DataFrame, rows: pl.DataFrame, prompts: Prompts, arm: str) -> dict[str, Any]:
    """One rung: the estimate on traces written under the context, the one on traces written without it, eq. 2 itself."""
    columns = traces.select("trace_id", *KEY).join(rows.filter(pl.col("arm") == arm), on="trace_id", how="inner")
    is_own = columns["trace_id"].is_in(list(prompts.own))
    block: dict[str, Any] = {"condition": arm, "n_problems": columns.select(KEY).unique().height}
    for name, chosen in (("guided", is_own), ("unguided", ~is_own)):
        mine = columns.filter(chosen)
        block[name] = richness_of(job.resampler(mine), mine["gain"], mine["n"])
    both = np.column_stack(
        [
            np.where(~is_own, -columns["bare"].fill_null(0), 0),
            (~is_own & columns["bare"].is_not_null()).cast(pl.Float64),
            np.where(is_own, -columns["told"].fill_null(0), 0),
            (is_own & columns["told"].is_not_null()).cast(pl.Float64),
        ]
    )
    difference = combined(job.resampler(columns), both, lambda s: s[0] / s[1] - s[2] / s[3])
    return block | {"entropy_difference": difference.as_dict()}
