"""What `epiverb demo` shows while its commands run, and what it prints at the end."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.text import Text

from epiverb.cli.sampling import EVERY, _clock
from epiverb.cli.summary import _console, _table
from epiverb.cli.terminal import printable

TAIL = 20_000
"""Bytes of a training's metrics that are read: some lines."""


@contextmanager
def progress(label: str, *, quiet: bool = False) -> Iterator[Callable[[Any, Path], None] | None]:
    """Who is told how the commands go: a line each that is written anew on a terminal, lines now and then elsewhere."""
    if quiet:
        yield None
    elif sys.stderr.isatty():
        with _live(label) as update:
            yield update
    else:
        yield _lines(label)


def _lines(label: str) -> Callable[[Any, Path], None]:
    last, before = 0.0, -1

    def update(state: Any, out: Path) -> None:
        nonlocal last, before
        now = time.monotonic()
        if now - last < EVERY and state.done == before:
            return
        last, before = now, state.done
        print(f"{label}: {_head(state)}: {'; '.join(_rows(state, out))}", file=sys.stderr, flush=True)

    return update


@contextmanager
def _live(label: str) -> Iterator[Callable[[Any, Path], None]]:
    from rich.console import Console
    from rich.live import Live

    last = 0.0
    with Live(console=Console(stderr=True), refresh_per_second=2, transient=True) as live:

        def update(state: Any, out: Path) -> None:
            nonlocal last
            if time.monotonic() - last >= 0.5:
                last = time.monotonic()
                lines = [f"{label}: {_head(state)}", *(f"  {row}" for row in _rows(state, out))]
                live.update(Text("\n".join(lines), no_wrap=True, overflow="ellipsis"))

        yield update


def _head(state: Any) -> str:
    left = f", {_clock(state.seconds_left)} left" if state.seconds_left is not None else ""
    return f"{state.done} of {state.total} commands done{left}"


def _rows(state: Any, out: Path) -> list[str]:
    """What runs; of a training also how far it is."""
    return [f"{key.partition('/')[0]} {key.rpartition('/')[2]}{_step(out / key)}" for key in state.running]


def _step(folder: Path) -> str:
    """The last step of a training, from what it writes as it goes."""
    try:
        with (folder / "metrics.jsonl").open("rb") as file:
            file.seek(max(file.seek(0, 2) - TAIL, 0))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    for line in reversed(lines):
        try:
            row = json.loads(line)
            return (
                f" step {row['step']}/{row['of']}, markers per 1,000 words {row['epiverb/markers_per_1k_words']:.0f}, "
                f"right {row['epiverb/accuracy']:.0%}"
            )
        except (ValueError, KeyError, TypeError):
            continue
    return ""


def print_demo(result: dict[str, Any]) -> None:
    """The commands of a dry run; else accuracy and markers of each model, what was found, and where the page is."""
    if result.get("dry_run"):
        print("\n".join(result["commands"]))
        return
    console, table = _console(), _table("", "model", "puzzles", "trained", "right", "tokens", "markers a response")
    for row in result["outcomes"]:
        name = row["benchmark"].removeprefix("lab:")
        figures = (_shown(row["score"], 100, "%"), _shown(row["tokens"], 1), _shown(row["markers"], 1))
        table.add_row(Text(row["model"]), Text(name), Text("yes" if row["domain"] == "id" else "no"), *figures)
    console.print(table)
    for line in result["findings"]:
        console.print(Text(printable(line)))
    console.print(f"\n{result['minutes']:.1f} minutes, one training seed. Several: epiverb claims run --scale lab")
    print(f"report  {printable(result['report'])}")


def _shown(figure: dict[str, Any], factor: float, unit: str = "") -> str:
    if figure["value"] is None:
        return "unknown"
    value, low, high = (None if figure[key] is None else factor * figure[key] for key in ("value", "lo", "hi"))
    bounds = f" [{low:.1f}, {high:.1f}]" if low is not None and high is not None else ""
    return f"{value:.1f}{unit}{bounds}"
