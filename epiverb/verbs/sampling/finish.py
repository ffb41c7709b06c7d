"""The samples of a job to a finished run: the same tables, summary and report as `analyze` makes of a file."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from epiverb.config import plain
from epiverb.run import write_json
from epiverb.schema import SCHEMA_VERSION
from epiverb.text import lexicon as lexicons
from epiverb.text.cues import CUES
from epiverb.text.match import Matcher
from epiverb.verbs.analyze import SHOWN_SKIPS, SourceReport, manifest
from epiverb.verbs.pipeline import Pipeline, in_order, measure, settle
from epiverb.verbs.sampling.job import public
from epiverb.verbs.sampling.notes import recovered, write_notes
from epiverb.verbs.sampling.rows import table_rows
from epiverb.verbs.sampling.store import FINISHING, IDENTITY, PARTS
from epiverb.verbs.summary import Digest, summarise

if TYPE_CHECKING:
    from epiverb.text.lexicon import Lexicon
    from epiverb.verbs.sampling.arms import Arm, Placed
    from epiverb.verbs.sampling.session import Session

ROWS = 1000
"""Traces that go through the pipeline at once."""
PROBLEMS = "problems.jsonl"
"""The questions as they are, in the run folder: a trace holds only the prompt that they were rendered to."""


def finish(session: Session, by: Sequence[str], order: Sequence[str], notes: list[str]) -> None:
    """Make the run folder of a session a finished run; until `run.json` is there it is an unfinished one.

    Args:
        by: columns whose groups are the rows of the table at the end.
        order: conditions in the order of that table; others are not in it.
        notes: for the user, each beginning with the set of problems that it is about.
    """
    job = session.job
    lexes = tuple(lexicons.load(name) for name in dict.fromkeys(job.config.lexicon))
    scratch = session.store.out / FINISHING
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    try:
        digest = _write_tables(scratch, session, lexes)
        reports = _reports(session, notes)
        options = {"draws": job.config.draws, "seed": job.config.seed}
        document = {
            "schema": SCHEMA_VERSION,
            "run": str(job.out),
            "sources": [dataclasses.asdict(report) for report in reports],
            **summarise(digest, lexes, **options),
            "arms": [_arm(arm) for arm in session.arms],
            "table": {"by": list(by), "rows": table_rows(digest, lexes, by, order, **options)},
            **recovered(scratch, order, **options),
        }
        write_json(scratch / "summary.json", document)
        write_problems(scratch / PROBLEMS, job.problems)
        write_json(scratch / "run.json", _manifest(session, lexes, reports))
        if job.config.report:
            from epiverb.report import write

            write(scratch, scratch / "report.html")
        _install(scratch, session.store.out)
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


def _write_tables(folder: Path, session: Session, lexes: tuple[Lexicon, ...]) -> Digest:
    digest = Digest()
    pipeline = Pipeline(lexes, Matcher((*lexes, CUES)), session.job.config.domain)

    for part in in_order(partial(measure, pipeline, folder), enumerate(_batches(session))):
        digest.add(part)
    write_notes(folder, session.store.scan("notes").collect())
    settle(folder)
    for table in ("tokens", "alternatives"):
        if session.store.files(table):
            session.store.scan(table).sink_parquet(folder / f"{table}.parquet", compression="zstd")
    return digest


def _batches(session: Session) -> Iterator[pl.DataFrame]:
    """The raw traces in the order of arms, problems and samples, however they came: the same job writes the same run."""
    for arm in session.arms:
        keys = list(dict.fromkeys((one.placed.source, one.placed.line) for one in arm.asked))
        places = pl.DataFrame(
            [(*key, place) for place, key in enumerate(keys)],
            schema={"source": pl.String, "line": pl.Int64, "place": pl.Int64},
            orient="row",
        )
        drawn = session.store.drawn().filter(pl.col("condition") == arm.condition).collect()
        ordered = drawn.join(places, on=["source", "line"]).sort("place", "sample").drop("place")
        yield from ordered.iter_slices(ROWS)


def _reports(session: Session, notes: list[str]) -> list[SourceReport]:
    """What became of each set: a record is a problem under a context, and has its samples or was skipped."""
    drawn = session.store.drawn().select("source", "finish_reason", "grade_reason").collect()
    reports = []
    for source in session.job.sources:
        rows = drawn.filter(pl.col("source") == source.spec)
        asked = sum(one.placed.source == source.spec for arm in session.arms for one in arm.asked)
        skipped = [
            {"line": placed.line, "reason": f"{arm.condition}: {reason}"}
            for arm in session.arms
            for placed, reason in arm.skipped
            if placed.source == source.spec
        ]
        mine = [note.removeprefix(f"{source.spec}: ") for note in notes if note.startswith(f"{source.spec}: ")]
        report = SourceReport(
            source.spec, f"problems, sampled by {session.job.command}", asked + len(skipped), len(rows)
        )
        report.n_skipped, report.skipped, report.sha256 = len(skipped), skipped[:SHOWN_SKIPS], source.sha256
        report.notes = [*source.notes, *mine, *_failures(rows)]
        reports.append(report)
    return reports


def _failures(rows: pl.DataFrame) -> list[str]:
    reasons = rows.filter(pl.col("finish_reason") == "error")["grade_reason"]
    if reasons.is_empty():
        return []
    others = ", and for other reasons" if reasons.n_unique() > 1 else ""
    return [f"{len(reasons)} of {len(rows)} samples were {reasons[0]}{others}"]


def _arm(arm: Arm) -> dict[str, Any]:
    reasons: dict[str, int] = {}
    for _, reason in arm.skipped:
        reasons[reason] = reasons.get(reason, 0) + 1
    return {
        "condition": arm.condition,
        "about": arm.context.about,
        "n_problems": len({one.placed.key for one in arm.asked}),
        "n_skipped": len(arm.skipped),
        "skipped": reasons,
        "n_trimmed": arm.trimmed,
    }


def _manifest(session: Session, lexes: tuple[Lexicon, ...], reports: list[SourceReport]) -> dict[str, Any]:
    """`run.json`: that of any run, and what was sampled, with what, and how."""
    job, used = session.job, session.store.used()
    # What shapes a single response: neither how many there are nor the seed, which differs between arms.
    sampling = {key: value for key, value in used.get("sampling", {}).items() if key not in ("n", "seed", "logprobs")}
    return {
        **manifest(job.config, lexes, reports),
        "config": plain(public(job.config)),
        "command": job.command,
        "model": job.config.model,
        "engine": {key: value for key, value in used.items() if key not in ("sampling", "interventions")},
        "decoding": {
            **sampling,
            "thinking": job.config.decoding.thinking or "template",
            "intervention": session.steered.name or "none",
        },
        "interventions": used.get("interventions", {}),
        "published": dataclasses.asdict(job.family),
        "identity": json.loads((session.store.out / IDENTITY).read_text("utf-8")),
    }


def write_problems(path: Path, problems: Sequence[Placed]) -> None:
    """Write the questions as they are, a line each."""
    with open(path, "w", encoding="utf-8") as file:
        for placed in problems:
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
