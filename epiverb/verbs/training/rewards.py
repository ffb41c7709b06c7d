"""Grades as rewards: 1 for right, 0 for wrong, None where it is not known, which trains nothing and is counted.

Graders whose work can hang run it in worker processes of their own; all others, those of other packages among them, run in
workers here. A grader that hangs is ended by the system and its grade is unknown.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any

from epiverb.graders import Grade, Task, check, grade_by
from epiverb.graders.workers import Workers

LIMITED = ("math", "code", "reasoning-gym")
"""Graders that limit their own time."""
SECONDS = 20.0
"""Processor time for one grade of any other."""


class Rewards:
    """The reward function of a trainer: what TRL calls with columns of the data set, and what a probe calls with tasks.

    Args:
        tokenizer: the model's.
        lenient: named deviations of the graders.
    """

    __name__ = "grade"

    def __init__(self, tokenizer: Any, lenient: Sequence[str] = ()) -> None:
        self._tokenizer = tokenizer
        self._lenient = tuple(lenient)
        self.grades: list[Grade] = []
        """Of the last call, in its order."""
        self.unknown: Counter[str] = Counter()
        """Reasons of all unknown grades so far."""

    def __call__(
        self,
        prompts: Sequence[Any],
        completions: Sequence[Any],
        completion_ids: Sequence[Sequence[int]] | None = None,
        *,
        grader: Sequence[str],
        gold: Sequence[str | None],
        extra: Sequence[str],
        **others: Any,
    ) -> list[float | None]:
        """A reward for each response: what was generated is graded, special tokens aside."""
        texts = self._texts(completions, completion_ids)
        tasks = [Task(text, answer, json.loads(more)) for text, answer, more in zip(texts, gold, extra, strict=True)]
        self.grades = self.grade(list(grader), tasks)
        log = others.get("log_extra")
        if log is not None:  # what the record of rollouts has columns for
            log("correct", [grade.correct for grade in self.grades])
            log("grade_reason", [grade.reason for grade in self.grades])
            log("answer", [grade.answer for grade in self.grades])
            log("feedback", [_feedback(name, grade) for name, grade in zip(grader, self.grades, strict=True)])
        return [None if grade.correct is None else float(grade.correct) for grade in self.grades]

    def grade(self, names: list[str], tasks: list[Task]) -> list[Grade]:
        """One grade a task, in their order, each by the grader of its name."""
        grades = graded(names, tasks, self._lenient)
        self.unknown.update(grade.reason for grade in grades if grade.correct is None)
        return grades

    def _texts(self, completions: Sequence[Any], ids: Sequence[Sequence[int]] | None) -> list[str]:
        if ids is not None:
            return [self._tokenizer.decode(list(each), skip_special_tokens=True) for each in ids]
        return [each if isinstance(each, str) else "".join(turn["content"] for turn in each) for each in completions]


def _feedback(name: str, grade: Grade) -> str | None:
    """What the environment says of a response that failed: of programs, the test."""
    return grade.reason if name == "code" and grade.correct is False else None


def graded(names: list[str], tasks: list[Task], lenient: Sequence[str] = (), *, limit: float = SECONDS) -> list[Grade]:
    """One grade a task, each with a limit of time; a job that reaches it has an unknown grade."""
    mine = [row for row, name in enumerate(names) if name in LIMITED]
    limited = grade_by([names[row] for row in mine], [tasks[row] for row in mine], lenient=lenient)
    grades = dict(zip(mine, limited, strict=True))
    others = [row for row in range(len(names)) if row not in grades]
    jobs = [(names[row], [*lenient], *_plain(tasks[row])) for row in others]
    outcomes = _workers(limit).map(jobs) if jobs else []
    for row, outcome in zip(others, outcomes, strict=True):
        unknown = Grade(None, f"the grader {names[row]}: {outcome.failure}")
        grades[row] = unknown if outcome.failure else Grade(*outcome.value)
    return [grades[row] for row in range(len(names))]


def _plain(task: Task) -> tuple[str, str | None, dict[str, Any], int | None]:
    return task.response, task.gold, task.extra, task.thinking_end


def one(
    name: str, lenient: list[str], response: str, gold: str | None, extra: dict[str, Any], thinking_end: int | None
) -> tuple[bool | None, str, str | None]:
    """The grade of one response, as plain values. Runs in a worker."""
    grade = grade_by([name], [Task(response, gold, extra, thinking_end)], lenient=lenient)[0]
    return grade.correct, grade.reason, grade.answer


@cache
def _workers(limit: float) -> Workers:
    return Workers("epiverb.verbs.training.rewards:one", limit=limit, memory=8 << 30)


def checked(graders: Sequence[str], lenient: Sequence[str]) -> None:
    """Raise `ConfigError` for a grader that there is not, or a deviation that none of them knows."""
    check(set(graders), lenient)
