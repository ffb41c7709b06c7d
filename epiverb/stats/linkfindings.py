"""What `link` found in sentences: the number, its interval, and what it does not show."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

Block = Mapping[str, Any]


def link_findings(result: Block) -> list[str]:
    """One sentence a claim, for readers who will not see the tables."""
    found = [
        *_changes(result), _slope(result["slopes"]["markers"]), _within(result["within_problem"]),
        *_mediation(result["mediation"]), *_steps(result.get("steps", {})),
    ]  # fmt: skip
    return [sentence for sentence in found if sentence]


def _bounds(figure: Block, scale: float = 1.0, form: str = "+.1f", unit: str = "") -> str:
    low, high = figure["lo"], figure["hi"]
    if low is None or high is None:
        return f"interval open: {figure['reason'].rstrip('.')}" if figure.get("reason") else "no interval"
    return f"95 % interval {scale * low:{form}} to {scale * high:{form}}{unit}"


def _points(figure: Block) -> str:
    if figure["value"] is None:
        return f"accuracy unknown ({figure.get('reason', 'not graded').rstrip('.')})"
    return f"accuracy {100 * figure['value']:+.1f} points ({_bounds(figure, 100)})"


def _ratio(figure: Block) -> str:
    if figure["value"] is None:
        return f"markers without a ratio ({figure.get('reason', 'none in one run').rstrip('.')})"
    raised = {key: None if figure[key] is None else math.exp(figure[key]) for key in ("lo", "hi")}
    return f"markers × {math.exp(figure['value']):.2f} ({_bounds({**figure, **raised}, form='.2f')})"


FEW = 4
"""Benchmarks told one by one where their domains are not known."""


def _changes(result: Block) -> Iterator[str]:
    """Each run, of several steps the last: by domain with the gap between both, or by benchmark where none is named."""
    last = {block["run"]: block for block in result["domains"]}
    for run, block in last.items():
        who = run if block["step"] is None else f"{run} at step {block['step']}"
        told = {key: block[key] for key in ("id", "ood") if key in block}
        if not told:
            own = [row for row in result["rows"] if (row["run"], row["step"]) == (run, block["step"])]
            yield from (f"{who}, {row['benchmark'] or 'all problems'}: {_both(row)}." for row in own[:FEW])
            if len(own) > FEW:
                yield f"{who}: {len(own) - FEW} more benchmarks are in the table; name their domains to sum them up."
            continue
        labels = {"id": "in domain", "ood": "out of domain"}
        parts = (f"{labels[key]} ({', '.join(one['benchmarks'])}) {_both(one)}" for key, one in told.items())
        yield f"{who}: {'; '.join(parts)}."
        if gap := block.get("ood_minus_id"):
            yield f"{who}: {_gap(gap['delta_accuracy'])}"


def _both(row: Block) -> str:
    return f"{_points(row['delta_accuracy'])}, {_ratio(row['log_ratio_markers'])}"


def _gap(figure: Block) -> str:
    if figure["value"] is None:
        return f"how the domains differ cannot be said: {figure['reason']}"
    text = f"accuracy out of domain changes by {100 * figure['value']:+.1f} points more than in domain ({_bounds(figure, 100)})"
    return f"{text}. {_open(figure)} Other benchmarks or another training seed are not in this interval."


def _open(figure: Block) -> str:
    if figure["lo"] is None or figure["hi"] is None or figure["lo"] <= 0 <= figure["hi"]:
        return "The data leave open whether they differ."
    return "The data show that they differ, not why."


def _slope(fit: Block) -> str:
    slope = fit["slope"]
    if slope["value"] is None:
        return f"No slope of accuracy on markers: {slope['reason']}"
    halved = 100 * slope["value"] * -math.log(2)
    bounds = ""
    if slope["lo"] is not None and slope["hi"] is not None:
        low, high = sorted(100 * slope[key] * -math.log(2) for key in ("lo", "hi"))
        bounds = f" (95 % interval {low:+.1f} to {high:+.1f})"
    signs = {row["slope"]["value"] > 0 for row in fit["leave_one_out"] if row["slope"]["value"] is not None}
    steady = "" if not signs else " The sign holds without any one benchmark." if len(signs) == 1 else ""
    return (
        f"Over {fit['n_points']} points of run and benchmark, half the markers go with {halved:+.1f} points of accuracy"
        f"{bounds}.{steady} This is a line through few points, and no cause."
    )


def _within(block: Block) -> str:
    if block.get("log_odds") is None:
        return f"Within problems no association can be given: {block.get('reason', 'unknown')}"
    odds = math.exp(block["log_odds"])
    used, dropped = block["n_problems_used"], block["n_problems_dropped"]
    text = (
        f"Within the same problem, one standard deviation more marker density goes with {odds:.2f} times the odds of a "
        f"right answer (95 % interval {math.exp(block['lo']):.2f} to {math.exp(block['hi']):.2f}), from {used} problems; "
        f"{dropped} without spread say nothing."
    )
    pooled = block.get("pooled_log_odds")
    if pooled is not None:
        opposite = " of the opposite sign: do not report it" if pooled * block["log_odds"] < 0 else ""
        text += f" Pooled over problems it would be {math.exp(pooled):.2f}{opposite}."
    return text + " What makes a trace struggle also makes it say so."


def _mediation(block: Block) -> Iterator[str]:
    for one in block["runs"]:
        if one["acme"]["value"] is None:
            yield f"{one['run']}: no mediation can be given: {one['acme']['reason']}"
            continue
        text = (
            f"{one['run']}: of {100 * one['total']['value']:+.1f} points of accuracy, {100 * one['acme']['value']:+.1f} "
            f"({_bounds(one['acme'], 100)}) run through marker density; {block['label']}."
        )
        yield f"{text} {one['sensitivity']['sentence']}" if one["sensitivity"] else text


def _steps(courses: Block) -> Iterator[str]:
    for run, course in courses.items():
        for part in (course["early_warning"], course["lead_lag"]):
            sentence = part.get("sentence") or (f"No lead or lag: {part['reason']}" if part.get("reason") else "")
            if sentence:
                yield f"{run}: {sentence}"
