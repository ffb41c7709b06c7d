"""The candidate answers of each problem: the different answers among its samples, and the gold answer.

Answers that are mathematically equal are one candidate, written as most samples write it. Of more than `MOST` the gold
answer and the most frequent ones stay (of equally frequent ones the first seen); the rest are left out and counted, and
no candidate stands for them: what a model might say besides is told by `belief-coverage`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from epiverb.graders.equivalence import Groups, group

MOST = 12
LONGEST = 200
"""Code points of an answer beyond which it is no candidate: it is no answer but prose."""
PROBLEM = ("benchmark", "problem_id")


@dataclass(frozen=True)
class Candidates:
    """The candidates of one problem."""

    texts: tuple[str, ...]
    right: tuple[bool, ...]
    """Equal to the gold answer, or the answer of a trace graded right."""
    own: dict[str, int]
    """Trace id -> the candidate that it answers, for traces with one."""
    left_out: int = 0
    """Different answers that are no candidates: too many, or too long."""


@dataclass(frozen=True)
class Answers:
    """The answers of a run, grouped."""

    traces: pl.DataFrame
    """`trace_id`, `answer`, `gold`, `correct` of each trace, with `problem`, a number, in their order."""
    meaning: list[int | None]
    """Of each trace: the group of its answer among those of its problem."""
    gold: dict[int, int]
    """Problem -> the group of its gold answer."""
    groups: Groups

    @classmethod
    def of(cls, traces: pl.DataFrame, *, algebra: bool = True) -> Answers:
        """The answers of the `traces` table; a trace without a problem is one by itself."""
        alone = pl.when(pl.col("problem_id").is_null()).then(pl.int_range(pl.len())).alias("alone")
        number = (pl.struct(*PROBLEM, alone).rank("dense") - 1).cast(pl.Int64).alias("problem")
        kept = traces.select("trace_id", "answer", "gold", "correct", number)
        rows: dict[int, list[int]] = {}
        golds: dict[int, str] = {}
        for row, (problem, gold) in enumerate(kept.select("problem", "gold").iter_rows()):
            rows.setdefault(problem, []).append(row)
            if gold is not None and gold.strip():
                golds.setdefault(problem, gold)
        answer = kept["answer"].to_list()
        lists = [[golds.get(problem), *(answer[row] for row in own)] for problem, own in rows.items()]
        groups = group(lists, algebra=algebra)
        meaning: list[int | None] = [None] * len(kept)
        for own, found in zip(rows.values(), groups.of, strict=True):
            for row, place in zip(own, found[1:], strict=True):
                meaning[row] = place
        first = {problem: found[0] for problem, found in zip(rows, groups.of, strict=True)}
        return cls(kept, meaning, {problem: place for problem, place in first.items() if place is not None}, groups)

    def candidates(self, most: int = MOST) -> dict[str, Candidates]:
        """Trace id -> the candidates of its problem, the same object for all traces of a problem."""
        found: dict[str, Candidates] = {}
        numbered = self.traces.with_columns(pl.Series("meaning", self.meaning, pl.Int64))
        for (problem,), part in numbered.group_by("problem", maintain_order=True):
            told = _of(part, self.gold.get(int(problem)), most)
            found |= dict.fromkeys(part["trace_id"].to_list(), told)
        return found


def _of(part: pl.DataFrame, gold: int | None, most: int) -> Candidates:
    """Candidates of one problem from its traces."""
    spellings: dict[int, Counter[str]] = {}
    graded_right: set[int] = set()
    for answer, place, correct in part.select("answer", "meaning", "correct").iter_rows():
        if place is None:
            continue
        spellings.setdefault(place, Counter())[answer.strip()] += 1
        if correct:
            graded_right.add(place)
    right = graded_right | ({gold} if gold is not None else set())
    texts = {place: told.most_common(1)[0][0] for place, told in spellings.items()}
    # A gold that no right answer equals is the task (reach 24), not an answer to it.
    if gold is not None and gold not in texts and not graded_right:
        texts[gold] = next(text for text in part["gold"] if text is not None and text.strip()).strip()
        spellings[gold] = Counter()
    order = sorted(texts, key=lambda place: (place not in right, -spellings[place].total(), place))
    kept = [place for place in order if len(texts[place]) <= LONGEST][:most]
    place_of = {place: i for i, place in enumerate(kept)}
    own = {
        trace: place_of[place]
        for trace, place in part.select("trace_id", "meaning").iter_rows()
        if place is not None and place in place_of
    }
    told = tuple(texts[place] for place in kept)
    return Candidates(told, tuple(place in right for place in kept), own, len(order) - len(kept))


def meanings(answers: Answers) -> Sequence[int]:
    """Of each trace the group of its answer, -1 for none."""
    return [-1 if place is None else place for place in answers.meaning]
