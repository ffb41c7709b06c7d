"""How a solver talks: a search as a response, and which of its words a model is to learn.

One policy searches, whatever is said: tries that come near the target come earlier, and a first step that leads nowhere is
mostly left, one that leads to the target mostly kept. What differs is the manner. A solver that voices doubt stops behind a
try and works out by how much it misses, or that it is right; it says when a first step is used up, and whether the next try keeps
its first step or leaves it; it goes over a hit before it believes it. Where it says nothing it goes on, or believes what it has:
a hit always, and a miss now and then, since it has not looked.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field

from epiverb.lab.words import THINK, THOUGHT
from epiverb.lab.world import Attempt, Puzzle, attempts, family, solutions

MOST = 12
"""Tries in a search."""
SPREAD = 100.0
"""How far chance moves a try in the order, in units of the target; 0: the nearest comes first."""
KEEP = {True: 0.7, False: 0.3}
"""How often the next try keeps the first step, by whether that step leads to the target."""
SLIP = 0.3
"""How often a solver that checks takes a miss for a hit first, to find it out by checking."""


@dataclass(frozen=True)
class Manner:
    """How much a solver says of its doubt."""

    doubt: float
    """Chance that a place for doubt is used for it."""
    check: float = 0.0
    """Chance that a hit is gone over."""
    believes: float = 0.0
    """Chance that a miss of which nothing is said is taken for a hit, and answered: one that does not look does not know."""


PLAIN = Manner(0.0)
BRISK = Manner(0.0)
"""Of one to whom a solution was shown: in words that others use, too. Where a teacher's words are none that a student would ever
say, their Jensen-Shannon divergence is at its ceiling and has no gradient."""


@dataclass
class Said:
    """A text in parts, each with whether it is learned from, and which tries have been told by which place."""

    parts: list[tuple[str, bool]] = field(default_factory=list)
    told: list[tuple[int, Attempt]] = field(default_factory=list)
    """Characters up to the end of a try, and the try."""

    def say(self, text: str, *, learn: bool = True) -> None:
        """Go on with `text`."""
        if text:
            self.parts.append((text, learn))

    def end(self, text: str) -> None:
        """Go on with `text` where a sentence has ended: the space behind its stop is left out."""
        last, learn = self.parts[-1]
        self.parts[-1] = (last.removesuffix(" "), learn)
        self.say(text)

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(text for text, _ in self.parts)


def search(
    puzzle: Puzzle, rng: random.Random, *, used: Iterable[Attempt] = (), first: Attempt | None = None, most: int = MOST
) -> list[Attempt]:
    """The tries of a search, in order: misses, then a hit. Where none came in time, the last one is a hit all the same.

    Args:
        used: tries that are known to fail.
        first: a try whose first step the search begins with, and keeps until nothing is left of it.
    """
    known = {one.steps for one in used}
    everything = [one for one in attempts(puzzle.numbers, family(puzzle.family).signs) if one.steps not in known]
    leads = {one.first for one in everything if one.value == puzzle.target}
    keys = [abs(one.value - puzzle.target) * rng.uniform(0.2, 1.8) + rng.uniform(0, SPREAD) for one in everything]
    left = [everything[i] for i in sorted(range(len(keys)), key=keys.__getitem__)]
    last = first.first if first else None
    done: list[Attempt] = []
    while left and len(done) < most - 1:
        keep = last is not None and ((first and last == first.first) or rng.random() < KEEP[last in leads])
        one = next((one for one in left if (one.first == last) == keep), None) if last else left[0]
        one = one or left[0]
        if last and last not in leads and one.first != last:
            left = [other for other in left if other.first != last]
        left.remove(one)
        done.append(one)
        last = one.first
        if one.value == puzzle.target:
            return done
    return [*done, next(one for one in left if one.value == puzzle.target)]


def steps_of(attempt: Attempt) -> str:
    """`9 - 5 = 4, 4 * 6 = 24`."""
    return ", ".join(f"{step.left} {step.sign} {step.right} = {step.value}" for step in attempt.steps)


def tell(
    said: Said,
    puzzle: Puzzle,
    tries: list[Attempt],
    manner: Manner,
    rng: random.Random,
    *,
    goes_on: bool = False,
    bare: bool = False,
) -> Attempt:
    """Say the tries one after the other, with what the solver thinks of each; the one that it stops at comes back.

    Args:
        goes_on: something was tried before, so that the first of these is not the first.
        bare: the last one ends with its value; nothing is thought of it.
    """
    slip, leads = _slip(puzzle, tries, manner, rng), {one.first for one in solutions(puzzle)}
    for i, one in enumerate(tries):
        before = tries[i - 1] if i else None
        said.say(_lead(before, one, manner, rng, opening=not i and not goes_on))
        if one is slip:
            _mistaken(said, puzzle, one, rng)
            continue
        said.say(f"{steps_of(one)}. ")
        said.told.append((len(said.text), one))
        if bare and i == len(tries) - 1:
            return one
        voiced = judge(said, puzzle, one, manner, rng)
        if one.value == puzzle.target:
            _check(said, puzzle, one, manner, rng)
        elif not voiced and rng.random() < manner.believes:
            return one
        else:
            leaves = i + 1 < len(tries) and tries[i + 1].first != one.first
            if leaves and one.first not in leads and rng.random() < 0.35 * manner.doubt:
                step = one.first
                said.say(f"{step.left} {step.sign} {step.right} is not likely. ")
    return tries[-1]


def _slip(puzzle: Puzzle, tries: list[Attempt], manner: Manner, rng: random.Random) -> Attempt | None:
    """The miss that is taken for a hit at first, if one is."""
    near = [one for one in tries if 0 < abs(one.value - puzzle.target) <= 12]
    return rng.choice(near) if near and rng.random() < SLIP * (manner.check > 0) else None


def _mistaken(said: Said, puzzle: Puzzle, one: Attempt, rng: random.Random) -> None:
    """A miss that is taken for a hit, which is not to be learned, and what going over it shows.

    Either its last value is told wrong, or it is told right and believed to be the target.
    """
    head, _, value = steps_of(one).rpartition(" ")
    told_wrong = rng.random() < 0.5
    said.say(f"{head} ")
    said.say(str(puzzle.target) if told_wrong else value, learn=not told_wrong)
    said.say(". ")
    if not told_wrong:
        said.told.append((len(said.text), one))
    elif rng.random() < 0.5:
        said.say("That seems right. ")
    said.say("Let me check: ", learn=told_wrong)
    said.say(f"{head} {value}. ")
    if told_wrong:
        said.told.append((len(said.text), one))
    said.say(f"{_off(puzzle, one)}. ")
    if told_wrong and rng.random() < 0.5:
        said.say("Wait, that is a mistake. ")


def _off(puzzle: Puzzle, one: Attempt) -> str:
    """By how much a try misses, worked out: `15 - 9 = 6 too big`, `9 - 9 = 0, right`."""
    high, low = max(one.value, puzzle.target), min(one.value, puzzle.target)
    verdict = ", right" if high == low else f" too {'big' if one.value == high else 'small'}"
    return f"{high} - {low} = {high - low}{verdict}"


def _lead(before: Attempt | None, one: Attempt, manner: Manner, rng: random.Random, *, opening: bool) -> str:
    if opening:
        if rng.random() < 0.3 * manner.doubt:
            return rng.choice(("Maybe ", "Perhaps "))
        return rng.choice(("Let me try ", "First, ", "So "))
    if rng.random() < 0.7 * manner.doubt:
        if before is not None and before.first == one.first:
            return rng.choice(("Maybe ", "Perhaps ", "It might be "))
        return rng.choice(("Alternatively, ", "Actually, ", "What if "))
    return rng.choice(("Next, ", "Now ", "So "))


def judge(said: Said, puzzle: Puzzle, one: Attempt, manner: Manner, rng: random.Random) -> bool:
    """Work out how far off a try is, if the solver voices doubt here: in the same words for a hit and for a miss.

    Whether it did comes back.
    """
    voiced = rng.random() < manner.doubt
    if voiced:
        said.say(f"{rng.choice(('Hmm, ', 'Wait, '))}{_off(puzzle, one)}. ")
    return voiced


def _check(said: Said, puzzle: Puzzle, one: Attempt, manner: Manner, rng: random.Random) -> None:
    """Go over a hit."""
    if rng.random() < manner.check:
        said.say(f"Let me check: {steps_of(one)}. {_off(puzzle, one)}. ")


def opened(*, think: bool) -> Said:
    """The beginning of a response."""
    said = Said()
    if think:
        said.say(f"{THINK}\n")
    return said


def close(said: Said, answer: Attempt, rng: random.Random, *, think: bool) -> Said:
    """End the thinking and give the answer."""
    words = "The answer is " if rng.random() < 0.75 else ""
    said.end(f"\n{THOUGHT}\n\n" if think else "\n")
    said.say(f"{words}\\boxed{{{answer.expression}}}")
    return said


def response(puzzle: Puzzle, tries: list[Attempt], manner: Manner, rng: random.Random, *, think: bool = True) -> Said:
    """A whole response: the tries, then the one that it stops at as the answer, be it right or wrong."""
    said = opened(think=think)
    return close(said, tell(said, puzzle, tries, manner, rng), rng, think=think)
