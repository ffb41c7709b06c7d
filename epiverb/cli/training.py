"""What `epiverb train` prints: the plan of a dry run, a line a step while it runs, and what came of it."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.text import Text

from epiverb.cli.summary import _console, _table, number
from epiverb.cli.terminal import printable

GIB = 1 << 30
ROWS = 12
"""Steps that the table at the end shows."""


class Follower:
    """Says on stderr what happens: a table on a terminal, lines elsewhere. It is made when the trainers are loaded anyway."""

    def __init__(self, label: str) -> None:
        self.label = label
        self._view: Any = None

    def _shown(self) -> Any:
        if self._view is None:
            from epiverb.train.live import View

            self._view = View(sys.stderr)
        return self._view

    def say(self, message: str) -> None:
        """A line."""
        self._shown().say(f"{self.label}: {printable(message)}")

    def __call__(self, step: int, scalars: dict[str, Any], state: Any, control: Any) -> None:
        """A log of the trainer; its farewell, which sums up, is not one of a step."""
        if "train_runtime" in scalars:
            return
        self._shown()(step, scalars, state, control)

    def end(self) -> None:
        """The training is over; the last state stays."""
        if self._view is not None:
            self._view.end()


@contextmanager
def progress(label: str, *, quiet: bool = False) -> Iterator[Follower | None]:
    """Who is told how it goes; None: nobody."""
    follower = None if quiet else Follower(label)
    try:
        yield follower
    finally:
        if follower is not None:
            follower.end()


def print_training(result: Any) -> None:
    """The plan of a dry run; else how the training went, and where it is."""
    if isinstance(result, dict):
        return _print_plan(result)
    console, training = _console(), result.summary["training"]
    table = _table("", "step", "responses", "reward", "right", "finished", "tokens", "markers per 1,000 words")
    arm = ""
    for row in training["course"] if len(training["course"]) <= ROWS else _some(training["course"]):
        if row["condition"] != arm:
            arm = row["condition"]
            table.add_row(Text(printable(arm), "bold"))
        shares = (number(row[name], share=True) for name in ("accuracy", "finished"))
        figures = (number(row[name]) for name in ("length", "markers_per_1k_words"))
        table.add_row(f"{row['step']:,}", f"{row['n']:,}", number(row["reward"]), *shares, *figures)
    console.print(table)
    console.print(
        Text(f"Markers of {next(iter(result.summary['lexicons']))}; a step is the number of updates before.", "dim")
    )
    console.print(f"\nrun         {printable(str(result.path))}")
    for checkpoint in training["checkpoints"][-1:]:
        console.print(f"checkpoint  {printable(checkpoint)}")
    if (result.path / "report.html").is_file():
        console.print(f"report      {printable(str(result.path / 'report.html'))}")


def _some(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Some rows of each arm, evenly, the first and the last among them."""
    kept = []
    for arm in dict.fromkeys(row["condition"] for row in rows):
        mine = [row for row in rows if row["condition"] == arm]
        places = {round(i * (len(mine) - 1) / (ROWS - 1)) for i in range(ROWS)}
        kept += [row for place, row in enumerate(mine) if place in places]
    return kept


def notes(result: Any) -> list[str]:
    """What a user should know and has not been told while it went on."""
    if isinstance(result, dict):
        return list(result["notes"])
    training = result.summary["training"]
    reasons = ", ".join(f"{reason} ({n:,})" for reason, n in training["unknown"].items())
    told = [f"{sum(training['unknown'].values()):,} grades are not known: {reasons}"] if reasons else []
    return told + ([f"an alarm ended it behind step {training['steps']}"] if training["steps"] < training["of"] else [])


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
        drawn = f"{rollouts['questions']:,} in {rollouts['batches']:,} batches of {work['steps_a_batch']} steps"
        lines += [
            ("questions", drawn + epochs),
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
            table.add_row(
                part["name"], f"{part['bytes'] / GIB:,.2f}", f"{when}: {part['note']}" if part["note"] else when
            )
    table.add_row("at most", f"{memory['total'] / GIB:,.1f}", "without what CUDA, the network and fragments take")
    console.print(table)
    whole = f"{memory['plain_logits'] / GIB:,.1f} GiB"
    console.print(f"Logits of the loss alone, not cut into tiles: {whole}. Sizes: {printable(memory['source'])}.")
