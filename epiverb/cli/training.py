"""What `epiverb train` prints: the plan of a dry run, a line a step while it runs, and what came of it."""

from __future__ import annotations

import shlex
import sys
from typing import Any

from epiverb.cli.summary import _console, _table, number
from epiverb.cli.terminal import printable

GIB = 1 << 30


def print_training(result: Any) -> None:
    """The plan of a dry run, or the last figures of a training and where it is."""
    if isinstance(result, dict):
        return _print_plan(result)
    raise NotImplementedError


def notes(result: Any) -> list[str]:
    """What a user should know."""
    return list(result["notes"]) if isinstance(result, dict) else []


def _print_plan(plan: dict[str, Any]) -> None:
    import yaml

    console = _console()
    console.print(printable(yaml.safe_dump(plan["config"], sort_keys=False, allow_unicode=True)).rstrip() + "\n")
    work, rollouts = plan["batches"], plan["rollouts"]
    cut = f"{work['processes']} x {work['accumulation']} x {work['micro_batch']}"
    lines = [("out", plan["out"]), ("steps", number(plan["steps"]))]
    lines.append(("a step", f"{work['sequences_a_step']:,} sequences ({cut}: processes, accumulation, micro-batch)"))
    if rollouts:
        epochs = "" if rollouts["epochs"] is None else f", {number(rollouts['epochs'])} times each"
        lines += [
            ("questions", f"{rollouts['questions']:,} in {rollouts['batches']:,} batches of {work['steps_a_batch']} steps{epochs}"),
            ("responses", f"{rollouts['responses']:,}, of at most {rollouts['most_tokens']:,} tokens together"),
        ]
    for name, key in (("problems", "n_problems"), ("examples", "n_examples")):
        if key in plan:
            lines.append((name, "not counted" if plan[key] is None else f"{plan[key]:,}"))
    for name, line in lines:
        console.print(f"{name:<10} {printable(str(line))}")
    _print_memory(plan["memory"])
    if plan["launch"]:
        given = [word for word in sys.argv[1:] if word != "--dry-run"]
        console.print(f"\n{plan['launch']} {shlex.join(given)}", soft_wrap=True)


def _print_memory(memory: dict[str, Any]) -> None:
    console = _console()
    if memory["total"] is None:
        console.print(f"\nmemory     not known: {printable(memory['reason'])}")
        return
    table = _table("\nMemory of each GPU, an estimate", "", "GiB", "of")
    table.columns[2].justify = "left"
    for when, parts in (("all the time", "stays"), ("while updating", "updating"), ("while sampling", "sampling")):
        for part in memory[parts]:
            table.add_row(part["name"], f"{part['bytes'] / GIB:,.2f}", f"{when}: {part['note']}" if part["note"] else when)
    table.add_row("at most", f"{memory['total'] / GIB:,.1f}", "without what CUDA, the network and fragments take")
    console.print(table)
    console.print(f"Logits of the loss alone, not cut into tiles: {memory['plain_logits'] / GIB:,.1f} GiB. Sizes: {printable(memory['source'])}.")
