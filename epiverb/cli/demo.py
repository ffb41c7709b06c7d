"""What `epiverb demo` shows while its commands run, and what it prints at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.text import Text

from epiverb.cli.summary import _console, _table
from epiverb.cli.terminal import printable

EVERY = 10.0
"""Seconds between two lines of one command where there is no terminal."""


@contextmanager
def progress(label: str, *, quiet: bool = False) -> Iterator[Callable[[str, str, str], None] | None]:
    """Who is told how the commands go: a line each that is written anew on a terminal, lines now and then elsewhere."""
    if quiet:
        yield None
    elif sys.stderr.isatty():
        with _live() as update:
            yield update
    else:
        yield _lines(label)


def _lines(label: str) -> Callable[[str, str, str], None]:
    last: dict[str, float] = {}

    def update(name: str, state: str, line: str) -> None:
        now = time.monotonic()
        if state == "runs" and now - last.get(name, -EVERY) < EVERY:
            return
        last[name] = now
        print(f"{label}: {name}: {_bare(line) if state == 'runs' else state}", file=sys.stderr, flush=True)

    return update


@contextmanager
def _live() -> Iterator[Callable[[str, str, str], None]]:
    from rich.console import Console
    from rich.live import Live
    from rich.table import Table

    rows: dict[str, tuple[str, str]] = {}

    def drawn() -> Table:
        table = Table.grid(padding=(0, 2))
        for name, (state, line) in rows.items():
            said = Text("done", "green") if state == "done" else Text(_bare(line), no_wrap=True, overflow="ellipsis")
            table.add_row(Text(name, "bold"), said)
        return table

    with Live(console=Console(stderr=True), refresh_per_second=4, get_renderable=drawn):

        def update(name: str, state: str, line: str) -> None:
            rows[name] = (state, line)

        yield update


def _bare(line: str) -> str:
    return printable(line.removeprefix("epiverb: "))


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
