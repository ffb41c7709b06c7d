"""Graders: a response and its gold answer to a `Grade`.

    grade = make("math")
    grade([Task(response=r"... so \boxed{204}.", gold="204")])    # [Grade(correct=True, reason='boxed', answer='204')]
    grade_by(["math", "choice"], tasks)                            # each task by the grader of its problem

A grader is a frozen dataclass with a field `lenient`: names, from its own `LENIENT`, of deviations from the strict rule,
all off by default. What is slow or untrusted runs in worker processes (`workers.py`, `sandbox.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

from epiverb.errors import ConfigError, nearest
from epiverb.graders.base import Grade, Grader, Task
from epiverb.registry import Registry

__all__ = ["GRADERS", "Grade", "Grader", "Task", "grade_by", "make"]

GRADERS = Registry(
    "grader",
    {
        "math": "epiverb.graders.math:MathGrader",
        "choice": "epiverb.graders.choice:ChoiceGrader",
        "exact": "epiverb.graders.exact:ExactGrader",
        "code": "epiverb.graders.code:CodeGrader",
        "countdown": "epiverb.graders.countdown:CountdownGrader",
        "reasoning-gym": "epiverb.graders.gym:GymGrader",
    },
)


def make(name: str, *, lenient: Sequence[str] = ()) -> Grader:
    """The grader called `name`, with the deviations named in `lenient` switched on.

    Raises:
        ConfigError: no such grader, or no such deviation of it.
    """
    kind = GRADERS.get(name)
    known = getattr(kind, "LENIENT", {})
    for option in lenient:
        if option not in known:
            told = nearest(option, known) if known else " It has none."
            raise ConfigError(f"grader {name!r} has no lenient option {option!r}.{told}")
    return kind(lenient=tuple(lenient)) if known else kind()


def grade_by(names: Sequence[str], tasks: Sequence[Task], *, lenient: Sequence[str] = ()) -> list[Grade]:
    """One grade a task, in their order, each by the grader of its name; those of one grader go to it together."""
    if len(names) != len(tasks):
        raise ConfigError(f"{len(names)} names of graders for {len(tasks)} tasks. Give one each.")
    grades: dict[int, Grade] = {}
    for name in dict.fromkeys(names):
        mine = [row for row, other in enumerate(names) if other == name]
        grades.update(zip(mine, make(name, lenient=lenient)([tasks[row] for row in mine]), strict=True))
    return [grades[row] for row in range(len(tasks))]
