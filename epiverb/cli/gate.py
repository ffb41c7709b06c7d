"""What `compare --fail-on` says and how it ends: a line on stderr, a summary for GitHub Actions, an exit code."""

from __future__ import annotations

import os
import re
import sys
from typing import Any

from epiverb.cli.summary import number
from epiverb.cli.terminal import printable
from epiverb.errors import DataError

FAILED = 3
"""Exit code where the gate's expression holds. 1 is a fault of epiverb, 2 a mistake in the input."""
Block = dict[str, Any]


def exit_code(result: Block) -> int:
    """0 where there is no gate or it is passed, `FAILED`, with a line that says why, where it is not.

    Raises:
        DataError: it cannot be told, because a figure is unknown; the results are printed all the same.
    """
    gate = result.get("gate")
    if gate is None:
        return 0
    said = verdict(gate)
    if path := os.environ.get("GITHUB_STEP_SUMMARY"):
        with open(path, "a", encoding="utf-8") as file:
            file.write(step_summary(result, said))
    if gate["failed"] is None:
        raise DataError(said)
    if not gate["failed"]:
        return 0
    print(f"epiverb: {printable(said)}", file=sys.stderr)
    return FAILED


def verdict(gate: Block) -> str:
    """One line: passed or failed, by which conditions, each with its value, interval and levels."""
    rows = gate["conditions"]
    if gate["failed"] is None:
        unknown = [row for row in rows if row["holds"] is None]
        return f"gate not judged: {'; '.join(f'{_named(row, rows)}: {_reason(row)}' for row in unknown)}."
    if gate["failed"]:
        told = [f"{_named(row, rows)} holds: {_value(row)}" for row in rows if row["decides"]]
        return f"gate failed: {'; '.join(told)}."
    words = {True: "holds, alone", False: "does not hold", None: "is unknown"}
    told = [f"{_named(row, rows)} {words[row['holds']]}: {_value(row)}" for row in rows]
    return f"gate passed: {'; '.join(told)}."


def _named(row: Block, rows: list[Block]) -> str:
    several = len({row["run"] for row in rows}) > 1
    return f"{row['run']}: {row['condition']}" if several else row["condition"]


def _reason(row: Block) -> str:
    return row["reason"] or "it has no interval"


def _value(row: Block) -> str:
    if row["value"] is None:
        return _reason(row)
    levels = " against ".join(number(row["levels"][name]) for name in ("run", "base"))
    many = f", {row['n_problems']} problems" if row["n_problems"] else ""
    return f"{_measured(row)} ({levels} {row['unit']}{many})"


def _measured(row: Block) -> str:
    """The value with its interval."""
    ratio = row["kind"] == "ratio"
    form = number if ratio else _signed
    bounds = [form(row[name]) if row[name] is not None else "unknown" for name in ("lo", "hi")]
    return f"{form(row['value'])}{' times the base' * ratio} [{bounds[0]}, {bounds[1]}]"


def _signed(value: float) -> str:
    return f"{value:+,.0f}" if abs(value) >= 1000 else f"{value:+.3g}"


def step_summary(result: Block, said: str) -> str:
    """Markdown for a job's page: the verdict, then a row for each condition."""
    gate = result["gate"]
    title = {True: "❌ Gate failed", False: "✅ Gate passed", None: "⚠️ Gate not judged"}[gate["failed"]]
    head = ("condition", "compared", "holds", "value [95 % interval]", "base", "run", "unit")
    rows = [
        (
            row["condition"], row["run"], {True: "yes", False: "no", None: "unknown"}[row["holds"]],
            _measured(row) if row["value"] is not None else _reason(row),
            number(row["levels"]["base"]), number(row["levels"]["run"]), row["unit"] or "",
        )
        for row in gate["conditions"]
    ]  # fmt: skip
    lines = [f"### {title}: {_plain(gate['expression'])}", "", _plain(said), ""]
    lines += [f"| {' | '.join(map(_plain, cells))} |" for cells in (head, ("---",) * len(head), *rows)]
    return "\n".join([*lines, "", f"Against {_plain(result['base'])}; intervals resample problems.", ""])


def _plain(text: str) -> str:
    """`text` as Markdown that shows it as it is: names come from files."""
    return re.sub(r"[|<>`*_\[\]\\#&]", lambda found: f"&#{ord(found[0])};", " ".join(printable(text).split()))
