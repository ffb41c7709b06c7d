"""What a grade is, and what a grader takes. Unknown is not wrong: it has a reason and is counted apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True)
class Grade:
    """The verdict on one response."""

    correct: bool | None
    """None: could not be graded; `reason` says why."""
    reason: str
    """Why it is unknown, or which rule decided (`boxed`, `answer line`, ...); goes into the column `grade_reason`."""
    answer: str | None = None
    """The final answer as extracted from the response."""


@dataclass(frozen=True)
class Task:
    """One response to grade."""

    response: str
    """The whole generated text; a grader reads its answer part, behind the thinking, where there is one."""
    gold: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    """What the grader needs besides: `Problem.extra`."""
    thinking_end: int | None = None
    """Code point where the thinking ends, for a response that marks it by no tags; None: it is looked for."""


class Grader(Protocol):
    """Grades responses in batches; what is slow or untrusted runs in worker processes with a real time limit."""

    def __call__(self, tasks: Sequence[Task]) -> list[Grade]:
        """One grade a task, in their order; never raises for what a response holds."""
        ...
