"""An unfinished run folder: who may write, what was asked for, and the samples so far.

Samples are kept in numbered parts, one small Parquet file a table: `parts/traces/00003.parquet`. A part is there when
its file of traces is; the files beside it are written first, and each is written under another name and renamed. A
command killed at any moment leaves whole parts only. `epiverb analyze OUT/parts/traces` reads an unfinished run.
"""

from __future__ import annotations

import fcntl
import io
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from epiverb.errors import ConfigError, StorageError
from epiverb.io.raw import RAW
from epiverb.run import polars_schema

if TYPE_CHECKING:
    from epiverb.models.base import Engine

IDENTITY = "sampling.json"
PARTS = "parts"
USED = "used.json"
FINISHING = ".finishing"
"""Where the files of the finished run are made before they are moved."""
KEY = ("condition", "benchmark", "problem_id", "sample")
"""What a sample is known by."""
NOTES = {"trace_id": pl.String(), "measure": pl.String(), "value": pl.Float64(), "text": pl.String()}
"""What is known of single samples (what an intervention did, what was trimmed): a figure or a word each."""


class Store:
    """The parts of one unfinished run folder. Made by `opened`, which holds the lock."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self._next = 1 + max((int(path.stem) for path in self.files("traces")), default=-1)

    def files(self, table: str) -> list[Path]:
        """The files of one table's parts, those of whole parts only, in order."""
        folder = self.out / PARTS
        whole = {path.name for path in (folder / "traces").glob("[0-9]*.parquet")}
        return sorted(path for path in (folder / table).glob("[0-9]*.parquet") if path.name in whole)

    def add(self, tables: dict[str, pl.DataFrame]) -> None:
        """Keep one part; its `traces` are written last, and with them it is there.

        Raises:
            StorageError: it could not be written; the parts before it are whole.
        """
        for name in sorted(tables, key=lambda table: table == "traces"):
            if name == "traces" or len(tables[name]):
                folder = self.out / PARTS / name
                write(folder / f"{self._next:05}.parquet", tables[name])
        self._next += 1

    def scan(self, table: str = "traces") -> pl.LazyFrame:
        """The rows of all parts; raw traces have the columns of `RAW`."""
        files = self.files(table)
        if files:
            return pl.scan_parquet(files, glob=False)
        return pl.LazyFrame(schema={"traces": RAW, "notes": NOTES}.get(table) or polars_schema(table))

    def drawn(self) -> pl.LazyFrame:
        """The raw traces, each sample once: one that failed and was drawn again counts as drawn."""
        rows, failed = self.scan(), pl.col("finish_reason") == "error"
        drawn = rows.filter(~failed)
        never = rows.filter(failed).unique(KEY, keep="last", maintain_order=True)
        return pl.concat([drawn, never.join(drawn.select(KEY), on=KEY, how="anti")])

    def remember(self, engine: Engine, condition: str, done: list[dict[str, Any]]) -> None:
        """Keep what the engine says of its decoding, and what was done to an arm, for the day the run is finished."""
        if engine.used:
            before = self.used().get("interventions", {})
            used = {
                "name": engine.name,
                **engine.used,
                "interventions": {**before, **({condition: done} if done else {})},
            }
            write_text(self.out / PARTS / USED, json.dumps(used, indent=1, default=str))

    def used(self) -> dict[str, Any]:
        """The decoding parameters really used, as the engine told them last."""
        file = self.out / PARTS / USED
        return json.loads(file.read_text("utf-8")) if file.is_file() else {}

    def done(self, condition: str) -> set[tuple[str, str, int]]:
        """(benchmark, problem, sample) of every sample of an arm that need not be drawn again."""
        wanted = (pl.col("condition") == condition) & (pl.col("finish_reason") != "error")
        return set(self.scan().filter(wanted).select(KEY[1:]).collect().iter_rows())


def write(path: Path, frame: pl.DataFrame) -> None:
    """Write one Parquet file so that it is either whole or not there.

    Raises:
        StorageError: the disk is full, or the folder cannot be written.
    """
    packed = io.BytesIO()
    frame.write_parquet(packed, compression="zstd", statistics=False)
    scratch = path.with_suffix(".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(scratch, "wb") as file:
            file.write(packed.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, path)
    except OSError as error:
        scratch.unlink(missing_ok=True)
        raise StorageError(f"{path}: {error.strerror or error}") from None


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Hold `out` for this process alone.

    The lock is the process's own: it goes with it however it ends, and workers that outlive it do not hold it.

    Raises:
        StorageError: another command holds it.
    """
    file = out / ".lock"
    try:
        out.mkdir(parents=True, exist_ok=True)
        handle = open(file, "a+")  # noqa: SIM115 (closing it gives up the lock)
    except OSError as error:
        raise StorageError(f"{out}: {error.strerror or error}") from None
    try:
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            handle.seek(0)
            raise StorageError(
                f"{out}: another command is writing here (process {handle.read().strip() or 'unknown'}). "
                "Wait until it ends, or choose another --out."
            ) from None
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        yield
    finally:
        handle.close()


@contextmanager
def opened(out: Path, identity: dict[str, Any], *, overwrite: bool) -> Iterator[Store | None]:
    """The store in `out`, new or continued; None where the run is finished already.

    `overwrite` replaces a finished run and an unfinished one of other settings; an unfinished one of the same settings
    is continued, so that the same command goes on after an interruption.

    Raises:
        ConfigError: `out` holds something else; the message says what differs.
        StorageError: another command writes there.
    """
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out}: is a file, not a run folder. Choose another --out.")
    new = not out.exists()
    with locked(out):
        finished = (out / "run.json").is_file()
        before = _identity(out)
        if before is None and not finished and any(path.name != ".lock" for path in out.iterdir()):
            raise ConfigError(f"{out}: is not a run folder, so nothing is written into it. Choose another --out.")
        differing = [] if before is None else differences(before, identity)
        if (finished or differing) and overwrite:
            _clear(out)
        elif finished and (before is None or differing):
            why = f" ({'; '.join(differing)})" if differing else ""
            raise ConfigError(f"{out}: holds another run{why}. Pass --overwrite to replace it, or another --out.")
        elif differing:
            raise ConfigError(
                f"{out}: an unfinished run with other settings ({'; '.join(differing)}). "
                "Continue it with its own, choose another --out, or pass --overwrite to begin again."
            )
        elif finished:
            for left in (PARTS, FINISHING):  # by a command that was killed in its last moment
                shutil.rmtree(out / left, ignore_errors=True)
            yield None
            return
        write_text(out / IDENTITY, json.dumps(identity, indent=1, ensure_ascii=False) + "\n")
        try:
            yield Store(out)
        except BaseException:
            if new and not (out / PARTS).exists() and not (out / "run.json").exists():
                shutil.rmtree(out, ignore_errors=True)  # nothing was drawn: leave no empty folder behind
            raise


def _identity(out: Path) -> dict[str, Any] | None:
    """The settings that the samples in `out` were drawn with; None where it holds no samples of ours."""
    try:
        return json.loads((out / IDENTITY).read_text("utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        raise ConfigError(f"{out / IDENTITY}: is damaged. Choose another --out, or remove the folder.") from None


def differences(before: dict[str, Any], now: dict[str, Any], prefix: str = "") -> list[str]:
    """What two nested settings differ in: `temperature 0.6, now 0.7`."""
    found = []
    for key in dict.fromkeys([*before, *now]):
        old, new = before.get(key), now.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            found += differences(old, new, f"{prefix}{key}.")
        elif old != new:
            found.append(f"{prefix}{key} {_short(old)}, now {_short(new)}")
    return found


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _clear(out: Path) -> None:
    """Empty a run folder but for its lock.

    `run.json` goes first, so that half of a run is never taken for one, and what tells a folder of ours from others last.
    """
    for path in sorted(out.iterdir(), key=lambda path: (path.name != "run.json", path.name == IDENTITY)):
        if path.name != ".lock":
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def write_text(path: Path, text: str) -> None:
    """Write a small text file so that it is either whole or not there; raises `StorageError`."""
    scratch = path.with_suffix(".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch.write_text(text, "utf-8")
        os.replace(scratch, path)
    except OSError as error:
        scratch.unlink(missing_ok=True)
        raise StorageError(f"{path}: {error.strerror or error}") from None
