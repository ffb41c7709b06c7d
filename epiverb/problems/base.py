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
    for the latter. `reasoning-gym`: `entry` (question, answer, metadata) and `family`. Else plain values: `type`, `level`.
    """
