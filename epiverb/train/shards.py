"""The files of a training run's record: one shard a step, rank and table, whole or not there.

    OUT/rollouts/step-000012-rank-0.parquet     rollouts, one row each: the columns of a raw trace and what training adds
    OUT/rollouts/hits-000012-rank-0.parquet     their markers, one row each
    OUT/rollouts/tokens-000012-rank-0.parquet   per rollout, class of tokens and column: n and total
    OUT/probes/step-000020-rank-0.parquet       samples of the probes, as rollouts
    OUT/metrics.jsonl                           one line a log of the trainer
    OUT/.replaced/1/...                         what a run that went on from an earlier checkpoint took the place of

`step` of a rollout or probe is the number of updates its policy has had; `step` of a line of metrics is the number of
updates that were done when it was logged, as everywhere in the trainer's log.
"""

from __future__ import annotations

import io
import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from epiverb.errors import StorageError

ROLLOUTS, PROBES, METRICS, REPLACED = "rollouts", "probes", "metrics.jsonl", ".replaced"
TABLES = ("step", "hits", "tokens")
_NAME = re.compile(r"(step|hits|tokens)-(\d+)-rank-(\d+)\.parquet")


class Shard(NamedTuple):
    """A file of the record."""

    path: Path
    table: str
    """`step` (rollouts or probe samples), `hits` or `tokens`."""
    step: int
    rank: int


def name_of(table: str, step: int, rank: int) -> str:
    """File name of a shard."""
    return f"{table}-{step:06}-rank-{rank}.parquet"


def shards(folder: Path, table: str | None = None) -> list[Shard]:
    """The whole shards in a folder, by step and rank."""
    found = [(path, _NAME.fullmatch(path.name)) for path in folder.iterdir()] if folder.is_dir() else []
    listed = [Shard(path, match[1], int(match[2]), int(match[3])) for path, match in found if match]
    return sorted((s for s in listed if table in (None, s.table)), key=lambda s: (s.step, s.rank, s.table))


def write(path: Path, frame: pl.DataFrame) -> None:
    """Write a shard: as a whole under another name, then renamed.

    Raises:
        StorageError: it could not be written; what was there before stays as it was.
    """
    packed = io.BytesIO()
    frame.write_parquet(packed, compression="zstd", statistics=False)
    replace(path, packed.getbuffer())


def replace(path: Path, content: bytes | memoryview) -> None:
    """Put `content` in place of a file, or leave it as it was."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(scratch, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, path)
    except OSError as error:
        scratch.unlink(missing_ok=True)
        raise _full(path, error) from None


def append(path: Path, document: Mapping[str, Any]) -> None:
    """Add one line to a file of JSON lines; numbers that are none become null."""
    line = json.dumps({key: _finite(value) for key, value in document.items()}, ensure_ascii=False, default=str)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        size = path.stat().st_size if path.exists() else 0
        with open(path, "ab", buffering=0) as file:
            try:
                if file.write((line + "\n").encode()) != len(line.encode()) + 1:
                    raise OSError(28, "No space left on device")
            except OSError:
                os.ftruncate(file.fileno(), size)  # no half line for the next one to begin in
                raise
    except OSError as error:
        raise _full(path, error) from None


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a file of JSON lines; one that a killed process left half written is passed over."""
    if not path.is_file():
        return
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                yield json.loads(line)
            except ValueError:
                continue


def roll_back(out: Path, step: int) -> int:
    """Put aside what a run recorded from `step` on, since it is run again; the number of shards put aside comes back.

    Nothing is deleted: it goes to `OUT/.replaced/N`. A probe at `step` itself was made by the policy that goes on, and stays,
    except of a run that begins anew.
    """
    for folder in (out / ROLLOUTS, out / PROBES, out):
        for left in folder.glob(".*.partial") if folder.is_dir() else ():
            left.unlink(missing_ok=True)
    gone = [shard.path for shard in shards(out / ROLLOUTS) if shard.step >= step]
    gone += [shard.path for shard in shards(out / PROBES) if shard.step > step or step == 0]
    logged = list(lines(out / METRICS))
    kept = [line for line in logged if line.get("step", 0) <= step and step > 0]
    if not gone and len(kept) == len(logged):
        return 0
    aside = out / REPLACED / str(1 + max((int(p.name) for p in (out / REPLACED).glob("[0-9]*")), default=0))
    try:
        for path in gone:
            target = aside / path.relative_to(out)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, target)
    except OSError as error:
        raise _full(aside, error) from None
    if len(kept) < len(logged):
        replace(aside / METRICS, (out / METRICS).read_bytes())
        replace(out / METRICS, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in kept).encode())
    return len(gone)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _full(path: Path, error: OSError) -> StorageError:
    return StorageError(
        f"{path}: {error.strerror or error}. What was recorded before is whole; make room and continue the run."
    )
