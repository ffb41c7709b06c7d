"""Worker processes for `analyze`: they measure and write batches of traces while this process reads the next ones.

Threads of one process wait for each other: for the interpreter lock, and in the kernel for the page tables that they share.
Processes do not. They cost their imports, so only large files get them, and they are started before this process
has imported anything heavy, on processors that are idle until then: this module is light. A batch goes to a worker as Arrow
data in memory that both map, its answer comes back through a pipe; a worker whose pipe closes ends. They are processes of
their own rather than forks, as polars has threads. Linux only: elsewhere, and for small files, threads do the work.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from epiverb.configs.analyze import AnalyzeConfig
from epiverb.errors import EngineError, EpiverbError

if TYPE_CHECKING:
    import polars as pl

    from epiverb.run import Run
    from epiverb.verbs.summary import Part

ENOUGH = 256 << 20
"""Bytes of input from which workers pay: what they save on 250 MB is what their start costs."""
MOST = 3
"""Workers: this process cannot read for more, and each takes some 250 MB of memory."""
START = "import sys; sys.path[:] = sys.argv[3:]; from epiverb.verbs.workers import main; main(*map(int, sys.argv[1:3]))"
SINGLE = dict.fromkeys(("POLARS_MAX_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"), "1")
"""There is a worker a processor; threads within it would only wait for each other."""


def analyze(
    config: AnalyzeConfig,
    *,
    progress: Callable[[int, int | None, int], None] | None = None,
    dry_run: bool = False,
    say: Callable[[str], None] | None = None,
) -> Run | dict[str, Any]:
    """What `analyze.analyze` gives; worker processes start while that is still being imported."""
    with started(config, 0 if dry_run else wanted(config)) as workers:
        from epiverb.verbs import analyze as verb

        return verb.analyze(config, progress=progress, dry_run=dry_run, say=say, workers=workers)


def wanted(config: AnalyzeConfig) -> int:
    """How many workers pay for these sources: 0 where they are small, of unknown size, or not read to their end once."""
    if sys.platform != "linux" or config.limit is not None or config.follow:
        return 0
    from epiverb.io.source import expand

    try:
        size = sum(os.path.getsize(path) for path in expand(list(config.sources)) if os.path.isfile(path))
    except (EpiverbError, OSError):
        return 0  # it is told when the source is opened
    count = min(len(os.sched_getaffinity(0)), MOST)
    return count if count > 1 and size >= ENOUGH else 0


@contextmanager
def started(config: AnalyzeConfig, count: int) -> Iterator[Workers | None]:
    """So many workers, which end with the block; None for 0."""
    workers = Workers(config, count) if count else None
    try:
        yield workers
    finally:
        if workers:
            workers.close()


class Workers:
    """Processes that measure and write batches, each one at a time."""

    def __init__(self, config: AnalyzeConfig, count: int) -> None:
        self.count = count
        self._all = [Worker(config) for _ in range(count)]
        self._free: SimpleQueue[Worker] = SimpleQueue()
        for worker in self._all:
            self._free.put(worker)

    def run(self, folder: Path, batch: tuple[int, pl.DataFrame]) -> Part:
        """What `pipeline.measure` gives, from the first worker that is free. Call it from a thread a worker.

        Raises:
            EngineError: the worker was ended from outside.
        """
        worker = self._free.get()
        try:
            return worker.run(folder, batch)
        finally:
            self._free.put(worker)

    def close(self) -> None:
        """End all workers at once."""
        for worker in self._all:
            worker.close()


class Worker:
    """One process, the pipe to it, and the memory in which it finds its batch."""

    def __init__(self, config: AnalyzeConfig) -> None:
        from multiprocessing.connection import Pipe

        self._pipe, theirs = Pipe()
        self._memory = os.memfd_create("epiverb-batch")  # has no name that could be left behind
        ends = (theirs.fileno(), self._memory)
        path = [os.path.abspath(entry) for entry in sys.path]
        # A session of its own: Ctrl-C is for us alone.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", START, *map(str, ends), *path],
            pass_fds=ends, start_new_session=True, env={**os.environ, **SINGLE},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        theirs.close()
        self._pipe.send(config)

    def run(self, folder: Path, batch: tuple[int, pl.DataFrame]) -> Part:
        """Have one batch measured and written."""
        try:
            self._pipe.send((folder, batch[0], self._place(batch[1])))
            part, error = self._pipe.recv()
        except (EOFError, ConnectionError):
            raise EngineError(self._death()) from None
        if error is not None:
            raise error
        return part

    def _place(self, raw: pl.DataFrame) -> int:
        """Put a batch into the memory; its size in bytes."""
        import polars as pl
        import pyarrow as pa

        # With plain offsets in place of polars' views, so that the worker has its flat bytes without another copy.
        table = raw.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
        with open(self._memory, "wb", closefd=False) as file:
            file.seek(0)
            with pa.ipc.new_stream(file, table.schema) as stream:
                stream.write_table(table)  # one batch, as there is one chunk
            return file.tell()

    def _death(self) -> str:
        code = self._process.wait()
        how = signal.strsignal(-code) if code < 0 else f"exit status {code}"
        hint = " Perhaps for want of memory." if code == -signal.SIGKILL else ""
        return f"a worker process was ended from outside ({how}).{hint} Nothing was written; run the command again."

    def close(self) -> None:
        """End the process; it has nothing to lose."""
        self._process.kill()
        self._process.wait()
        self._pipe.close()
        os.close(self._memory)


def main(pipe: int, memory: int) -> None:
    """What a worker does: batches until the pipe closes."""
    from multiprocessing.connection import Connection

    connection = Connection(pipe)
    with suppress(EOFError, ConnectionError):  # who started this has ended
        config = connection.recv()
        measured, fault = _attempt(_measurer, config, memory)
        while True:
            job = connection.recv()
            connection.send((None, fault) if fault else _attempt(measured, *job))


def _attempt(function: Callable[..., Any], *arguments: Any) -> tuple[Any, Exception | None]:
    """What the function returned, and what it raised."""
    try:
        return function(*arguments), None
    except Exception as error:
        return None, error


def _measurer(config: AnalyzeConfig, memory: int) -> Callable[[Path, int, int], Part]:
    """`pipeline.measure` for a batch that lies in the memory."""
    import mmap

    import polars as pl
    import pyarrow as pa

    from epiverb.text.lexicon import load
    from epiverb.text.offsets import Flat
    from epiverb.verbs.pipeline import Pipeline, measure

    steps = Pipeline.of(config, tuple(load(name) for name in dict.fromkeys(config.lexicon)))

    def from_memory(folder: Path, number: int, size: int) -> Part:
        mapped = pa.py_buffer(mmap.mmap(memory, size, access=mmap.ACCESS_READ))
        batch = pa.ipc.open_stream(mapped).read_next_batch()
        responses = batch["response"]
        flat = None if responses.null_count else Flat.over(responses)
        return measure(steps, folder, (number, pl.DataFrame(pl.from_arrow(batch))), flat)

    return from_memory
