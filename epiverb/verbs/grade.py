"""`epiverb grade`: the responses of trace files and runs graded anew, beside the grades that are stored with them."""

from __future__ import annotations

import dataclasses
import shutil
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from epiverb.config import to_dict
from epiverb.configs.analyze import AnalyzeConfig
from epiverb.configs.grade import GradeConfig
from epiverb.errors import ConfigError, DataError
from epiverb.graders import Grade, Task, check, grade_by
from epiverb.graders.exact import NO_GOLD
from epiverb.problems import Problem, load
from epiverb.run import Run, conform, polars_schema, write_json, writing
from epiverb.schema import SCHEMA_VERSION
from epiverb.verbs import analyze as analysis
from epiverb.verbs.pipeline import Tables
from epiverb.verbs.summary import Digest, Part, summarise

Progress = Callable[[int, "int | None", int], None]

SHARED = {"sources", "format", "map", "domain", "limit", "lexicon", "report", "out", "overwrite"}
"""Settings that are those of `analyze`."""
FOUND = {**polars_schema("hits"), "trace_id": pl.UInt32}
NO_TEXT = Grade(None, "no text kept")


class Regrade:
    """Gives a batch of raw traces new grades, and remembers how they compare with the stored ones."""

    def __init__(self, config: GradeConfig) -> None:
        self.config = config
        problems = load(config.gold_from) if config.gold_from else []
        self._by_id = {problem.problem_id: problem for problem in problems}
        self._by_question = {_question(problem): problem for problem in problems}
        used = {config.grader} if config.grader else {"math", *(problem.grader for problem in problems)}
        check(used, config.lenient)  # a wrong name is told before anything is read
        self._lock = threading.Lock()
        self._rows: list[pl.DataFrame] = []

    def __call__(self, raw: pl.DataFrame) -> pl.DataFrame:
        """`raw` with `gold`, `answer`, `correct` and `grade_reason` of the new grading."""
        names, tasks = self.tasks(raw)
        grades = grade_by(names, tasks, lenient=self.config.lenient)
        kept = raw["response"].is_not_null()
        grades = [grade if there else NO_TEXT for grade, there in zip(grades, kept, strict=True)]
        new = raw.with_columns(
            pl.Series("gold", [task.gold for task in tasks], pl.String),
            pl.Series("answer", [grade.answer for grade in grades], pl.String),
            pl.Series("correct", [grade.correct for grade in grades], pl.Boolean),
            pl.Series("grade_reason", [grade.reason for grade in grades], pl.String),
        )
        columns = ("trace_id", "source", "line", "sample", "correct", "answer", "gold", "grade_reason")
        with self._lock:
            self._rows.append(new.select(*columns, raw["correct"].alias("stored")))
        return new

    def tasks(self, raw: pl.DataFrame) -> tuple[list[str], list[Task]]:
        """For each trace the name of its grader, and what that is given."""
        names, tasks = [], []
        for row in raw.select("problem_id", "prompt", "response", "gold", "thinking_end").iter_rows(named=True):
            problem = self._problem(row["problem_id"], row["prompt"])
            gold = row["gold"] if row["gold"] is not None or problem is None else problem.gold
            names.append(self.config.grader or (problem.grader if problem else "math"))
            tasks.append(Task(row["response"] or "", gold, problem.extra if problem else {}, row["thinking_end"]))
        return names, tasks

    def _problem(self, problem_id: str | None, prompt: str | None) -> Problem | None:
        return self._by_id.get(problem_id or "") or self._by_question.get((prompt or "").strip())

    def document(self) -> dict[str, Any]:
        """What `--json` prints of the grades: totals, and each source's agreement with its stored grades.

        Raises:
            DataError: no trace could be graded, for want of a gold answer.
        """
        rows = pl.concat(self._rows).sort("source", "line", "sample")
        if (rows["grade_reason"] == NO_GOLD.reason).all():
            where = f"{self.config.gold_from} has none of these problems" if self.config.gold_from else "none is stored"
            raise DataError(f"{rows['source'][0]}: no gold answer for any trace; {where}. Pass --gold-from SET|FILE.")
        parts = rows.partition_by("source", maintain_order=True)
        sources = [{"path": part["source"][0], **_counts(part)} for part in parts]
        told = {"grader": self.config.grader, "lenient": list(self.config.lenient), "gold_from": self.config.gold_from}
        return {**told, **_counts(rows), "by_source": sources, "agreement": agreement(rows)}


def _question(problem: Problem) -> str:
    return problem.messages[-1]["content"].strip()


def _counts(rows: pl.DataFrame) -> dict[str, Any]:
    """How many traces are right, wrong and unknown, by us and as stored."""
    both = rows.filter(pl.col("stored").is_not_null() & pl.col("correct").is_not_null())
    told = Counter(rows["grade_reason"].to_list())
    unknown = Counter(rows.filter(pl.col("correct").is_null())["grade_reason"].to_list())
    return {
        "n": len(rows),
        "right": int(rows["correct"].sum()),
        "wrong": int((~rows["correct"]).sum()),
        "unknown": dict(unknown.most_common()),
        "stored_right": int(rows["stored"].sum()),
        "n_stored": len(rows) - rows["stored"].null_count(),
        "agree": int((both["stored"] == both["correct"]).sum()),
        "disagree": int((both["stored"] != both["correct"]).sum()),
        "reasons": dict(told.most_common()),
    }


def agreement(rows: pl.DataFrame) -> dict[str, Any]:
    """Of the traces with a stored grade: n = agree + disagreements + unknown, every disagreement with its reason."""
    stored = rows.filter(pl.col("stored").is_not_null())
    unknown = Counter(stored.filter(pl.col("correct").is_null())["grade_reason"].to_list())
    differ = stored.filter(pl.col("stored") != pl.col("correct"))
    return {
        "n": len(stored),
        "agree": len(stored) - len(differ) - unknown.total(),
        "unknown": dict(unknown.most_common()),
        "disagreements": [
            {
                "trace": r["trace_id"],
                "stored": r["stored"],
                "ours": r["correct"],
                "answer": r["answer"],
                "gold": r["gold"],
            }
            | {"reason": r["grade_reason"]}
            for r in differ.iter_rows(named=True)
        ],
    }


def grade(config: GradeConfig, *, progress: Progress | None = None, dry_run: bool = False) -> dict[str, Any]:
    """The grades in numbers, and their agreement with the stored ones; with `out`, also a run that holds them.

    With `dry_run`, how each source would be read, and how many of its traces would be graded by which grader.

    Raises:
        ConfigError: an unknown grader or option.
        DataError: no gold answers.
        FormatError: no source held a trace that could be read.
    """
    regrade = Regrade(config)
    if dry_run:
        return _plan(config, regrade)
    if len(config.sources) == 1 and (Path(config.sources[0]) / "run.json").is_file():
        return _grade_run(Run(config.sources[0]), regrade)
    settings = AnalyzeConfig(**{key: value for key, value in vars(config).items() if key in SHARED})
    if config.out:
        made = analysis.analyze(settings, progress=progress, grading=regrade)
        assert isinstance(made, Run)  # a dry run is not asked for
        return _document(config.out, made.summary["sources"], made.summary["grading"])
    opened, reports = analysis.open_all(settings)
    for frame in analysis.raw_batches(settings, opened, reports, progress):
        regrade(frame)
    analysis.check_any(reports)
    return _document(None, [dataclasses.asdict(report) for report in reports], regrade.document())


def _plan(config: GradeConfig, regrade: Regrade) -> dict[str, Any]:
    """What would be graded: nothing is, so that no response is run."""
    settings = AnalyzeConfig(**{key: value for key, value in vars(config).items() if key in SHARED})
    opened, reports = analysis.open_all(settings)
    rows, left = [], config.limit
    for source, report in zip(opened, reports, strict=True):
        row: dict[str, Any] = {"path": report.path, "format": report.format, "n": 0, "without_gold": 0, "graders": {}}
        rows.append({**row, "why": source.why if source else report.notes[0]})
        for frame in analysis.raw_batches(dataclasses.replace(settings, limit=left), [source], [report], None):
            names, tasks = regrade.tasks(frame)
            rows[-1]["n"] += len(tasks)
            rows[-1]["without_gold"] += sum(task.gold is None and not task.extra for task in tasks)
            rows[-1]["graders"] = dict(Counter(rows[-1]["graders"]) + Counter(names))
        left = None if left is None else left - rows[-1]["n"]
    told = {"gold_from": config.gold_from, "lenient": list(config.lenient), "out": config.out}
    return {"schema": SCHEMA_VERSION, "dry_run": True, **told, "sources": rows}


def _document(run: str | None, sources: list[dict[str, Any]], grading: dict[str, Any]) -> dict[str, Any]:
    return {"schema": SCHEMA_VERSION, "run": run, "sources": sources, **grading}


def _grade_run(run: Run, regrade: Regrade) -> dict[str, Any]:
    """The grades of a run. The new run is the old one, ids and all tables, but for the grades and what follows from them."""
    config, old = regrade.config, run.scan("traces").collect()
    if config.limit:
        old = old.head(config.limit)
    there = pl.when(pl.col("status") != "missing").then("response")
    new = regrade(old.with_columns(there.alias("response"))).with_columns(old["response"])
    grading, sources = regrade.document(), run.summary["sources"]
    if config.out is None:
        return _document(None, sources, grading)
    if config.limit:
        raise ConfigError("--limit with --out would leave hits without their traces. Leave one of them out.")
    with writing(config.out, overwrite=config.overwrite) as folder:
        shutil.copytree(
            run.path, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("traces.parquet", "report.html")
        )
        conform(new, "traces").write_parquet(folder / "traces.parquet", statistics=False)
        summary = {**_with_accuracy(run, new), "run": config.out, "grading": grading}
        write_json(folder / "summary.json", summary)
        write_json(folder / "run.json", {**run.manifest, "grading": {"of": str(run.path), **to_dict(config)}})
        if config.report and (run.path / "report.html").is_file():
            from epiverb.report import write

            write(folder, folder / "report.html", max_traces=AnalyzeConfig.report_traces)
    return _document(config.out, sources, grading)


def _with_accuracy(run: Run, traces: pl.DataFrame) -> dict[str, Any]:
    """The run's summary with the accuracies of these traces; nothing else in it depends on the grades."""
    old, digest = run.summary, Digest()
    digest.add(Part.of(Tables(traces, pl.DataFrame(schema=FOUND), pl.DataFrame(), pl.DataFrame())))
    told = run.manifest["config"]
    new = summarise(digest, (), draws=told.get("draws", AnalyzeConfig.draws), seed=told.get("seed", 0))
    graded = ("accuracy", "pass_at_k")
    groups = [
        group | {key: fresh[key] for key in graded if key in fresh}
        for group, fresh in zip(old["groups"], new["groups"], strict=True)
    ]
    return old | {key: new[key] for key in graded} | {"groups": groups}
