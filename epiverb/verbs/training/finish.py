"""The record of a training to a finished run: the tables, summary and report that `analyze` makes, and what came of training."""

from __future__ import annotations

import dataclasses
import os
import shutil
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from epiverb.config import plain, to_dict
from epiverb.configs.train import SftTrainConfig
from epiverb.run import conform, write_json, write_table
from epiverb.schema import SCHEMA_VERSION
from epiverb.text import lexicon as lexicons
from epiverb.text.cues import CUES
from epiverb.text.match import Matcher
from epiverb.train import recorded
from epiverb.verbs.analyze import SourceReport, manifest
from epiverb.verbs.pipeline import Pipeline, in_order, measure, settle
from epiverb.verbs.sampling.finish import PROBLEMS, write_problems
from epiverb.verbs.summary import Digest, summarise
from epiverb.verbs.training.course import course, last
from epiverb.verbs.training.folder import checkpoints
from epiverb.verbs.training.plan import method_of

if TYPE_CHECKING:
    from epiverb.configs.train import GrpoConfig, SdpoConfig
    from epiverb.text.lexicon import Lexicon
    from epiverb.verbs.training.run import Data, Trained

    Any3 = GrpoConfig | SdpoConfig | SftTrainConfig

FINISHING = ".finishing"
"""Where the files of the finished run are made before they are moved."""


def finish(config: Any3, out: Path, data: Data, trained: Trained) -> None:
    """Make the run folder of a training a run; until `run.json` is there it is an unfinished one."""
    lexes = tuple(lexicons.load(name) for name in dict.fromkeys(config.watching.lexicon))
    scratch = out / FINISHING
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    try:
        record = recorded.finish(out)
        digest = _write_tables(scratch, record, lexes)
        reports = _reports(data, trained, digest)
        document = {
            "schema": SCHEMA_VERSION,
            "run": str(out),
            "sources": [dataclasses.asdict(report) for report in reports],
            **summarise(digest, lexes, draws=config.watching.draws, seed=config.seed),
            "training": _training(config, out, scratch, trained),
        }
        write_json(scratch / "summary.json", document)
        if not isinstance(config, SftTrainConfig):
            write_problems(scratch / PROBLEMS, [placed for source in data.rows for placed in source.problems])
        write_json(scratch / "run.json", {**manifest(config, lexes, reports), **_how(config)})
        if config.watching.report:
            from epiverb.report import write

            write(scratch, scratch / "report.html")
        _install(scratch, out)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _install(scratch: Path, out: Path) -> None:
    """Move the finished files into the run folder, `run.json` last."""
    for path in sorted(scratch.iterdir(), key=lambda path: path.name == "run.json"):
        target = out / path.name
        if target.is_dir():
            shutil.rmtree(target)
        os.replace(path, target)


def _write_tables(folder: Path, record: recorded.Recorded, lexes: tuple[Lexicon, ...]) -> Digest:
    digest = Digest()
    pipeline = Pipeline(lexes, Matcher((*lexes, CUES)), {})

    for part in in_order(partial(measure, pipeline, folder), enumerate(record.frames())):
        digest.add(part)
    for name, more in (("values", record.values()), ("points", record.points())):
        path = folder / f"{name}.parquet"
        write_table(conform(more, name), path / f"part-{len(list(path.iterdir())):05}.parquet")
    settle(folder)
    return digest


def _reports(data: Data, trained: Trained, digest: Digest) -> list[SourceReport]:
    """Rollouts and probes as sources, and what each set was."""
    traces = digest.traces
    counts = traces.group_by(pl.col("condition").fill_null("rollout"), maintain_order=True).len()
    reports = [SourceReport(name, "responses, recorded while training", n, n) for name, n in counts.iter_rows()]
    first = reports[0]
    first.notes = list(trained.notes)
    if trained.unknown:
        told = ", ".join(f"{reason} ({n})" for reason, n in sorted(trained.unknown.items(), key=lambda item: -item[1]))
        first.notes.append(f"{sum(trained.unknown.values()):,} grades are not known: {told}")
    first.sha256 = next(iter(data.hashes.values()))
    return reports


def _training(config: Any3, out: Path, tables: Path, trained: Trained) -> dict[str, Any]:
    """What came of it: figures step by step, the last ones, and the checkpoints."""
    rows = course(tables, config.watching.lexicon[0])
    return {
        "method": method_of(config),
        "steps": trained.steps,
        "of": trained.of,
        "last": last(out, rows),
        "checkpoints": [str(path) for path in checkpoints(out).values()],
        "unknown": trained.unknown,
        "course": rows,
    }


def _how(config: Any3) -> dict[str, Any]:
    """What `run.json` says of model and decoding, as those of other runs do."""
    decoding: dict[str, Any] = {}
    if not isinstance(config, SftTrainConfig):
        names = ("temperature", "top_p", "top_k", "max_tokens")
        decoding = {name: getattr(config.rollouts, name) for name in names}
        decoding["thinking"] = config.problems.thinking or "template"
    return {
        "config": plain(to_dict(config)),
        "command": f"train {method_of(config)}",
        "model": config.model,
        "decoding": decoding,
    }
