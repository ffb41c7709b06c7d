"""What `epiverb doctor` prints: a table of what is there, then a line for each thing that is wrong."""

from __future__ import annotations

from typing import Any

from rich.text import Text

from epiverb.cli.summary import _console, _table
from epiverb.cli.terminal import printable

_SIGNS = {True: ("ok", "green"), False: ("WRONG", "bold red"), None: ("–", "dim")}


def print_checks(result: dict[str, Any]) -> None:
    """A row for each check, how to get the extras that are not there, and what to do about what is wrong."""
    console, rows = _console(), result["checks"]
    table = _table("", "for", "", "found", "needed", "tested with", "")
    for column in table.columns[1:5]:
        column.justify = "left"
    above, absent = None, {}
    for row in rows:
        if row["ok"] is None and row["found"] is None:
            absent[row["part"]] = row["remedy"]
            continue
        cells = (printable(row[key] or "–") for key in ("name", "found", "needed", "tested"))
        table.add_row("" if row["part"] == above else row["part"], *cells, Text(*_SIGNS[row["ok"]]))
        above = row["part"]
    console.print(table)
    for part, remedy in absent.items():
        console.print(Text(f"not installed, not needed: {part} ({remedy})", "dim"), soft_wrap=True)
    wrong = [row for row in rows if row["ok"] is False]
    console.print(Text("\nTo do:" if wrong else "\nNothing is wrong.", "bold"))
    for row in wrong:
        console.print(printable(f"- {row['name']}: {row['remedy']}"), soft_wrap=True)


def exit_code(result: dict[str, Any]) -> int:
    """2 where something is wrong."""
    return 0 if result["ok"] else 2
