"""Being stopped: one Ctrl-C is one interrupt, and the message says how much is kept and how to go on.

polars ends a query that Ctrl-C meets, in whatever thread it runs, with a KeyboardInterrupt of its own. Python raises
another one for the same signal in the main thread, at the next call: in the middle of whatever handles the first.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import polars as pl

from epiverb.errors import EngineError, EpiverbError, GradingError, Stopped, StorageError

if TYPE_CHECKING:
    from epiverb.verbs.sampling.draw import Tally
    from epiverb.verbs.sampling.store import Store

TRIES = 5
"""Times that work beside the main thread is begun again after an interrupt that was not its own."""


@contextmanager
def told(store: Store, tally: Tally) -> Iterator[None]:
    """Say of whatever ends the block early how much is kept, and that the same command goes on."""

    with _one_interrupt():
        try:
            yield
        except KeyboardInterrupt:
            raise Stopped(f"stopped: {_kept(store, tally) or 'nothing was drawn yet.'}") from None
        except (EngineError, StorageError, GradingError) as error:
            raise type(error)(f"{str(error).rstrip('.')}. {_kept(store, tally)}".rstrip()) from error
        except EpiverbError:
            raise
        except OSError as error:
            said = f"{error.filename or store.out}: {error.strerror or error}. {_kept(store, tally)}"
            raise StorageError(said.rstrip()) from error


def _kept(store: Store, tally: Tally) -> str:
    """What is there, as a sentence; empty where nothing was begun."""
    if (store.out / "run.json").is_file():
        return f"{store.out} is finished."
    there = store.drawn().filter(pl.col("finish_reason") != "error").select(pl.len()).collect().item()
    of = f" of {tally.total:,}" if tally.total else ""
    return f"{there:,}{of} samples are kept in {store.out}; the same command continues." if there or of else ""


@contextmanager
def _one_interrupt() -> Iterator[None]:
    """Within the block a signal that is being handled already, because polars raised it, is not raised again.

    A second Ctrl-C is: whoever presses it will not wait. Handlers that are not Python's own are left as they are, and so
    are threads other than the main one, which signals do not reach.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:
        yield
        return
    seen = 0

    def interrupt(number: int, frame: Any) -> None:
        nonlocal seen
        seen += 1
        if seen > 1 or not isinstance(sys.exc_info()[1], KeyboardInterrupt):
            signal.default_int_handler(number, frame)

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def undisturbed(work: Callable[[], None]) -> None:
    """Do `work` beside the main thread, from its beginning again where polars ends it for a signal that is not its own.

    The signal is pending in polars until no thread is in a query, which is soon: the main thread stops for it.
    """
    for _ in range(TRIES):
        try:
            return work()
        except KeyboardInterrupt:
            time.sleep(0.1)
    work()
