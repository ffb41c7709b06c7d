"""What `epiverb claims` prints: progress while steps are carried out, then the scorecard."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.text import Text

from epiverb.cli.sampling import EVERY, _clock
from epiverb.cli.summary import _console, _table
from epiverb.cli.terminal import printable

COLOURS = {"supported": "green", "contradicted": "red", "undecided": "yellow"}


@contextmanager
def progress(label: str, *, quiet: bool = False) -> Iterator[Callable[[Any], None]]:
    """A callback that shows steps on stderr: one moving line on a terminal, elsewhere a line every ten seconds."""
    moving, last, before = sys.stderr.isatty(), 0.0, -1

    def update(state: Any) -> None:
        nonlocal last, before
        now = time.monotonic()
        if quiet or (now - last < (0.2 if moving else EVERY) and state.done == before):
            return
        last, before = now, state.done
        left = f", {_clock(state.seconds_left)} left" if state.seconds_left is not None else ""
        failed = f", {len(state.failed)} failed" if state.failed else ""
        line = f"{label}: {state.done}/{state.total} steps{failed}{left}: {', '.join(state.running)}"
        print(f"\r\x1b[K{line[:200]}" if moving else line, end="" if moving else "\n", file=sys.stderr, flush=True)

    try:
        yield update
    finally:
        if moving and last:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def notes(card: dict[str, Any]) -> list[str]:
    """What is missing, and where the scorecard lies."""
    if card.get("dry_run"):
        return []
    if "note" in card:
        return [card["note"]]
    if "out" not in card or "only" in card:  # shown, not made
        return []
    return [f"scorecard: {card['out']}/claims.json and claims.md"]


def print_scorecard(card: dict[str, Any]) -> None:
    """The plan of a dry run; a table of the claims; of those that were asked for by name, everything."""
    if card.get("dry_run"):
        return _print_plan(card)
    if card.get("only"):
        for claim in card["claims"]:
            _print_claim(claim)
        return None
    table = _table("", "claim", "theirs", "ours", "verdict")
    for claim in card["claims"]:
        title = Text(printable(f"{claim['id']}. {claim['title']}"))
        ours = _ours(claim) if claim["tests"] else _missing(claim)
        verdict = Text(claim["verdict"], COLOURS.get(claim["verdict"], "dim"))
        table.add_row(title, Text(printable(claim["theirs"])), Text(printable(ours)), verdict)
    console = _console()
    console.print(table)
    console.print(Text(_sizes(card), "dim"))
    return None


def _sizes(card: dict[str, Any]) -> str:
    """How many stand how, and from how many seeds."""
    verdicts = [claim["verdict"] for claim in card["claims"]]
    counts = ", ".join(f"{verdicts.count(name)} {name}" for name in (*COLOURS, "not run"))
    seeds = sorted({len(arm["seeds"]) for arm in card["arms"].values()})
    of = f" Scale {card['scale']}, seeds an arm: {', '.join(map(str, seeds))}." if seeds else ""
    return f"{counts}.{of} Intervals are 95 %, over seeds and problems. All of a claim: epiverb claims show --only ID"


def _ours(claim: dict[str, Any]) -> str:
    """The test that decides: a check that fails, else the first that came out the opposite, else the first undecided one."""
    from epiverb.lab.claims.scorecard import told

    tests = claim["tests"]
    order = {"opposite": 0, "undecided": 1, "predicted": 2}
    failed = next((test for test in tests if test["check"] and test["outcome"] != "predicted"), None)
    first = failed or min(tests, key=lambda test: order[test["outcome"]])
    return f"{'check, ' if failed else ''}{first['says']}: {told(first)}{f' (1 of {len(tests)} tests)' if len(tests) > 1 else ''}"


def _missing(claim: dict[str, Any]) -> str:
    if claim.get("reason"):
        return claim["reason"]
    if not claim["scales"]:
        return claim["limits"]
    return f"epiverb claims run --scale {claim['scales'][0]} --only {claim['id']}"


def _print_claim(claim: dict[str, Any]) -> None:
    from epiverb.lab.claims.scorecard import told

    console = _console()
    console.print(Text(f"\n{claim['id']}. {printable(claim['title'])}: {claim['verdict']}", "bold"))
    for name in ("source", "theirs", "measures", "limits", "reason"):
        if claim.get(name):
            console.print(f"{name:9} {printable(claim[name])}", markup=False, highlight=False)
    found = {test["says"]: test for test in claim["tests"]}
    for rule in claim["rules"]:
        test = found.get(rule["says"])
        ours = f"{told(test)}, {test['outcome']}" if test else "not run"
        kind = "check" if rule["check"] else "test"
        console.print(f"{kind:9} {rule['says']}: {rule['value']} {rule['expect']}", markup=False, highlight=False)
        console.print(f"          {ours}", markup=False, highlight=False)
        if test and test.get("by_other_lexicon"):
            other = told({**test, "figure": test["by_other_lexicon"]})
            console.print(f"          {other} by epiverb-en", markup=False, highlight=False)
    for scale, commands in claim["commands"].items():
        print(f"scale     {scale}: epiverb claims run --scale {scale} --only {claim['id']}")
        for command in commands:
            print(f"          {printable(command)}")


def _print_plan(card: dict[str, Any]) -> None:
    done = sum(step["done"] for step in card["steps"])
    print(f"{len(card['claims'])} claims, {len(card['steps'])} steps, {done} done, in {printable(card['out'])}")
    for step in card["steps"]:
        print(f"{'done' if step['done'] else '    '} {printable(step['command'])}")
