"""`epiverb analyze --follow`: a folder that a running job writes into, analysed anew whenever it has changed.

All of it is read again each time, so that the run is always the one that a single command would have made; between two passes
it rests for at least as long as the last one took. A run takes the place of the one before it when it is whole.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from epiverb import io
from epiverb.configs.analyze import AnalyzeConfig
from epiverb.errors import ConfigError, DataError, FormatError, Stopped
from epiverb.run import Run

Say = Callable[[str], None]
Seen = dict[str, tuple[int, int]]
"""Path -> size and time of the last change."""
STILL = 0.5
"""Seconds in which nothing must change before the files are read, so that lines are not read half-written."""
LOOKS = 20
"""Looks after which they are read all the same: a job may write all the time."""


def follow(config: AnalyzeConfig, analyze: Callable[[AnalyzeConfig], Any], say: Say) -> Run:
    """The last run, when the sources have not changed for `until_idle` seconds, or at Ctrl-C.

    Raises:
        ConfigError: a setting that cannot be used with `follow`.
        Stopped: Ctrl-C before there was anything to read.
    """
    if config.every <= 0 or any(source == "-" or "://" in source for source in config.sources):
        raise ConfigError("--follow: give local files or folders, and --every in seconds above 0.")
    made: Run | None = None
    try:
        seen: Seen | None = None
        changed, rest = time.monotonic(), 0.0
        while True:
            now = look(config.sources)
            if now != seen:
                seen, changed = _still(config.sources, now), time.monotonic()
                made = _pass(config, analyze, say, made)
                rest = time.monotonic() - changed
            elif config.until_idle is not None and time.monotonic() - changed >= config.until_idle:
                break
            patience = config.every if config.until_idle is None else min(config.every, max(config.until_idle, 0.1))
            time.sleep(max(patience, rest))
            rest = 0.0
    except KeyboardInterrupt:
        if made is None:
            raise Stopped("stopped before there was anything to read.") from None
        say(f"stopped; {made.path} is whole.")
    if made is None:
        raise FormatError(f"{', '.join(config.sources)}: no trace came in {config.until_idle:g} s.")
    return made


def look(sources: tuple[str, ...]) -> Seen:
    """The files that there are now; none where a folder is not there yet."""
    found: Seen = {}
    for source in sources:
        try:
            paths = io.expand([source])
        except (FormatError, DataError, OSError):
            continue
        for path in paths:
            try:
                state = Path(path).stat()
            except OSError:  # gone between the two, or not there yet
                continue
            found[path] = (state.st_size, state.st_mtime_ns)
    return found


def _still(sources: tuple[str, ...], now: Seen) -> Seen:
    """The files when nothing has changed for a moment."""
    for _ in range(LOOKS):
        time.sleep(STILL)
        before, now = now, look(sources)
        if before == now:
            break
    return now


def _pass(config: AnalyzeConfig, analyze: Callable[[AnalyzeConfig], Any], say: Say, made: Run | None) -> Run | None:
    """The new run, or the last one where nothing can be read."""
    again = dataclasses.replace(config, follow=False, overwrite=config.overwrite or made is not None)
    start = time.monotonic()
    try:
        run = analyze(again)
    except FormatError as error:
        say(f"waiting: {str(error)[:200]}")
        return made
    assert isinstance(run, Run)  # a dry run is not followed
    say(f"{told(run)} ({time.monotonic() - start:.1f} s)")
    return run


def told(run: Run) -> str:
    """Traces, accuracy and marker density of a run, in a line."""
    summary = run.summary
    name, block = next(iter(summary["lexicons"].items()))
    accuracy, rate = summary["accuracy"], block["per_1k_words"]["value"]
    parts = [
        f"{sum(bool(source['traces']) for source in summary['sources'])} files, {summary['n_traces']:,} traces",
        *([f"{100 * accuracy['value']:.1f}% right"] if accuracy and accuracy["value"] is not None else []),
        *([f"{rate:.1f} markers per 1,000 words ({name})"] if rate is not None else []),
    ]
    return ", ".join(parts)
