"""Suppression pressure: what distilling a context-conditioned teacher would push, before any training.

The student's own traces are read by the same model under two prompts, the student's and one with a context. See
docs/design/pressure.md for what the figures mean and where the mass difference comes from.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from epiverb.errors import DataError
from epiverb.measures.scored import PRESSURE
from epiverb.models.scorer import Pair, Scored
from epiverb.run import conform
from epiverb.verbs.sampling.store import write
from epiverb.verbs.scoring.classes import Classes
from epiverb.verbs.scoring.job import Job, Keeper, reasons, sets_of
from epiverb.verbs.scoring.ranking import by_class, by_token, by_word, ranking, sentence
from epiverb.verbs.scoring.source import Aligned
from epiverb.verbs.scoring.store import Parts, claimed, documents, install, remember
from epiverb.verbs.scoring.teachers import Teachers, named, students

STAGE = "pressure"
FIGURES = ("kl", "reverse_kl", "jsd", "log_ratio")
SCHEMA: dict[str, Any] = {
    "trace_id": pl.String,
    "context": pl.String,
    "fault": pl.String,
    "position": pl.Int64,
    "token_id": pl.Int64,
    "start": pl.Int64,
    "end": pl.Int64,
    **dict.fromkeys(FIGURES, pl.Float32),
}
"""A token of a trace under a context; `student_mass/SET` and `teacher_mass/SET` stand behind these."""


def pressure(job: Job) -> dict[str, Any]:
    """Compare what is not compared yet, put the figures of each trace into the run, and give the document."""
    assert job.scorer is not None
    assert job.source is not None
    contexts = named(job.config.contexts)
    traces = job.source.traces(students(job.run))
    traces = traces.head(job.config.limit) if job.config.limit else traces
    if traces.is_empty():
        raise DataError(f"{job.run.path}: holds no trace that was sampled without context, so there is no student.")
    teachers = Teachers(job.run, job.source, contexts, job.config.seed)
    sets = sets_of(job.lex, job.source.tokenizer)
    parts = Parts(job.run.path, STAGE, job.identity(STAGE, sets=sets, contexts=list(contexts), limit=job.config.limit))
    done = parts.done("trace_id", "context")
    keeper = Keeper(parts, STAGE, len(traces) * len(contexts), job.progress, done=len(done))
    keeper.take(_compared(job, traces, teachers, sets, done))
    document = _finish(job, parts, traces, teachers, sets)
    parts.drop()
    return document


def _compared(
    job: Job, traces: pl.DataFrame, teachers: Teachers, sets: dict[str, list[int]], done: set[tuple[Any, ...]]
) -> Iterator[pl.DataFrame]:
    """A frame for each trace and context."""
    assert job.scorer is not None
    waiting: dict[str, Aligned] = {}
    faulty: list[pl.DataFrame] = []

    def pairs() -> Iterator[Pair]:
        assert job.source is not None
        for one in job.source.read(traces):
            if one.fault:
                missing = [name for name in teachers.contexts if (one.key, name) not in done]
                faulty.extend(_fault(one.key, name, one.fault, sets) for name in missing)
                continue
            prompts = {name: ids for name, ids in teachers.prompts(one).items() if (one.key, name) not in done}
            if prompts:
                waiting[one.key] = one
                yield Pair(one.key, one.prompt, prompts, one.ids)

    for scored in job.scorer.compare(pairs(), sets=sets):
        yield from faulty
        faulty.clear()
        one, name = waiting[scored.key], str(scored.context)
        yield _fault(one.key, name, scored.fault, sets) if scored.fault else _frame(one, name, scored, sets)
    yield from faulty


def _schema(sets: dict[str, list[int]]) -> dict[str, Any]:
    return SCHEMA | {f"{who}_mass/{name}": pl.Float32 for name in sets for who in ("student", "teacher")}


def _fault(key: str, context: str, fault: str, sets: dict[str, list[int]]) -> pl.DataFrame:
    return pl.DataFrame([{"trace_id": key, "context": context, "fault": fault}], schema=_schema(sets))


def _frame(one: Aligned, context: str, scored: Scored, sets: dict[str, list[int]]) -> pl.DataFrame:
    n = len(one.ids)
    fixed = {
        "trace_id": [one.key] * n,
        "context": [context] * n,
        "fault": [None] * n,
        "position": np.arange(n),
        "token_id": np.array(one.ids),
        "start": one.start,
        "end": one.end,
    }
    schema = _schema(sets)
    return pl.DataFrame(fixed | {name: scored[name] for name in list(schema)[len(fixed) :]}, schema=schema)


def _finish(
    job: Job, parts: Parts, traces: pl.DataFrame, teachers: Teachers, sets: dict[str, list[int]]
) -> dict[str, Any]:
    rows = parts.scan()
    faults = rows.filter(pl.col("fault").is_not_null()).select("context", "fault").collect()
    classes = Classes(job, traces)
    sums, words, tokens = _sums(parts, classes, sets)
    if sums.is_empty():
        why = next(iter(reasons([*faults["fault"], *teachers.skipped])), "no trace has a token")
        raise DataError(f"{job.run.path}: no trace could be compared with any teacher ({why}).")
    tables = _install(job, parts, sums)
    unknown = reasons(f"{context}: {why}" for context, why in faults.iter_rows()) | dict(teachers.skipped)
    shown = [name for name in teachers.contexts if name in set(sums["context"])]
    blocks = []
    for name in shown:
        mine = sums.filter(pl.col("context") == name)
        block = {"context": name, "about": teachers.contexts[name].about, "n_traces": mine["trace_id"].n_unique()}
        block |= {"classes": by_class(job, traces, mine, classes.names)}
        block |= {"words": by_word(job, traces, mine, words.filter(pl.col("context") == name))}
        blocks.append(block | {"tokens": by_token(tokens[name], job.source.tokenizer if job.source else None)})
    ranked = ranking(job, traces, sums, shown, list(sets))
    document = {
        "model": job.scorer.used if job.scorer else None,
        "lexicon": {
            "name": job.lex.name,
            "sha256": job.lex.sha256,
            "marker_tokens": {k: len(v) for k, v in sets.items()},
        },
        "n_traces": len(traces),
        "unknown": unknown,
        "ids": job.source.described(traces) if job.source else {},
        "controls": classes.described,
        "contexts": blocks,
        "ranking": ranked,
        "sentence": sentence(ranked),
        "tables": tables,
    }
    remember(job.run.path, STAGE, document)
    return document


def _sums(
    parts: Parts, classes: Classes, sets: dict[str, list[int]]
) -> tuple[pl.DataFrame, pl.DataFrame, dict[str, dict[int, np.ndarray]]]:
    """Sums over the tokens of each trace and context by class, by marker, and over all of them by token."""
    found: list[dict[str, Any]] = []
    words: list[dict[str, Any]] = []
    tokens: dict[str, dict[int, np.ndarray]] = {}
    for file in parts.files:
        frame = pl.read_parquet(file).filter(pl.col("fault").is_null())
        for (key, context), own in frame.group_by("trace_id", "context", maintain_order=True):
            table = own.select(FIGURES).cast(pl.Float64).to_numpy()
            known = np.isfinite(table).all(axis=1)
            code, marker = classes.of(str(key), own["start"].to_numpy(), own["end"].to_numpy())
            place = {"trace_id": key, "context": context}
            for i, name in enumerate(classes.names):
                chosen = known & (code == i)
                found.append(place | {"class": name, "n": int(chosen.sum())} | _totals(table[chosen]))
            masses = {name: own[name].to_numpy()[known].sum() for name in own.columns if "_mass/" in name}
            found.append(place | {"class": "all", "n": int(known.sum())} | _totals(table[known]) | masses)
            for i, name in enumerate(classes.markers):
                chosen = known & (marker == i)
                if chosen.any():
                    words.append(place | {"class": name, "n": int(chosen.sum())} | _totals(table[chosen]))
            told = known & (marker >= 0)
            of = tokens.setdefault(str(context), {})
            for token, row in zip(own["token_id"].to_numpy()[told].tolist(), table[told], strict=True):
                of[token] = of.get(token, np.zeros(len(FIGURES) + 1)) + np.array([1.0, *row])
    schema: dict[str, Any] = {
        "trace_id": pl.String,
        "context": pl.String,
        "class": pl.String,
        "n": pl.Int64,
        **dict.fromkeys(FIGURES, pl.Float64),
    }
    masses_schema = {f"{who}_mass/{name}": pl.Float64 for name in sets for who in ("student", "teacher")}
    return pl.DataFrame(found, schema=schema | masses_schema), pl.DataFrame(words, schema=schema), tokens


def _totals(table: np.ndarray) -> dict[str, float]:
    return dict(zip(FIGURES, table.sum(axis=0).tolist(), strict=True))


def _install(job: Job, parts: Parts, sums: pl.DataFrame) -> dict[str, Any]:
    """Means of each trace into `values`, and with --points every token's into `points`; what the tables got."""
    whole = sums.filter((pl.col("class") == "all") & (pl.col("n") > 0))
    shift = (pl.col(f"teacher_mass/{job.lex.name}") - pl.col(f"student_mass/{job.lex.name}")) / pl.col("n")
    columns = {name.replace("_", "-"): pl.col(name) / pl.col("n") for name in FIGURES} | {"mass-shift": shift}
    frames = [
        whole.select(
            "trace_id",
            pl.format(f"pressure/{{}}/{name}", "context").alias("measure"),
            pl.lit(PRESSURE[0].version).alias("version"),
            column.alias("value"),
        )
        for name, column in columns.items()
    ]
    table = pl.concat(frames)
    path = parts.folder / "values" / "00000.parquet"
    write(path, conform(table, "values"))
    own = sorted(table["measure"].unique())
    names = claimed(job.run.path, STAGE, own)
    before = documents(job.run.path).get(STAGE, {}).get("tables", {})
    points = _points(parts) if job.config.written.points else []
    if points or before.get("points"):  # else the large table is left alone
        install(job.run, STAGE, "points", points, names)
    install(job.run, STAGE, "values", [path], names)
    return {"measures": own, "points": bool(points)}


def _points(parts: Parts) -> list[Path]:
    """Files with the figures of every token, a measure a context."""
    files = []
    for number, file in enumerate(parts.files):
        rows = pl.scan_parquet(file, glob=False).filter(pl.col("fault").is_null())
        frames = [
            rows.select(
                "trace_id",
                pl.format(f"pressure/{{}}/{name.replace('_', '-')}", "context").alias("measure"),
                pl.lit("token").alias("axis"),
                pl.col("position").cast(pl.Float64).alias("x"),
                pl.col(name).cast(pl.Float64).fill_nan(None).alias("value"),
            )
            for name in FIGURES
        ]
        files.append(parts.folder / "points" / f"{number:05}.parquet")
        write(files[-1], conform(pl.concat(frames).collect(), "points"))
    return files
