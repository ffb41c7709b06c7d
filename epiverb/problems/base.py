"""What a problem is: the one normal form of every data set, hub name, file or generated family."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Message = dict[str, str]
"""A turn of a chat: `role` and `content`."""


@dataclass(frozen=True)
class Problem:
    """A question with what grades its answers."""

    problem_id: str
    """Unique within its benchmark, and the same each time the set is loaded."""
    benchmark: str
    messages: tuple[Message, ...]
    """The chat that the model is shown without any context; the last turn is the user's."""
    gold: str | None
    """The reference answer; None where only `extra` can tell (unit tests)."""
    grader: str
    """Name in `epiverb.graders.GRADERS`."""
    domain: str | None = None
    """`id` or `ood`, where the user said so."""
    solution: str | None = None
    """A worked solution, where the set holds one."""
    extra: dict[str, Any] = field(default_factory=dict)
    """What the grader needs besides `gold`, and what a problem is sorted by.

    `code`: `tests`, a list of `{input, output, testtype, public}` with testtype `stdin` or `functional`, and `fn_name`
    for the latter. `reasoning-gym`: `entry` (question, answer, metadata), `family` and `config`, its options. Else plain
    values such as `type` and `level`.
    """


@dataclass(frozen=True)
class Loaded:
    """The problems of a source, with the counts that make up its rows."""

    problems: list[Problem]
    n_rows: int
    """Rows read: problems, rows that repeat one, and rows that the set leaves out."""
    n_repeated: int = 0
    """Rows that ask what an earlier row asks."""
    n_excluded: int = 0
    """Rows that are not of the part of the set that was asked for; `notes` says which part."""
    notes: tuple[str, ...] = ()
    """What a user should know of what was read, a sentence each."""

    @property
    def n_without_gold(self) -> int:
        """Problems that neither have a gold answer nor bring what grades them."""
        return sum(problem.gold is None and not problem.extra.keys() & {"tests", "entry"} for problem in self.problems)


@dataclass(frozen=True)
class Request:
    """What is wanted of a source."""

    spec: str
    """As the user wrote it."""
    name: str = ""
    argument: str | None = None
    """What stands behind the colon."""
    base: str | None = None
    """The set that another is drawn from, behind `@`."""
    options: dict[str, str] = field(default_factory=dict)
    """What stands behind `?`."""
    path: str | None = None
    """Local files that a named set is read from, behind `=`."""
    limit: int | None = None
    split: str | None = None
    seed: int = 0
    domain: str | None = None
    rewrite: str | None = None
    grader: str | None = None
    map: dict[str, str] = field(default_factory=dict)
    data_dir: str | None = None
    trust_remote_code: bool = False
