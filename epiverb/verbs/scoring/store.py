"""Work under way and its place in a finished run: parts that survive a kill, then rows that replace only their own.

While a command works it writes `RUN/.score/STAGE/00000.parquet`, each whole or not there. When it is done the rows of
`values` and `points` go into the run. A table that is a folder gets one more file, `part-score-STAGE.parquet`; one that is a
file is written anew beside itself and renamed. Traces and hits are never touched. Last of all `score.json` says what was
added: a command that is killed before the tables leaves a run that reads as before; one killed between them and the document
is told of nowhere, and the next command of the stage, the same or another, replaces its rows.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from epiverb.errors import StorageError
from epiverb.run import Run
from epiverb.verbs.sampling.store import write, write_text

WORK = ".score"
DOCUMENT = "score.json"


class Parts:
    """The rows of one stage that are there already. Opened anew where the settings are others than before."""

    def __init__(self, run: Path, stage: str, identity: dict[str, Any]) -> None:
        self.folder = run / WORK / stage
        told = json.dumps(identity, sort_keys=True, default=str)
        note = self.folder / "identity.json"
        if self.folder.exists() and (not note.is_file() or note.read_text("utf-8") != told):
            shutil.rmtree(self.folder)
        write_text(note, told)
        self._next = 1 + max((int(path.stem) for path in self.files), default=-1)

    @property
    def files(self) -> list[Path]:
        """Files of the parts, in order."""
        return sorted(self.folder.glob("[0-9]*.parquet"))

    def add(self, rows: pl.DataFrame) -> None:
        """Keep one part; raises `StorageError` where it cannot be written."""
        write(self.folder / f"{self._next:05}.parquet", rows)
        self._next += 1

    def scan(self) -> pl.LazyFrame:
        """All rows so far."""
        return pl.scan_parquet(self.files, glob=False) if self.files else pl.LazyFrame()

    def done(self, *columns: str) -> set[tuple[Any, ...]]:
        """What there are rows of."""
        return set(self.scan().select(columns).unique().collect().iter_rows()) if self.files else set()

    def drop(self) -> None:
        """Remove them: they are in the run now."""
        shutil.rmtree(self.folder, ignore_errors=True)
        _note(self.folder.parent.parent, self.folder.name).unlink(missing_ok=True)
        if self.folder.parent.is_dir() and not any(self.folder.parent.iterdir()):
            self.folder.parent.rmdir()


def claimed(run: Path, stage: str, now: Sequence[str]) -> list[str]:
    """The measures whose rows are this stage's to replace: those of `now`, of `score.json`, and of a command that was killed.

    They are noted before any row goes in: a command that is killed between the tables and `score.json` may be followed by
    one with other settings, and its rows must not stay for ever.
    """
    note = _note(run, stage)
    told = documents(run).get(stage, {}).get("tables", {}).get("measures", [])
    left = json.loads(note.read_text("utf-8")) if note.is_file() else []
    names = sorted({*now, *told, *left})
    write_text(note, json.dumps(names))
    return names


def _note(run: Path, stage: str) -> Path:
    return run / WORK / f"{stage}.measures.json"


def install(run: Run, stage: str, table: str, rows: Sequence[Path], own: Sequence[str]) -> None:
    """Put the rows of some Parquet files into a table of the run, in place of what the stage put there earlier.

    Args:
        own: the stage's measures, now and earlier: see `claimed`.
    """
    path = run.path / f"{table}.parquet"
    fresh = [pl.scan_parquet(file, glob=False) for file in rows]
    target = path / f"part-score-{stage}.parquet" if path.is_dir() else path
    if not path.is_dir():
        fresh.insert(0, run.scan(table).filter(~pl.col("measure").is_in(list(own))))
    scratch = target.with_name(f".{target.name}.partial")  # a reader of the folder's *.parquet does not see it
    try:
        if fresh:
            pl.concat(fresh).sink_parquet(scratch, compression="zstd", statistics=False)
            os.replace(scratch, target)
        elif target.exists():
            target.unlink()
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror or error}") from None
    finally:
        scratch.unlink(missing_ok=True)


def replace(run: Run, table: str, rows: pl.LazyFrame) -> None:
    """Put a table that one stage alone writes into the run, whole or not at all; none where there are no rows.

    Raises:
        StorageError: it cannot be written.
    """
    path = run.path / f"{table}.parquet"
    if not len(rows.head(1).collect()):
        path.unlink(missing_ok=True)
        return
    scratch = path.with_name(f".{path.name}.partial")
    try:
        rows.sink_parquet(scratch, compression="zstd", statistics=False)
        os.replace(scratch, path)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror or error}") from None
    finally:
        scratch.unlink(missing_ok=True)


def documents(run: Path) -> dict[str, Any]:
    """What earlier commands added, by stage; empty where nothing was."""
    path = run / DOCUMENT
    return json.loads(path.read_text("utf-8")) if path.is_file() else {}


def remember(run: Path, stage: str, document: dict[str, Any]) -> None:
    """Put a stage's document into `score.json`, beside those of other stages."""
    whole = documents(run) | {stage: document}
    write_text(run / DOCUMENT, json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
