"""The samples of a job to a finished run: the same tables, summary and report as `analyze` makes of a file."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from epiverb.run import conform, write_json
from epiverb.schema import SCHEMA_VERSION
from epiverb.text import lexicon as lexicons
from epiverb.text.cues import CUES
from epiverb.text.match import Matcher
from epiverb.verbs.analyze import SHOWN_SKIPS, SourceReport, manifest
from epiverb.verbs.pipeline import Pipeline, in_order, settle, write_part
from epiverb.verbs.sampling.rows import table_rows
from epiverb.verbs.sampling.store import IDENTITY, PARTS
from epiverb.verbs.summary import Digest, Part, summarise

if TYPE_CHECKING:
    from epiverb.text.lexicon import Lexicon
    from epiverb.verbs.sampling.arms import Arm
    from epiverb.verbs.sampling.job import Job
    from epiverb.verbs.sampling.store import Store

ROWS = 1000
"""Traces that go through the pipeline at once."""
PROBLEMS = "problems.jsonl"
"""The questions as they are, in the run folder: a trace holds only the prompt that they were rendered to."""


def finish(
    store: Store, job: Job, arms: Sequence[Arm], by: Sequence[str], order: Sequence[str], notes: list[str]
) -> None:
    """Make the run folder of `store` a finished run; until `run.json` is there it is an unfinished one.

    Args:
        by: columns whose groups are the rows of the table at the end.
        order: conditions in the order of that table; others are not in it.
    """
    lexes = tuple(lexicons.load(name) for name in dict.fromkeys(job.config.lexicon))
    scratch = store.out / ".finishing"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    try:
        digest = _write_tables(scratch, store, job, arms, lexes)
        options = {"draws": job.config.draws, "seed": job.config.seed}
        document = {
            "schema": SCHEMA_VERSION,
            "run": str(job.out),
            "sources": [dataclasses.asdict(report) for report in _reports(job, arms, store, notes)],
            **summarise(digest, lexes, **options),
            "arms": [_arm(arm) for arm in arms],
            "table": {"by": list(by), "rows": table_rows(digest, lexes, by, order, **options)},
        }
        write_json(scratch / "summary.json", document)
        _write_problems(scratch / PROBLEMS, job)
        write_json(scratch / "run.json", _manifest(store, job, lexes, arms))
        if job.config.report:
            from epiverb.report import write

            write(scratch, scratch / "report.html")
        _install(scratch, store.out)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _install(scratch: Path, out: Path) -> None:
    """Move the finished files into the run folder, `run.json` last; then the parts are of no more use."""
    for path in sorted(scratch.iterdir(), key=lambda path: path.name == "run.json"):
        target = out / path.name
        if target.is_dir():
            shutil.rmtree(target)
        os.replace(path, target)
    shutil.rmtree(out / PARTS)


def _write_tables(folder: Path, store: Store, job: Job, arms: Sequence[Arm], lexes: tuple[Lexicon, ...]) -> Digest:
    digest, pipeline = Digest(), Pipeline(lexes, Matcher((*lexes, CUES)), job.config.domain)

    def measure(item: tuple[int, pl.DataFrame]) -> Part:
        tables = pipeline(item[1])
        write_part(folder, item[0], tables)
        return Part.of(tables)

    for part in in_order(measure, enumerate(_batches(store, arms))):
        digest.add(part)
    _write_notes(folder, store)
    settle(folder)
    for table in ("tokens", "alternatives"):
        if store.files(table):
            store.scan(table).sink_parquet(folder / f"{table}.parquet", compression="zstd")
    return digest


def _batches(store: Store, arms: Sequence[Arm]) -> Iterator[pl.DataFrame]:
    """The raw traces in the order of arms, problems and samples, however they came: the same job writes the same run."""
    for arm in arms:
        drawn = store.drawn().filter(pl.col("condition") == arm.condition).collect()
        places = pl.DataFrame(
            [(asked.placed.source, asked.placed.line, index) for index, asked in enumerate(arm.asked)],
            schema={"source": pl.String, "line": pl.Int64, "place": pl.Int64},
            orient="row",
        )
        ordered = drawn.join(places, on=["source", "line"]).sort("place", "sample").drop("place")
        yield from ordered.iter_slices(ROWS)


def _write_notes(folder: Path, store: Store) -> None:
    notes = store.scan("notes").collect()
    if len(notes):
        frame = conform(notes.with_columns(pl.lit(1).alias("version")), "values")
        number = len(list((folder / "values.parquet").iterdir()))
        frame.write_parquet(
            folder / "values.parquet" / f"part-{number:05}.parquet", compression="lz4", statistics=False
        )


def _reports(job: Job, arms: Sequence[Arm], store: Store, notes: list[str]) -> list[SourceReport]:
    """What became of each set: a record is a problem under a context."""
    failed = store.drawn().filter(pl.col("finish_reason") == "error").select("source", "grade_reason").collect()
    reports = []
    for source in job.sources:
        asked = sum(one.placed.source == source.spec for arm in arms for one in arm.asked)
        report = SourceReport(source.spec, format=f"problems, sampled by {job.command}", sha256=source.sha256)
        skipped = [
            {"line": placed.line, "reason": f"{arm.condition}: {reason}"}
            for arm in arms
            for placed, reason in arm.skipped
            if placed.source == source.spec
        ]
        report.n_skipped, report.skipped = len(skipped), skipped[:SHOWN_SKIPS]
        report.records = asked + report.n_skipped
        report.traces = store.drawn().filter(pl.col("source") == source.spec).select(pl.len()).collect().item()
        mine = [note.removeprefix(f"{source.spec}: ") for note in notes if note.startswith(f"{source.spec}: ")]
        report.notes = [*source.notes, *mine]
        reasons = failed.filter(pl.col("source") == source.spec)["grade_reason"]
        if len(reasons):
            others = ", and other reasons" if reasons.n_unique() > 1 else ""
            report.notes.append(f"{len(reasons)} samples were {reasons[0]}{others}")
        reports.append(report)
    return reports


def _arm(arm: Arm) -> dict[str, Any]:
    reasons: dict[str, int] = {}
    for _, reason in arm.skipped:
        reasons[reason] = reasons.get(reason, 0) + 1
    return {
        "condition": arm.condition,
        "about": arm.context.about,
        "n_problems": len(arm.asked),
        "n_skipped": len(arm.skipped),
        "skipped": reasons,
        "n_trimmed": arm.trimmed,
    }


def _manifest(store: Store, job: Job, lexes: tuple[Lexicon, ...], arms: Sequence[Arm]) -> dict[str, Any]:
    used = store.used()
    whole = manifest(job.config, lexes, _reports(job, arms, store, []))
    identity = json.loads((store.out / IDENTITY).read_text("utf-8"))
    return {
        **whole,
        "command": job.command,
        "model": job.config.model,
        "engine": {key: value for key, value in used.items() if key != "sampling"},
        "decoding": {**_decoding(used.get("sampling") or {}), "thinking": job.config.decoding.thinking or "template"},
        "published": dataclasses.asdict(job.family),
        "identity": identity,
        "shard": job.config.shard,
    }


def _decoding(sampling: dict[str, Any]) -> dict[str, Any]:
    """What shapes a single response: neither how many there are nor the seed, which differs between arms."""
    return {key: value for key, value in sampling.items() if key not in ("n", "seed", "logprobs")}


def _write_problems(path: Path, job: Job) -> None:
    with open(path, "w", encoding="utf-8") as file:
        for placed in job.problems:
            problem = placed.problem
            row = {
                "benchmark": problem.benchmark,
                "problem_id": problem.problem_id,
                "domain": problem.domain,
                "messages": list(problem.messages),
                "gold": problem.gold,
                "grader": problem.grader,
                "source": placed.source,
                "line": placed.line,
            }
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
