"""What `epiverb grade` prints: right, wrong and unknown by source, and every stored grade that differs."""

from __future__ import annotations

from typing import Any

from rich.text import Text

from epiverb.cli.summary import _console, _table, short_names
from epiverb.cli.terminal import printable

SHOWN = 40
"""Disagreements printed; --json has all of them."""


def print_grades(result: dict[str, Any]) -> None:
    """The table of sources, and the disagreements; for a dry run, what would be graded."""
    if result.get("dry_run"):
        return _print_plan(result)
    console, agreement = _console(), result["agreement"]
    table = _table("Grades", "source", "traces", "right", "wrong", "unknown", "stored right", "agree", "disagree")
    rows = result["by_source"]
    labels = [name for (name,) in short_names([[row["path"]] for row in rows])]
    if len(rows) > 1:
        rows, labels = [*rows, result], [*labels, "all"]
    for label, row in zip(labels, rows, strict=True):
        stored = str(row["stored_right"]) if row["n_stored"] else "–"
        counts = (row["n"], row["right"], row["wrong"], sum(row["unknown"].values()))
        table.add_row(label, *map(str, counts), stored, str(row["agree"]), str(row["disagree"]))
    console.print(table)
    if result["unknown"]:
        console.print(printable("unknown: " + "; ".join(f"{why} {n}" for why, n in result["unknown"].items())))
    if agreement["disagreements"]:
        _print_disagreements(agreement["disagreements"])
    if result["run"]:
        console.print(f"\nrun     {result['run']}")


def _print_plan(plan: dict[str, Any]) -> None:
    table = _table("Would grade", "source", "format", "traces", "without gold", "by")
    table.columns[1].justify = table.columns[4].justify = "left"
    for row in plan["sources"]:
        graders = ", ".join(f"{name} {n:,}" for name, n in row["graders"].items()) or "–"
        counts = (f"{row['n']:,}", f"{row['without_gold']:,}")
        table.add_row(printable(row["path"]), row["format"] or f"– ({printable(row['why'])})", *counts, graders)
    _console().print(table)
    if plan["out"]:
        _console().print(f"\nout     {printable(plan['out'])}")


def _print_disagreements(rows: list[dict[str, Any]]) -> None:
    table = _table("\nDisagreements", "trace", "stored", "ours", "gold", "answer", "because")
    for column in table.columns[1:]:
        column.justify = "left"
    names = short_names([[row["trace"]] for row in rows[:SHOWN]])
    for (name,), row in zip(names, rows, strict=False):
        words = ("right" if row[key] else "wrong" for key in ("stored", "ours"))
        table.add_row(name, *words, *(_short(row[key]) for key in ("gold", "answer", "reason")))
    _console().print(table)
    if len(rows) > SHOWN:
        _console().print(Text(f"and {len(rows) - SHOWN} more: --json has them all", "dim"))


def _short(text: str | None, most: int = 60) -> str:
    line = printable(" ".join((text or "–").split()))
    return line if len(line) <= most else line[: most - 1] + "…"


def notes(result: dict[str, Any]) -> list[str]:
    """What the user should know about how the sources were read."""
    told: list[str] = []
    if result.get("dry_run"):
        return told
    for source in result["sources"]:
        told += [f"{source['path']}: {note}" for note in source["notes"]]
        if source["n_skipped"]:
            told.append(f"{source['path']}: {source['n_skipped']} of {source['records']} records skipped")
    return told
