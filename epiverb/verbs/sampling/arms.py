"""Arms: one context for a set of problems. What is asked under it, and which problems it cannot be built for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from epiverb.contexts.base import Material, NoMaterial, PromptTooLong, Shown
from epiverb.models.base import Request

if TYPE_CHECKING:
    from epiverb.contexts.base import Context, Count, Message
    from epiverb.models.base import Engine
    from epiverb.problems.base import Problem

Key = tuple[str, str]
"""Benchmark and problem id."""


@dataclass(frozen=True)
class Placed:
    """A problem with its place in the set it came from."""

    problem: Problem
    source: str
    line: int

    @property
    def key(self) -> Key:
        """What it is known by."""
        return self.problem.benchmark, self.problem.problem_id


@dataclass(frozen=True)
class Asked:
    """A problem under a context."""

    placed: Placed
    shown: Shown
    name: str
    """Of its request, within the arm."""
    prefix: str = ""
    """What the response is made to begin with."""
    offset: int = 0
    """Number of the first of its samples among those of the problem, where a problem is asked several times."""
    extra: dict[str, Any] = field(default_factory=dict)
    """What was done to it, for the record."""


@dataclass
class Arm:
    """A condition: its context, and what became of each problem under it."""

    condition: str
    context: Context
    asked: list[Asked] = field(default_factory=list)
    skipped: list[tuple[Placed, str]] = field(default_factory=list)

    def build(self, problems: Sequence[Placed], materials: dict[Key, Material], room: Room) -> None:
        """Show every problem that there is material for; the others are skipped with the reason."""
        for placed in problems:
            material = materials.get(placed.key) or Material(messages=placed.problem.messages, gold=placed.problem.gold)
            try:
                shown = self.context(material, room=room.tokens, count=room.count)
            except (NoMaterial, PromptTooLong) as error:
                self.skipped.append((placed, str(error)))
            else:
                self.asked.append(Asked(placed, shown, "/".join(placed.key)))

    @property
    def trimmed(self) -> int:
        """Problems whose context was cut so that the prompt fits."""
        return sum(asked.shown.trimmed > 0 for asked in self.asked)


@dataclass(frozen=True)
class Room:
    """The tokens that a prompt may have, and how they are counted; both None where the engine cannot tell."""

    tokens: int | None
    count: Count | None


def room_of(engine: Engine, max_tokens: int, thinking: bool | None) -> Room:
    """What the window leaves for the prompt beside `max_tokens` of response."""
    if engine.window is None or engine.count_tokens([""]) is None:
        return Room(None, None)

    def count(messages: Sequence[Message]) -> int:
        rendered = engine.render(Request("", messages=tuple(messages), thinking=thinking))
        counted = engine.count_tokens([rendered or ""])
        return counted[0] if counted else 0

    return Room(engine.window - max_tokens, count)


def missing(
    asked: Iterable[Asked], done: dict[Key, set[int]], n: int, thinking: bool | None
) -> list[tuple[Asked, Request]]:
    """The requests for what is still to be drawn of `n` samples: one for each run of numbers that are missing."""
    found = []
    for one in asked:
        there = {sample - one.offset for sample in done.get(one.placed.key, ())}
        for first, count in _gaps(there, n):
            request = Request(
                one.name,
                messages=one.shown.messages,
                prefix=one.prefix,
                thinking=thinking,
                first=first,
                n=count,
                contextual=tuple(one.shown.messages) != tuple(one.placed.problem.messages),
            )
            found.append((one, request))
    return found


def drawn(asked: Iterable[Asked], done: dict[Key, set[int]], n: int) -> int:
    """How many of the samples that are wanted are there already."""
    return sum(one.offset <= sample < one.offset + n for one in asked for sample in done.get(one.placed.key, ()))


def _gaps(done: set[int], n: int) -> Iterator[tuple[int, int]]:
    """(first, number) of each run of indices below `n` that are not in `done`.

    >>> list(_gaps({0, 1, 4}, 6))
    [(2, 2), (5, 1)]
    """
    first = None
    for index in range(n + 1):
        if index < n and index not in done:
            first = index if first is None else first
        elif first is not None:
            yield first, index - first
            first = None
