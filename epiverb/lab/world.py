"""Puzzles: reach a target from a few numbers. Families, every way to combine the numbers, and splits that share nothing."""

from __future__ import annotations

import hashlib
import random
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, combinations, combinations_with_replacement
from typing import Literal, NamedTuple

from epiverb.errors import ConfigError, nearest

LARGEST = 99
"""No value along the way is larger, and none is below 1: each is one token."""
SHARES = {"pretrain": 60, "train": 25, "test": 15}
"""Split -> its share of the puzzles in per cent: what a base learns from, what training sees, what measures both."""


class Step(NamedTuple):
    """One operation: `left sign right = value`."""

    left: int
    sign: str
    right: int
    value: int


@dataclass(frozen=True, eq=False)
class Attempt:
    """A chain of steps that uses every number once."""

    steps: tuple[Step, ...]

    @property
    def expression(self) -> str:
        """The steps as one expression, with parentheses where they are needed: `9 - 2 * 3`, `(9 - 5) * 6`."""
        return _expression(self.steps)

    @property
    def value(self) -> int:
        """What it reaches."""
        return self.steps[-1].value

    @property
    def first(self) -> Step:
        """The step that it begins with."""
        return self.steps[0]


@dataclass(frozen=True)
class Family:
    """A kind of puzzle."""

    name: str
    about: str
    domain: Literal["id", "ood"]
    """Whether training is meant to see it."""
    distance: Literal["in-domain", "near", "far"]
    ranges: tuple[tuple[int, int], ...]
    """From and to of each number."""
    signs: str
    targets: tuple[int, int]
    needs: str = ""
    """An operation that every puzzle of the family needs."""


FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family(
            "countdown-3",
            "three numbers, + - *, targets up to 50",
            "id",
            "in-domain",
            ((1, 15),) * 3,
            "+-*",
            (5, 50),
        ),
        Family(
            "countdown-3-high",
            "three numbers, + - *, targets from 51 to 99",
            "ood",
            "near",
            ((1, 15),) * 3,
            "+-*",
            (51, 99),
        ),
        Family(
            "countdown-3-division",
            "three numbers, one of them large, + - * /, with a division that must be found",
            "ood",
            "far",
            ((2, 12), (2, 12), (12, 60)),
            "+-*/",
            (2, 50),
            needs="/",
        ),
        Family("countdown-4", "four numbers, + -", "ood", "far", ((1, 12),) * 4, "+-", (1, 40)),
    )
}


class Puzzle(NamedTuple):
    """One puzzle of a family."""

    family: str
    numbers: tuple[int, ...]
    target: int

    @property
    def key(self) -> str:
        """What it is known by in its family: `3-5-9-24`."""
        return "-".join(map(str, (*self.numbers, self.target)))

    @property
    def split(self) -> str:
        """Name in `SHARES`, by a hash of the puzzle alone: two splits can never share one."""
        place = int.from_bytes(hashlib.sha256(f"{self.family} {self.key}".encode()).digest()[:4], "big") % 100
        names, ends = list(SHARES), list(accumulate(SHARES.values()))
        return names[bisect_right(ends, place)]


def family(name: str) -> Family:
    """The family called `name`; raises `ConfigError` that suggests the nearest."""
    if name not in FAMILIES:
        raise ConfigError(f"unknown family of the lab {name!r}.{nearest(name, FAMILIES)}")
    return FAMILIES[name]


@lru_cache(maxsize=20_000)
def attempts(numbers: tuple[int, ...], signs: str) -> tuple[Attempt, ...]:
    """Every chain of operations on all the numbers, each value a whole number from 1 to `LARGEST`.

    A chain combines two numbers, then the result with a third one, and so on; of a sum or product one order is kept, and a
    difference or quotient is taken in the order in which it is positive and whole.
    """
    found: dict[tuple[Step, ...], Attempt] = {}
    for i, j in combinations(range(len(numbers)), 2):
        rest = tuple(number for place, number in enumerate(numbers) if place not in (i, j))
        for step in _combined(numbers[i], numbers[j], signs):
            for steps in _chains((step,), rest, signs):
                found.setdefault(steps, Attempt(steps))
    return tuple(found.values())


def _combined(a: int, b: int, signs: str) -> Iterator[Step]:
    """The operations on two numbers whose value is allowed."""
    high, low = max(a, b), min(a, b)
    possible = {"+": a + b, "-": high - low, "*": a * b, "/": high // low if low and high % low == 0 else 0}
    for sign in signs:
        if 1 <= possible[sign] <= LARGEST:
            left, right = (a, b) if sign in "+*" else (high, low)
            yield Step(left, sign, right, possible[sign])


def _chains(steps: tuple[Step, ...], rest: tuple[int, ...], signs: str) -> Iterator[tuple[Step, ...]]:
    if not rest:
        yield steps
        return
    for place, number in enumerate(rest):
        for step in _combined(steps[-1].value, number, signs):
            yield from _chains((*steps, step), rest[:place] + rest[place + 1 :], signs)


def _expression(steps: tuple[Step, ...]) -> str:
    """Where both sides of a later step are equal numbers either may be the result so far; the left one is taken."""
    text, value, last = f"{steps[0].left} {steps[0].sign} {steps[0].right}", steps[0].value, steps[0].sign
    for step in steps[1:]:
        if step.left == value:
            inner = f"({text})" if last in "+-" and step.sign in "*/" else text
            text = f"{inner} {step.sign} {step.right}"
        else:
            inner = f"({text})" if last in "+-" or step.sign == "/" else text
            text = f"{step.left} {step.sign} {inner}"
        value, last = step.value, step.sign
    return text


def solutions(puzzle: Puzzle) -> list[Attempt]:
    """Every attempt that reaches the target."""
    return [one for one in attempts(puzzle.numbers, family(puzzle.family).signs) if one.value == puzzle.target]


@lru_cache(maxsize=len(FAMILIES) * len(SHARES))
def pool(name: str, split: str) -> tuple[Puzzle, ...]:
    """All puzzles of a family in a split, sorted: each can be solved."""
    if split not in SHARES:
        raise ConfigError(f"unknown split {split!r} of the lab.{nearest(split, SHARES)}")
    return tuple(puzzle for puzzle in _every(name) if puzzle.split == split)


@lru_cache(maxsize=len(FAMILIES))
def _every(name: str) -> tuple[Puzzle, ...]:
    kind = family(name)
    found = set()
    for numbers in _numbers(kind):
        values = _values(numbers, kind.signs)
        if kind.needs:
            values -= _values(numbers, kind.signs.replace(kind.needs, ""))
        for value in values.difference(numbers):
            if kind.targets[0] <= value <= kind.targets[1]:
                found.add(Puzzle(name, numbers, value))
    return tuple(sorted(found))


def _values(numbers: tuple[int, ...], signs: str) -> set[int]:
    """What `attempts` reaches, found without building them."""
    found = set()
    states = [
        (step.value, numbers[:i] + numbers[i + 1 : j] + numbers[j + 1 :])
        for i, j in combinations(range(len(numbers)), 2)
        for step in _combined(numbers[i], numbers[j], signs)
    ]
    while states:
        value, rest = states.pop()
        if not rest:
            found.add(value)
        for place, number in enumerate(rest):
            left = rest[:place] + rest[place + 1 :]
            states += [(step.value, left) for step in _combined(value, number, signs)]
    return found


def _numbers(kind: Family) -> Iterator[tuple[int, ...]]:
    """Every choice of numbers, ascending; the numbers of one range in any order are one choice."""
    small = [limits for limits in kind.ranges if limits == kind.ranges[0]]
    rest = kind.ranges[len(small) :]
    for chosen in combinations_with_replacement(range(small[0][0], small[0][1] + 1), len(small)):
        if not rest:
            yield chosen
        for last in range(rest[0][0], rest[0][1] + 1) if rest else ():
            yield tuple(sorted((*chosen, last)))


def draw(name: str, split: str, n: int | None, seed: int) -> list[Puzzle]:
    """`n` different puzzles of a split in an order that the seed draws (all, for None): the first 8 of 64 are those of 8.

    Raises:
        ConfigError: no such family or split, or it has fewer puzzles.
    """
    puzzles = list(pool(name, split))
    if n is not None and not 1 <= n <= len(puzzles):
        raise ConfigError(f"lab:{name}: n={n}, but there are 1 to {len(puzzles):,} {split} problems.")
    random.Random(f"lab {name} {split} {seed}").shuffle(puzzles)
    return puzzles[:n]
