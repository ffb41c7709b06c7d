"""The run folder of a training: who may write, what was asked for, and the checkpoints that are whole.

OUT/training.json          the settings that shape the training, and hashes of the data
OUT/checkpoints/           checkpoint-10, ...; one that holds `whole.json` is whole
OUT/rollouts/, probes/, metrics.jsonl   what the watch records
OUT/run.json               there when the training is finished and has become a run
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from epiverb.errors import ConfigError
from epiverb.verbs.sampling.store import differences, locked, write_text

IDENTITY = "training.json"
CHECKPOINTS = "checkpoints"
WHOLE = "whole.json"


def rank() -> int:
    """Which of the processes that were started together this is; 0 speaks and writes."""
    return int(os.environ.get("RANK", "0")) if world() > 1 else 0


def world() -> int:
    """How many processes were started together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def local_rank() -> int:
    """Which of the processes on this machine this is."""
    return int(os.environ.get("LOCAL_RANK", "0"))


@contextmanager
def opened(out: Path, identity: dict[str, Any], *, overwrite: bool) -> Iterator[Path | None]:
    """Hold the folder; gives the last whole checkpoint to go on from. Other processes than the first only look.

    Raises:
        ConfigError: it is finished, of other settings, or no run folder.
        StorageError: another command writes there.
    """
    if rank() != 0:
        yield last_checkpoint(out)
        return
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out}: is a file, not a run folder. Choose another --out.")
    new = not out.exists()
    with locked(out):
        try:
            _admit(out, identity, overwrite=overwrite)
            write_text(out / IDENTITY, json.dumps(identity, indent=1, ensure_ascii=False) + "\n")
            for left in broken(out):
                shutil.rmtree(left)
            yield last_checkpoint(out)
        except BaseException:
            if new and not (out / CHECKPOINTS).exists() and not (out / "rollouts").exists():
                shutil.rmtree(out, ignore_errors=True)  # nothing came of it: leave no empty folder behind
            raise


def _admit(out: Path, identity: dict[str, Any], *, overwrite: bool) -> None:
    """Whether this training may write into the folder; with `overwrite` it is emptied where it may not."""
    before = _before(out)
    finished = (out / "run.json").is_file()
    strange = before is None and (finished or any(path.name != ".lock" for path in out.iterdir()))
    if strange and not (finished and overwrite):
        raise ConfigError(
            f"{out}: is not the folder of a training, so nothing is written into it. Choose another --out."
        )
    differing = [] if before is None else differences(before, identity)
    if (finished or differing) and overwrite:
        for path in sorted(out.iterdir(), key=lambda path: (path.name != "run.json", path.name == IDENTITY)):
            if path.name != ".lock":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    elif finished:
        why = f"holds another run ({'; '.join(differing)})" if differing else "this training is finished"
        raise ConfigError(f"{out}: {why}. Look at it with epiverb show, or pass --overwrite to begin again.")
    elif differing:
        raise ConfigError(
            f"{out}: an unfinished training with other settings ({'; '.join(differing)}). "
            "Continue it with its own, choose another --out, or pass --overwrite to begin again."
        )


def _before(out: Path) -> dict[str, Any] | None:
    try:
        return json.loads((out / IDENTITY).read_text("utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        raise ConfigError(f"{out / IDENTITY}: is damaged. Choose another --out, or remove the folder.") from None


def checkpoints(out: Path) -> dict[int, Path]:
    """Step -> folder of the checkpoints that are whole, in the order of steps."""
    return {step: path for step, path in _numbered(out) if (path / WHOLE).is_file()}


def broken(out: Path) -> list[Path]:
    """Checkpoints that a kill left half-written."""
    return [path for _, path in _numbered(out) if not (path / WHOLE).is_file()]


def _numbered(out: Path) -> list[tuple[int, Path]]:
    found = ((re.fullmatch(r"checkpoint-(\d+)", path.name), path) for path in (out / CHECKPOINTS).glob("checkpoint-*"))
    return sorted((int(match[1]), path) for match, path in found if match)


def last_checkpoint(out: Path) -> Path | None:
    """The checkpoint to go on from."""
    return next(reversed(checkpoints(out).values()), None)


def step_of(checkpoint: Path | None) -> int:
    """The step behind which a checkpoint was made; 0: there is none."""
    return int(checkpoint.name.rpartition("-")[2]) if checkpoint is not None else 0


def seal(checkpoint: Path, step: int, keep: int | None) -> None:
    """Mark a checkpoint as whole, then remove those before the last `keep`."""
    write_text(checkpoint / WHOLE, json.dumps({"step": step}) + "\n")
    if keep is not None:
        for old in list(checkpoints(checkpoint.parent.parent).values())[:-keep]:
            (old / WHOLE).unlink()
            shutil.rmtree(old)
