"""What `score` prints of beliefs, agreement, mutual information and signals."""

from __future__ import annotations

from typing import Any

from rich.text import Text

from epiverb.cli.summary import _table, interval, number
from epiverb.cli.terminal import printable

Figure = dict[str, Any]
ROOMY = 130
"""Columns of a terminal in which every figure of a signal stands beside the others."""
STAGES = ("agreement", "beliefs", "mi", "signals")
TOP = 25
"""Signals in the table; all are in --json and score.json."""
KINDS = ("epistemic", "procedural", "other")


def notes(document: dict[str, Any]) -> list[str]:
    """What is unknown and why, what was left out, and warnings."""
    lines: list[str] = []
    told = document.get("agreement") or {}
    lines += told.get("notes") or []
    if told.get("n_alone"):
        lines.append(
            f"agreement: {told['n_alone']:,} of {told['n_problems']:,} problems have fewer than two answered samples"
        )
    if told.get("n_not_comparable"):
        lines.append(
            f"agreement: {told['n_not_comparable']:,} pairs of answers could not be compared and count as different"
        )
    block = document.get("beliefs") or {}
    if block.get("n_beyond_the_model"):
        lines.append(
            f"beliefs: {block['n_beyond_the_model']:,} places lie beyond what the model can read and are unknown"
        )
    if block.get("n_answers_left_out"):
        lines.append(f"beliefs: {block['n_answers_left_out']:,} answers are no candidates, being too many or too long")
    if block and block["how"].startswith("one pass a place"):
        lines.append(f"beliefs: {block['how']}, which takes long")
    signals = document.get("signals") or {}
    lines += [f"signals: {_arm(arm)}{warning}" for arm in signals.get("arms", ()) for warning in arm["warnings"]]
    lines += [f"signals: {_arm(one)}{one['reason']}" for one in signals.get("skipped", ())]
    return lines


def _arm(arm: dict[str, Any]) -> str:
    told = [
        str(arm[key]) if key == "condition" else f"step {arm[key]}"
        for key in ("condition", "step")
        if arm[key] is not None
    ]
    return f"{printable(', '.join(told))}: " if told else ""


def print_beliefs(console: Any, document: dict[str, Any]) -> None:
    """The tables of the stages that the document holds."""
    if "agreement" in document:
        _measures(console, document["agreement"], "Agreement of samples, mean over problems")
    if "beliefs" in document:
        _print_beliefs(console, document["beliefs"])
    if "mi" in document:
        _measures(
            console,
            document["mi"],
            f"\nMutual information with the gold answer; {document['mi']['peaks']} peaks a trace",
        )
    for arm in document.get("signals", {}).get("arms", ()):
        _print_signals(console, arm)


def _measures(console: Any, block: dict[str, Any], title: str) -> None:
    rows = block["measures"]
    conditions = list(dict.fromkeys(row["condition"] for row in rows))
    table = _table(title, "measure", "unit", *(printable(str(c or "all")) for c in conditions))
    for name in dict.fromkeys(row["measure"] for row in rows):
        own = {row["condition"]: row for row in rows if row["measure"] == name}
        table.add_row(name, next(iter(own.values()))["unit"], *(interval(own.get(c)) for c in conditions))
    console.print(table)


def _print_beliefs(console: Any, block: dict[str, Any]) -> None:
    unit = block["unit"]
    told = f"\n{block['n_scored']:,} of {block['n_traces']:,} traces, {block['n_places']:,} places by {unit}; {block['how']}"
    console.print(Text(printable(told), "dim"))
    shown = {**block, "measures": [row for row in block["measures"] if not row["measure"].startswith("eat-stop")]}
    _measures(console, shown, "Beliefs, mean over problems")
    for one in block["changes"]:
        title = f"\nThe likeliest answer changes within three {unit}s {_of(one)}"
        table = _table(title, "of a marked one", "of its control", "difference")
        kinds = ("marker", "control", "difference")
        table.add_row(*(interval(one[kind], share=kind != "difference") for kind in kinds))
        console.print(table)
    for one in block["gains"]:
        _print_gains(console, one, unit)
    for one in block["eat"]:
        title = f"\nStopping where EAT's variance falls below a threshold {_of(one)}"
        table = _table(
            title, "threshold", "traces stopped", "tokens read", "accuracy there", "less accuracy at the end"
        )
        for row in one["rows"]:
            figures = (
                interval(row["tokens"], share=True),
                interval(row["accuracy"], share=True),
                interval(row["cost"]),
            )
            table.add_row(f"{row['delta']:g}", f"{row['n_stopped']:,}", *figures)
        console.print(table)


def _print_gains(console: Any, one: dict[str, Any], unit: str) -> None:
    title = f"\nNats gained by a {unit}, by its kind {_of(one)}"
    table = _table(title, "kind", f"{unit}s", "about the answer", "on the right one")
    for kind in KINDS:
        figures = (interval(one["gain"][kind]), interval(one["gold_gain"][kind]))
        table.add_row(kind, f"{one['n_sentences'][kind]:,}", *figures)
    both = (interval(one["gain"]["difference"]), interval(one["gold_gain"]["difference"]))
    table.add_row("epistemic less procedural", "", *both)
    console.print(table)
    console.print(Text(one["association"], "dim"))


def _of(one: dict[str, Any]) -> str:
    return f"({printable(str(one['condition']))})" if one["condition"] else ""


def _print_signals(console: Any, arm: dict[str, Any]) -> None:
    of = _arm(arm).rstrip(": ")
    head = f"\nSignals of a right answer ({of})" if of else "\nSignals of a right answer"
    told = f"{head}: {arm['n_traces']:,} graded traces of {arm['n_problems']:,} problems, {100 * arm['accuracy']:.1f}% right"
    names = ("within problems", "of them", "pooled", "PRR", "finished", "AURC", "ECE")
    shown = len(names) if console.width >= ROOMY else 3  # columns that are squeezed break figures
    table = _table(told, "signal", *names[:shown])
    table.columns[0].no_wrap = True
    for row in arm["rows"][:TOP]:
        pooled, prr = (interval(row[name]) for name in ("auroc", "prr"))
        plain = (number(row[name]["value"]) for name in ("within_finished", "aurc", "ece"))
        if shown < len(names):
            pooled = number(row["auroc"]["value"])
        cells = (interval(row["within"]), f"{row['within']['n_problems']:,}", pooled, prr, *plain)
        table.add_row(printable(row["name"]), *cells[:shown])
    console.print(table)
    if len(arm["rows"]) > TOP:
        console.print(Text(f"{len(arm['rows']) - TOP} more signals in score.json.", "dim"))
    said = (
        "AUROC within problems, of all traces pooled, and within problems of finished traces alone: above 0.5 a higher value "
        "goes with right answers. AURC and ECE: lower is better. The other intervals are in score.json."
        if shown == len(names)
        else "AUROC within problems, and of all traces pooled: above 0.5 a higher value goes with right answers. The rest "
        "is in score.json."
    )
    console.print(Text(said, "dim"))
