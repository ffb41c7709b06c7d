"""Graders: a response and its gold answer to a `Grade`.

    grade = make("math")
    grade([Task(response=r"... so \boxed{204}.", gold="204")])    # [Grade(correct=True, reason='boxed', answer='204')]
    grade_by(["math", "choice"], tasks)                            # each task by the grader of its problem

A grader is a frozen dataclass with a field `lenient`: names, from its own `LENIENT`, of deviations from the strict rule,
all off by default. What is slow or untrusted runs in worker processes (`workers.py`, `sandbox.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from epiverb.errors import ConfigError, nearest
from epiverb.graders.base import Grade, Grader, Task
from epiverb.registry import Registry

__all__ = ["GRADERS", "Grade", "Grader", "Task", "check", "grade_by", "make", "table"]

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
    check([name], lenient)
    kind = GRADERS.get(name)
    return kind(lenient=tuple(lenient)) if lenient else kind()


def check(names: Iterable[str], lenient: Sequence[str]) -> None:
    """Raise `ConfigError` for a grader that does not exist, or a deviation that none of these graders knows."""
    known = {option for name in names for option in _options(name)}
    for option in lenient:
        if option not in known:
            told = nearest(option, known) if known else " There is none."
            raise ConfigError(f"no lenient option {option!r} of the grader {', '.join(sorted(names))}.{told}")


def _options(name: str) -> dict[str, str]:
    return getattr(GRADERS.get(name), "LENIENT", {})


def table() -> list[dict[str, str]]:
    """Every grader with its lenient options and its rule, for `epiverb ls graders`."""
    return [
        {"name": name, "lenient": ", ".join(_options(name)), "about": (GRADERS.get(name).__doc__ or "").split("\n")[0]}
        for name in GRADERS
    ]


def grade_by(names: Sequence[str], tasks: Sequence[Task], *, lenient: Sequence[str] = ()) -> list[Grade]:
    """One grade a task, in their order, each by the grader of its name; those of one grader go to it together.

    Of `lenient`, each grader takes the options that it knows; `check` tells of those that none does.
    """
    if len(names) != len(tasks):
        raise ConfigError(f"{len(names)} names of graders for {len(tasks)} tasks. Give one each.")
    grades: dict[int, Grade] = {}
    for name in dict.fromkeys(names):
        mine = [row for row, other in enumerate(names) if other == name]
        grader = make(name, lenient=[option for option in lenient if option in _options(name)])
        grades.update(zip(mine, grader([tasks[row] for row in mine]), strict=True))
    return [grades[row] for row in range(len(tasks))]
