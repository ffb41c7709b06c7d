"""Material: what earlier samples tell of each problem, for contexts that show it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import polars as pl

from epiverb.contexts.base import Material
from epiverb.contexts.material import pick, strangers
from epiverb.contexts.parts import thinks_to_the_end, without_thinking
from epiverb.verbs.sampling.arms import Key, Placed

COLUMNS = (
    "trace_id", "benchmark", "problem_id", "condition", "context", "sample", "response", "correct", "grade_reason",
    "thinking_start", "thinking_end",
)  # fmt: skip
PROMPTS = "^(concise|direct)(@|$)"
"""Arms whose prompt asks for a manner of writing: there is no context, and yet the question is not bare."""
BARE = pl.col("context").is_null() & ~pl.col("condition").fill_null("").str.contains(PROMPTS)
TELLS = ("code",)
"""Graders whose reason is what an environment would say: which test failed, and how."""


def materials(problems: Sequence[Placed], earlier: pl.DataFrame, seed: int) -> dict[Key, Material]:
    """What is known of each problem: from earlier samples, and where there are none from the data set's own solution.

    The peer is the first correct response to the bare question. Of responses written under a context the last arm's
    count, the first correct one of them or else the first.

    Args:
        earlier: traces, in the columns `COLUMNS`; the first come first, so arms are in the order in which they were drawn
            and an arm's samples in that of their numbers.
        seed: draws whose solution stands in for an unrelated one.
    """
    rows = earlier.filter(pl.col("response").is_not_null() & (pl.col("response") != ""))
    bare = rows.filter(BARE)
    right, wrong = (_first(bare.filter(pl.col("correct") == value)) for value in (True, False))
    said = {key: tagged(row) for key, row in right.items()}
    own = {placed.key: placed.problem.solution for placed in problems if placed.problem.solution}
    solutions: dict[Key, str] = {**own, **said}
    others = strangers(["\x1f".join(key) for key in solutions], seed)
    again = _regenerated(rows.filter(pl.col("context").is_not_null()))
    found = {}
    for placed in problems:
        key, problem = placed.key, placed.problem
        other = others.get("\x1f".join(key))
        failed = wrong.get(key, {})
        reason = failed.get("grade_reason") if problem.grader in TELLS else None
        found[key] = Material(
            messages=problem.messages,
            gold=problem.gold,
            solution=solutions.get(key),
            wrong=tagged(failed) if failed else None,
            unrelated=solutions[_key(other)]
            if other
            else next(iter(solutions.values()), None)
            if key not in solutions
            else None,
            regenerated=again.get(key),
            feedback=problem.extra.get("feedback") or reason,
        )
    return found


def _key(text: str) -> Key:
    benchmark, _, problem = text.partition("\x1f")
    return benchmark, problem


def tagged(row: dict[str, Any]) -> str:
    """A response whose thinking has its tags: a server that keeps reasoning apart has taken them off."""
    text, begin, end = row["response"], row["thinking_start"], row["thinking_end"]
    if begin is None or end is None or without_thinking(text) != text or thinks_to_the_end(text):
        return text
    return f"{text[:begin]}<think>\n{text[begin:end]}\n</think>{text[end:]}"


def _first(rows: pl.DataFrame) -> dict[Key, dict[str, Any]]:
    """The first row of each problem."""
    first = rows.unique(["benchmark", "problem_id"], keep="first", maintain_order=True)
    return {(row["benchmark"], row["problem_id"]): row for row in first.iter_rows(named=True)}


def _regenerated(rows: pl.DataFrame) -> dict[Key, str]:
    """The response that a next round is shown, of each problem that was answered under a context."""
    if rows.is_empty():
        return {}
    arms = rows["condition"].unique(maintain_order=True).drop_nulls().to_list()
    later = [arm for arm in arms if arm.startswith("regenerated")]
    chosen = (later or [arm for arm in arms if arm == "solution"] or arms)[-1:]
    rounds = rows.filter(pl.col("condition").is_in(chosen)) if chosen else rows
    found = {}
    for (benchmark, problem), own in rounds.group_by("benchmark", "problem_id", maintain_order=True):
        texts = [tagged(row) for row in own.iter_rows(named=True)]
        found[str(benchmark), str(problem)] = pick(texts, own["correct"].to_list())
    return found


def rates(rows: pl.DataFrame) -> dict[Key, tuple[int, int]]:
    """(right, graded) of each problem's samples without context; what could not be graded is in neither."""
    bare = rows.filter(BARE & pl.col("correct").is_not_null())
    counted = bare.group_by("benchmark", "problem_id").agg(pl.col("correct").sum().alias("right"), pl.len())
    return {(row[0], row[1]): (row[2], row[3]) for row in counted.iter_rows()}


def selected(problems: Iterable[Placed], rows: pl.DataFrame, low: int, high: int) -> list[Placed]:
    """The problems that `low` to `high` of the samples in `rows` solved, in their order."""
    right = rates(rows)
    return [placed for placed in problems if low <= right.get(placed.key, (-1, 0))[0] <= high]
