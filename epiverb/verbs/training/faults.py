"""What ends a training early, as one line: what happened, what is kept, how to go on."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from epiverb.errors import ConfigError, EngineError, EpiverbError, MissingExtra, Stopped, StorageError
from epiverb.verbs.training.folder import checkpoints

FULL = ("No space left", "PytorchStreamWriter", "inline_container.cc", "File too large", "Disk quota")
"""What libraries say that do not raise the system's own error when a disk is full."""
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
GONE = (
    "ConnectionError",
    "ConnectionRefusedError",
    "ConnectError",
    "ReadTimeout",
    "ConnectTimeout",
    "RemoteProtocolError",
)
"""Errors by which a server that is gone shows."""


def kept(out: Path) -> str:
    """What is there to go on from."""
    steps = list(checkpoints(out))
    if not steps:
        return "There is no checkpoint yet; the same command begins again."
    return f"checkpoint-{steps[-1]} is kept in {out}; the same command continues from it."


@contextmanager
def told(out: Path) -> Iterator[None]:
    """Say of whatever ends the block early what is kept."""
    try:
        yield
    except KeyboardInterrupt:
        raise Stopped(f"stopped. {kept(out)}") from None
    except (ConfigError, MissingExtra, Stopped):
        raise
    except EpiverbError as error:
        raise type(error)(f"{str(error).rstrip('.')}. {kept(out)}") from error
    except Exception as error:
        translated = translate(error, out)
        if translated is None:
            raise
        raise type(translated)(f"{translated} {kept(out)}") from error


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error, and those while which it came about."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def translate(error: Exception, out: Path) -> EpiverbError | None:
    """The fault as one of ours; None: it is not known."""
    text, name = " ".join(str(error).split())[:200], type(error).__name__
    if name == "OutOfMemoryError" or "out of memory" in text:
        return EngineError(
            f"the GPU's memory is full ({text}). Try fewer --max-tokens, --micro-batch 1, --lora 32, more GPUs, or "
            "--vllm colocate; --dry-run tells what takes how much."
        )
    system = next((each for each in _chain(error) if isinstance(each, OSError) and each.errno in NO_ROOM), None)
    if system is not None or any(word in text for word in FULL):
        where, why = (system.filename, f" ({system.strerror})") if system is not None else (None, "")
        return StorageError(f"{where or out}: the disk is full{why}. Make room, or --keep fewer checkpoints.")
    if name in GONE or any(word in text for word in ("Connection refused", "Connection reset", "server is down")):
        return EngineError(f"the server that samples is gone ({name}: {text}). Start it again.")
    return StorageError(f"{error.filename or out}: {error.strerror or error}.") if isinstance(error, OSError) else None
