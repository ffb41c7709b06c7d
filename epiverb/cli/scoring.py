"""What `score` prints: the measures it added, forks and the entropy around markers, information, pressure."""

from __future__ import annotations

from typing import Any

from rich.text import Text

from epiverb.cli import beliefs
from epiverb.cli.summary import _console, _table, interval
from epiverb.cli.terminal import printable

Figure = dict[str, Any]


def notes(document: dict[str, Any]) -> list[str]:
    """What is unknown and why, and how ids and prompts were come by."""
    lines = []
    for stage in ("tokens", "richness", "pressure", "beliefs", "mi"):
        block = document.get(stage) or {}
        unknown = block.get("unknown") or {}
        lines += [
            f"{stage}: {n:,} {'trace is' if n == 1 else 'traces are'} unknown: {why}" for why, n in unknown.items()
        ]
        if block.get("n_unknown_positions"):
            lines.append(f"{stage}: the model gave no number at {block['n_unknown_positions']:,} positions")
        if (block.get("ids") or {}).get("encoded"):
            lines.append(
                f"{stage}: {block['ids']['encoded']:,} traces have no stored token ids; their text was encoded, "
                "which need not give the tokens that were sampled"
            )
        if n := (block.get("ids") or {}).get("prompt_rendered"):
            lines.append(f"{stage}: the prompts of {n:,} traces are questions only; they were shown as a user's turn")
        lines += block.get("notes") or []
    return lines + beliefs.notes(document)


def print_scores(document: dict[str, Any]) -> None:
    """The figures that were added."""
    console = _console()
    if "tokens" in document:
        _print_tokens(console, document["tokens"])
    if "richness" in document:
        _print_richness(console, document["richness"])
    if "pressure" in document:
        _print_pressure(console, document["pressure"])
    beliefs.print_beliefs(console, document)
    console.print(Text("Every interval is 95 %, from resampling problems.", "dim"))
    console.print(f"\nrun     {printable(document['run'])}")


def _print_tokens(console: Any, block: dict[str, Any]) -> None:
    console.print(
        Text(
            f"{block['n_scored']:,} of {block['n_traces']:,} traces, {block['n_tokens']:,} tokens; entropy: {block['entropy']}",
            "dim",
        )
    )
    conditions = list(dict.fromkeys(row["condition"] for row in block["measures"]))
    table = _table(
        "Measures of tokens, mean of a trace", "measure", "unit", *(printable(str(c or "all")) for c in conditions)
    )
    for name in dict.fromkeys(row["measure"] for row in block["measures"]):
        rows = {row["condition"]: row for row in block["measures"] if row["measure"] == name}
        unit = next(iter(rows.values()))["unit"]
        table.add_row(printable(name), unit, *(interval(rows.get(condition)) for condition in conditions))
    console.print(table)
    if rows := block["forks"].get("rows"):
        table = _table(
            "\nForks: the fifth of tokens with the highest entropy", "category", "markers", "begin in a fork", "lift"
        )
        for row in rows:
            table.add_row(row["category"], f"{row['n']:,}", interval(row["share"], share=True), interval(row["lift"]))
        console.print(table)
    if rows := block["events"].get("rows"):
        title = f"\nEntropy from a marker on less that before it, {block['events']['width']} tokens each, nats"
        table = _table(title, "category", "markers", "change", "at controls", "difference")
        for row in rows:
            figures = [interval(row[name]) for name in ("change", "control_change", "difference")]
            table.add_row(row["category"], f"{row['n_matched']:,} of {row['n']:,}", *figures)
        console.print(table)


def _print_richness(console: Any, block: dict[str, Any]) -> None:
    head = ("traces", "nats a trace", "nats a token", "on traces without it, a token", "entropy difference, a trace")
    table = _table("Information richness: what a context tells of the responses written under it", "context", *head)
    for row in block["rows"]:
        guided = row["guided"]
        figures = [guided["per_trace"], guided["per_token"], row["unguided"]["per_token"], row["entropy_difference"]]
        table.add_row(printable(row["condition"]), f"{guided['n_traces']:,}", *map(interval, figures))
    console.print(table)


def _print_pressure(console: Any, block: dict[str, Any]) -> None:
    contexts = [one["context"] for one in block["contexts"]]
    for title, key, share in (
        ("KL of the student from the teacher a token, times the mean", "ratio", False),
        ("Share of all KL", "kl_share", True),
    ):
        table = _table(f"\n{title}", "tokens of", *map(printable, contexts))
        names = dict.fromkeys(row["class"] for one in block["contexts"] for row in one["classes"])
        for name in (name for name in names if name != "all"):
            cells = [next((r for r in one["classes"] if r["class"] == name), None) for one in block["contexts"]]
            table.add_row(name, *(interval(cell[key] if cell else None, share=share) for cell in cells))
        console.print(table)
    table = _table("\nExpected suppression", "context", "change asked for", "per 1,000 tokens: student", "teacher")
    for row in block["ranking"]:
        figures = [
            interval(row["relative_change"], share=True),
            interval(row["student_mass"]),
            interval(row["teacher_mass"]),
        ]
        table.add_row(printable(row["context"]), *figures)
    console.print(table)
    console.print(Text(f"\n{printable(block['sentence'])}"))
