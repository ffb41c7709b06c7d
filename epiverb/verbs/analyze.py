"""`epiverb analyze`: trace files to a run folder."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import platform
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import partial
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import polars as pl

from epiverb import io
from epiverb.config import to_dict
from epiverb.configs.analyze import AnalyzeConfig
from epiverb.errors import ConfigError, EpiverbError, FormatError
from epiverb.run import Run, write_json, writing
from epiverb.schema import SCHEMA_VERSION
from epiverb.text import lexicon as lexicons
from epiverb.verbs.pipeline import WORKERS, Pipeline, in_order, measure, settle
from epiverb.verbs.summary import Digest, Part, summarise

if TYPE_CHECKING:
    from epiverb.verbs.grade import Regrade
    from epiverb.verbs.workers import Workers

SHOWN_SKIPS = 1000
"""Skipped records listed one by one in the summary; the count is always of all."""

Progress = Callable[[int, "int | None", int], None]


@dataclass
class SourceReport:
    """What became of one source: how it was read, and what was not."""

    path: str
    format: str | None = None
    records: int = 0
    traces: int = 0
    n_skipped: int = 0
    skipped: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    sha256: str | None = None

    def skip(self, skips: list[Any]) -> None:
        """Count skipped records, and list the first of them."""
        self.n_skipped += len(skips)
        room = max(SHOWN_SKIPS - len(self.skipped), 0)
        self.skipped += [{"line": skip.line, "reason": skip.reason} for skip in skips[:room]]


def analyze(
    config: AnalyzeConfig,
    *,
    progress: Progress | None = None,
    dry_run: bool = False,
    grading: Regrade | None = None,
    say: Callable[[str], None] | None = None,
    workers: Workers | None = None,
) -> Run | dict[str, Any]:
    """The finished run; with `dry_run`, how each source would be read and why; with `grading`, its grades are new; with
    `workers`, the traces are measured and written by them.

    Raises:
        FormatError: no source held a trace that could be read; the message names the first reason for each.
        ConfigError, LexiconError: a setting or lexicon that cannot be used.
    """
    if config.follow and not dry_run:
        from epiverb.verbs.follow import follow

        return follow(config, partial(analyze, progress=progress, grading=grading), say or (lambda line: None))
    if config.label and len(config.label) != len(config.sources):
        raise ConfigError(f"--label: {len(config.label)} labels for {len(config.sources)} sources. Give one each.")
    lexes = tuple(lexicons.load(name) for name in dict.fromkeys(config.lexicon))
    opened, reports = open_all(config)
    if dry_run:
        return _explain(opened, reports, lexes)
    measured = workers.run if workers else partial(measure, Pipeline.of(config, lexes, grading))
    out = Path(config.out) if config.out else default_out(config)
    with writing(out, overwrite=config.overwrite or config.out is None) as folder:
        if config.report:
            Thread(target=_ready_report).start()
        frames = raw_batches(config, opened, reports, progress)
        parts = in_order(partial(measured, folder), enumerate(frames), workers.count if workers else WORKERS)
        digest = _gathered(parts, opened, reports)
        settle(folder)
        summary = summarise(digest, lexes, draws=config.draws, seed=config.seed)
        sources = [dataclasses.asdict(report) for report in reports]
        document = {"schema": SCHEMA_VERSION, "run": str(out), "sources": sources, **summary}
        if grading:
            document["grading"] = grading.document()
        write_json(folder / "summary.json", document)
        write_json(folder / "run.json", {**manifest(config, lexes, reports), **inherited(reports)})
        if config.report:
            from epiverb.report import write

            write(folder, folder / "report.html", max_traces=config.report_traces)
    return Run(out)


def _ready_report() -> None:
    """Import what the report is drawn with while the traces are read: that takes longer than to read 10 MB."""
    for module in ("matplotlib.backends.backend_svg", "epiverb.report.run"):
        import_module(module)


def document(result: Run | dict[str, Any]) -> dict[str, Any]:
    """What `--json` prints."""
    return result.summary if isinstance(result, Run) else result


def default_out(config: AnalyzeConfig) -> Path:
    """`epiverb-runs/<first source>-<hash of the settings>`: the same command writes to the same place."""
    stem = re.sub(r"[^\w.-]+", "_", Path(config.sources[0]).name.split(".")[0]).strip("_-") or "stdin"
    settings = json.dumps(to_dict(config), sort_keys=True)
    return Path("epiverb-runs") / f"{stem}-{hashlib.sha256(settings.encode()).hexdigest()[:8]}"


def open_all(config: AnalyzeConfig) -> tuple[list[Any], list[SourceReport]]:
    """Each source opened (None where it could not be), beside its report."""
    labels = config.label or (None,) * len(config.sources)
    paths = [(path, label) for source, label in zip(config.sources, labels, strict=True) for path in _expand(source)]
    doubled = {path for path, _ in paths if sum(path == other for other, _ in paths) > 1}
    if doubled:
        raise ConfigError(f"{sorted(doubled)[0]}: given twice. Each source is read once.")
    opened, reports = [], []
    for path, label in paths:
        report = SourceReport(path)
        try:
            source = io.open_source(path, format=config.format, mapping=config.map or None, label=label)
            report.format = source.format
        except EpiverbError as error:
            source = None
            report.notes.append(f"not read: {str(error).removeprefix(f'{path}: ')}")
        opened.append(source)
        reports.append(report)
    if all(source is None for source in opened):
        raise FormatError(
            "; ".join(f"{report.path}: {report.notes[0].removeprefix('not read: ')}" for report in reports)
        )
    return opened, reports


def _expand(source: str) -> list[str]:
    return io.expand([source])


def _explain(opened: list[Any], reports: list[SourceReport], lexes: tuple[Any, ...]) -> dict[str, Any]:
    sources = []
    for source, report in zip(opened, reports, strict=True):
        why = source.why if source else report.notes[0]
        sources.append({"path": report.path, "format": report.format, "why": why})
    return {
        "schema": SCHEMA_VERSION,
        "dry_run": True,
        "sources": sources,
        "lexicons": {x.name: x.sha256 for x in lexes},
    }


def _gathered(parts: Iterable[Part], opened: list[Any], reports: list[SourceReport]) -> Digest:
    """What the estimates need of all batches, which are measured and written as they are asked for."""
    digest = Digest()
    # Hashing a file takes as long as reading it, and neither waits for the other.
    with ThreadPoolExecutor(1) as hasher:
        hashes = [hasher.submit(getattr, source, "sha256", None) for source in opened]
        for part in parts:
            digest.add(part)
        for report, hashed in zip(reports, hashes, strict=True):
            report.sha256 = hashed.result()
    check_any(reports)
    return digest


def check_any(reports: list[SourceReport]) -> None:
    """Raise `FormatError`, with the first reason for each source, where none of them gave a trace."""
    if any(report.traces for report in reports):
        return
    reasons = [f"{r.path}: {r.skipped[0]['reason'] if r.skipped else (r.notes or ['no records'])[0]}" for r in reports]
    raise FormatError(f"no trace could be read. {'; '.join(reasons)}")


def raw_batches(
    config: AnalyzeConfig, opened: list[Any], reports: list[SourceReport], progress: Progress | None
) -> Iterator[pl.DataFrame]:
    """The raw frames of all sources in order, counted into `reports` as they pass."""
    left = config.limit
    total = sum(filter(None, (getattr(source, "size", None) for source in opened))) or None
    done = 0
    for source, report in zip(opened, reports, strict=True):
        if source is None or left == 0:
            continue
        batches = source.batches()
        try:
            for batch in batches:
                frame = batch.frame if left is None else batch.frame.head(left)
                left = None if left is None else left - len(frame)
                report.records += batch.n_records + len(batch.skipped)
                report.traces += len(frame)
                report.skip(batch.skipped)
                done += batch.n_bytes
                if progress:
                    progress(done, total, sum(r.traces for r in reports))
                if len(frame):
                    yield frame
                if left == 0:
                    report.notes.append(f"stopped at --limit {config.limit}")
                    break
        except FormatError as error:  # what came before it is kept, and so are the other sources
            report.notes.append(f"not read to its end: {str(error).removeprefix(f'{report.path}: ')}")
        batches.close()  # its notes are complete then
        report.notes += source.notes


def manifest(config: Any, lexes: tuple[Any, ...], reports: list[SourceReport]) -> dict[str, Any]:
    """How the run was made: written by the machine, read by `compare` and by reviewers."""
    packages = ("epiverb", "polars", "numpy", "pyarrow")
    return {
        "schema": SCHEMA_VERSION,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "config": to_dict(config),
        "lexicons": {lex.name: lex.sha256 for lex in lexes},
        "inputs": {report.path: report.sha256 for report in reports},
        "git_commit": _git_commit(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
    }


def inherited(reports: list[SourceReport]) -> dict[str, Any]:
    """What the sources say of their sampling, where all are run folders that agree in it: shards of one job."""
    folders = [
        next((parent for parent in Path(r.path).parents if (parent / "run.json").is_file()), None) for r in reports
    ]
    if any(folder is None for folder in folders):
        return {}
    found = [Run(folder).manifest for folder in dict.fromkeys(folders) if folder is not None]
    keys = [key for key in ("model", "decoding") if all(key in one and one[key] == found[0][key] for one in found)]
    return {key: found[0][key] for key in keys}


def _git_commit() -> str | None:
    """Commit of the checkout that the command runs in; None outside one."""
    try:
        found = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5)
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() if found.returncode == 0 else None
