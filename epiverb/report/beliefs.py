"""Beliefs and signals of a scored run, as parts of its report: made of `score.json` and the table `beliefs`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from epiverb.plots import beliefs as plots
from epiverb.plots.style import axes, svg
from epiverb.report.html import figure, number, spread, table, text
from epiverb.run import Run

Figure = dict[str, Any]
SHOWN = 3
"""Traces whose beliefs are drawn: those in which they move the most, where there is most to see."""


def bands(path: Path) -> list[str]:
    """Beliefs along a few traces, the markers of the primary lexicon above; nothing where the run has no such table."""
    run = Run(path)
    held = run.scan("beliefs")
    by_answer = held.sort("x").group_by("trace_id", "candidate").agg(pl.col("p").diff().abs().sum())
    moved = by_answer.group_by("trace_id").agg(pl.col("p").sum().round(6)).filter(pl.col("p") > 0)
    chosen = moved.sort(["p", "trace_id"], descending=[True, False]).head(SHOWN).collect()["trace_id"].to_list()
    primary = next(iter(run.summary["lexicons"]))
    drawn = []
    for key in chosen:
        mine = pl.col("trace_id") == key
        own = held.filter(mine).collect()
        hits = run.scan("hits").filter(mine & (pl.col("lexicon") == primary)).collect()
        count = own["x"].n_unique()
        title = f"Beliefs along {key}"
        note = (
            f"What the model would answer behind each of {count} places of the thinking, right answers below in grey, wrong ones "
            "in red. One of the traces whose beliefs move the most."
        )
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
    """What changes behind markers, where EAT would stop, and every measure of beliefs, by condition."""
    return (
        _changes(block)
        + _stopping(block)
        + f"<details><summary>Every measure of beliefs</summary>{_means(block)}</details>"
    )


def agreed(block: Figure) -> str:
    """How far the samples of a problem agree."""
    told = f"{block['n_answered']:,} of {block['n_traces']:,} traces have an answer; equal answers are one meaning."
    return f"<h3>Agreement of samples</h3><p>{text(told)}</p>{_means(block, 'Mean over problems')}"


def information(block: Figure) -> str:
    """Mutual information of the tokens' states with the gold answer's."""
    told = f"{block['n_scored']:,} of {block['n_traces']:,} traces, {block['peaks']} peaks each."
    unknown = "; ".join(f"{n:,} unknown: {why}" for why, n in block["unknown"].items())
    rest = f'<p class="quiet">{text(unknown)}.</p>' if unknown else ""
    return f"<h3>Mutual information with the gold answer</h3><p>{text(told)}</p>{rest}{_means(block)}"


def _changes(block: Figure) -> str:
    rows = [
        (
            one["condition"] or "all traces",
            *(spread(one[kind], share=True) for kind in ("marker", "control", "difference")),
        )
        for one in block["changes"]
    ]
    head = ("condition", "of a marked one", "of its control", "difference")
    return table(f"The likeliest answer changes within three {block['unit']}s", head, rows) if rows else ""


def _stopping(block: Figure) -> str:
    rows = [
        (
            f"{one['condition'] or 'all traces'}, {row['delta']:g}", f"{row['n_stopped']:,}",
            *(spread(row[name], share=True) for name in ("tokens", "accuracy", "cost")),
        )
        for one in block["eat"]
        for row in one["rows"]
    ]  # fmt: skip
    head = ("condition, threshold", "traces stopped", "tokens read", "accuracy there", "less accuracy at the end")
    body = table("Stopping where the variance of EAT falls below a threshold", head, rows)
    return f"<details><summary>Where EAT would stop the thinking</summary>{body}</details>" if rows else ""


def _means(block: Figure, caption: str = "Mean of a trace") -> str:
    rows = block["measures"]
    arms = list(dict.fromkeys(row["condition"] for row in rows))
    by = {(row["measure"], row["condition"]): row for row in rows}
    units = {row["measure"]: row["unit"] for row in rows}
    lines = [(name, unit, *(spread(by.get((name, arm))) for arm in arms)) for name, unit in units.items()]
    return table(caption, ("measure", "unit", *(str(arm or "all traces") for arm in arms)), lines)


def judged(block: Figure) -> str:
    """How well each score of a trace tells right from wrong: a figure and a folded table for each condition and step."""
    parts = []
    for arm in block["arms"]:
        rows = [row for row in arm["rows"] if row["within"]["value"] is not None]
        if not rows:
            continue
        title = f"How well each score tells right from wrong{_arm(arm)}"
        note = (
            f"{arm['n_traces']:,} graded traces of {arm['n_problems']:,} problems, {number(arm['accuracy'], share=True)} right. "
            "AUROC within problems, filled, with 95 % intervals over problems; pooled, open. 0.5 tells nothing."
        )
        height = 0.9 + 0.22 * min(len(rows), 16)
        parts.append((_drawn(title, note, height, plots.signals, arm), _judged(arm, rows)))
    if not parts:
        return ""
    figures = "".join(drawn for drawn, _ in parts)
    return f'<h3>Signals</h3><div class="figures">{figures}</div>{"".join(body for _, body in parts)}'


def _judged(arm: Figure, rows: list[Figure]) -> str:
    head = ("score", "AUROC within problems", "problems", "AUROC pooled", "PRR", "AURC", "ECE", "Brier", "unknown")
    lines = [
        (
            row["name"], spread(row["within"]), f"{row['within']['n_problems']:,}",
            *(spread(row[name]) for name in ("auroc", "prr", "aurc", "ece", "brier")), f"{row['n_missing']:,}",
        )
        for row in rows
    ]  # fmt: skip
    said = (
        "AUROC above 0.5: more of the score goes with right answers. PRR: what refusing the least sure traces gains, 1 the most "
        "that can be. AURC, ECE and Brier: less is better."
    )
    body = table(f"Every score against correctness{_arm(arm)}", head, lines)
    return (
        f"<details><summary>Every score of a trace against correctness{text(_arm(arm))}</summary>"
        f'<p class="quiet">{text(said)}</p>{body}</details>'
    )


def _arm(row: Figure) -> str:
    step = "" if row.get("step") is None else f", step {row['step']}"
    return (f", {row['condition']}" if row.get("condition") else "") + step


def _drawn(title: str, note: str, height: float, draw: Callable[..., Any], subject: Any, *more: Any) -> str:
    fig, (ax,) = axes(height)
    draw(subject, ax, *more)
    return figure(title, note, svg(fig, title, note))
