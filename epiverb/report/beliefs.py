"""Beliefs and signals of a scored run, as parts of its report: made of `score.json` and the table `beliefs`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from epiverb.plots import beliefs as plots
from epiverb.plots.style import axes, svg
from epiverb.report.html import figure, interval, spread, table, text
from epiverb.run import Run

Figure = dict[str, Any]
SHOWN = 3
"""Traces whose beliefs are drawn: those with the most places, where there is most to see."""


def bands(path: Path) -> list[str]:
    """Beliefs along a few traces, the markers of the primary lexicon above; nothing where the run has no such table."""
    run = Run(path)
    held = run.scan("beliefs")
    places = held.group_by("trace_id").agg(pl.col("x").n_unique().alias("n")).filter(pl.col("n") > 1)
    chosen = places.sort(["n", "trace_id"], descending=[True, False]).head(SHOWN).collect()["trace_id"].to_list()
    primary = next(iter(run.summary["lexicons"]))
    drawn = []
    for key in chosen:
        mine = pl.col("trace_id") == key
        own = held.filter(mine).collect()
        hits = run.scan("hits").filter(mine & (pl.col("lexicon") == primary)).collect()
        count = own["x"].n_unique()
        title = f"Beliefs along {key}"
        note = f"What the model would answer behind each of {count} places of the thinking; right answers are below."
        drawn.append(_drawn(title, note, 2.6, plots.belief_bands, own, hits))
    return drawn


def gained(block: Figure) -> list[str]:
    """Information gained by kind of sentence, a figure a condition."""
    drawn = []
    for one in block["gains"]:
        title = f"Information gained by kind of sentence{_arm(one)}"
        note = "Nats of the entropy over candidate answers, a sentence. Associational: sentences are not assigned at random."
        drawn.append(_drawn(title, note, 1.5, plots.gains, one))
    return drawn


def told(block: Figure) -> str:
    """Every measure of beliefs, by condition, folded."""
    rows = block["measures"]
    arms = list(dict.fromkeys(row["condition"] for row in rows))
    by = {(row["measure"], row["condition"]): row for row in rows}
    units = {row["measure"]: row["unit"] for row in rows}
    lines = [(name, unit, *(spread(by.get((name, arm))) for arm in arms)) for name, unit in units.items()]
    body = table("Mean of a trace", ("measure", "unit", *(str(arm or "all traces") for arm in arms)), lines)
    return f"<details><summary>Every measure of beliefs</summary>{body}</details>"


def judged(block: Figure) -> str:
    """How well each score of a trace tells right from wrong: a figure and a table for each condition and step."""
    parts = []
    for arm in block["arms"]:
        rows = [row for row in arm["rows"] if row["within"]["value"] is not None]
        if not rows:
            continue
        title = f"How well each score tells right from wrong{_arm(arm)}"
        note = "AUROC within problems, filled, with 95 % intervals over problems; pooled, open. 0.5 tells nothing."
        height = 0.9 + 0.22 * min(len(rows), 16)
        parts.append(f'<div class="figures">{_drawn(title, note, height, plots.signals, arm)}</div>')
        lines = [(row["name"], interval(row["within"]), interval(row["auroc"])) for row in rows]
        parts.append(table("AUROC", ("score", "within problems", "pooled"), lines))
    return f"<h3>{text('Signals')}</h3>{''.join(parts)}" if parts else ""


def _arm(row: Figure) -> str:
    step = "" if row.get("step") is None else f", step {row['step']}"
    return (f", {row['condition']}" if row.get("condition") else "") + step


def _drawn(title: str, note: str, height: float, draw: Callable[..., Any], subject: Any, *more: Any) -> str:
    fig, (ax,) = axes(height)
    draw(subject, ax, *more)
    return figure(title, note, svg(fig, title, note))
