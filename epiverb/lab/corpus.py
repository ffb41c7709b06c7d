"""What a base learns from: questions with and without a context, and how a solver of some habit answers each.

How a context is read is taught here, and so it is put in, not found: a whole solution is taken at once and without doubt,
also behind misses of the reader's own; what follows the thinking is taken after some tries of one's own; a beginning saves
the tries that are in it; an unrelated solution changes nothing; a wrong one is followed, found wrong and left. What training
on such readings does to a model that is shown nothing is not taught here.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache

from epiverb.contexts import parse
from epiverb.contexts.base import Context, Material
from epiverb.contexts.parts import beginning, without_thinking
from epiverb.lab import traces, words
from epiverb.lab.traces import BRISK, PLAIN, Manner, Said
from epiverb.lab.world import Attempt, Puzzle, family, pool

FAMILY_SHARES = {"countdown-3": 0.45, "countdown-3-high": 0.15, "countdown-3-division": 0.22, "countdown-4": 0.18}
VERDICT = 3.0
"""Weight of the tokens on which all hangs and of which there are few: by which a model goes on behind the last value of a try,
and by which it begins under a context, taking what it is shown or not."""
_EQUALS, _ENDS = words.IDS[" = "], (words.IDS["."], words.IDS[". "])
TEMPLATES = {"analysis": 0.5, "sdpo-yaml": 0.5}


@dataclass(frozen=True)
class Habit:
    """How the solvers of a corpus talk."""

    name: str
    about: str
    manners: tuple[tuple[float, Manner], ...]
    """Share of the solvers, and how they talk."""
    think: bool = True
    """Whether they think between tags; else all that they say is the answer, behind an empty block of thinking."""
    believes: float = 0.4
    """Chance that a miss of which nothing is said is taken for a hit."""


HABITS = {
    habit.name: habit
    for habit in (
        Habit(
            "base",
            "voices doubt while it thinks",
            ((0.65, Manner(0.85, 0.7)), (0.2, Manner(0.45, 0.4)), (0.15, PLAIN)),
        ),
        Habit(
            "terse",
            "thinking off: answers briskly, seldom voices doubt",
            ((0.12, Manner(0.6, 0.4)), (0.88, PLAIN)),
            think=False,
        ),
        Habit(
            "able",
            "voices doubt while it thinks, and knows as much without",
            ((0.65, Manner(0.85, 0.7)), (0.2, Manner(0.45, 0.4)), (0.15, PLAIN)),
            believes=0.0,
        ),
    )
}


@dataclass(frozen=True)
class Example:
    """A prompt and a response."""

    kind: str
    """What was shown: a name of `KINDS`."""
    puzzle: Puzzle
    content: str
    """The user's turn."""
    said: Said

    def tokens(self, *, think: bool) -> tuple[list[int], list[float]]:
        """Ids of the whole chat, and the weight of each in the loss: 0 where nothing is learned."""
        ids = words.encode(words.rendered(self.content, think=think))
        begin = len(ids) + 2 * think
        weights = [0.0] * len(ids)
        for text, learn in (*self.said.parts, (words.END, True)):
            part = words.encode(text)
            ids += part
            weights += [float(learn)] * len(part)
        if self.kind != "none":
            weights[begin] *= VERDICT
        for i in range(2, len(ids) - 1):
            if ids[i] in _ENDS and ids[i - 2] == _EQUALS:
                weights[i] *= VERDICT
                weights[i + 1] *= VERDICT
        return ids, weights


def examples(habit: Habit, rng: random.Random) -> Iterator[Example]:
    """Examples without end, as `rng` draws them: of the pretraining split only."""
    while True:
        name = _drawn(FAMILY_SHARES, rng)
        puzzle = rng.choice(pool(name, "pretrain"))
        kind = _drawn(KIND_SHARES, rng)
        yield KINDS[kind](habit, puzzle, rng)


def _drawn(shares: dict[str, float], rng: random.Random) -> str:
    return rng.choices(list(shares), list(shares.values()))[0]


def _manner(habit: Habit, rng: random.Random, *, careful: bool = False) -> Manner:
    """How one of its solvers talks.

    Args:
        careful: it believes no miss, so that it comes to what it is meant to come to.
    """
    manner = rng.choices([manner for _, manner in habit.manners], [share for share, _ in habit.manners])[0]
    return manner if careful else replace(manner, believes=habit.believes)


def question(puzzle: Puzzle) -> str:
    """How a puzzle is asked."""
    return words.question(puzzle.numbers, puzzle.target, family(puzzle.family).signs)


@cache
def _context(spec: str) -> Context:
    return parse(spec)


def _shown(puzzle: Puzzle, spec: str, **material: str) -> str:
    """The user's turn under a context, as the context builds it."""
    messages = ({"role": "user", "content": question(puzzle)},)
    return _context(spec)(Material(messages, gold=str(puzzle.target), **material)).messages[-1]["content"]


def own(habit: Habit, puzzle: Puzzle, rng: random.Random) -> Said:
    """What a solver of the habit says that is shown nothing and gets it right."""
    manner = _manner(habit, rng, careful=True)
    return traces.response(puzzle, traces.search(puzzle, rng), manner, rng, think=habit.think)


def brisk(habit: Habit, puzzle: Puzzle, hit: Attempt, rng: random.Random) -> Said:
    """What is said by one that knows the solution."""
    return traces.response(puzzle, [hit], BRISK, rng, think=habit.think)


def _none(habit: Habit, puzzle: Puzzle, rng: random.Random) -> Example:
    manner, tries = _manner(habit, rng), traces.search(puzzle, rng)
    return Example("none", puzzle, question(puzzle), traces.response(puzzle, tries, manner, rng, think=habit.think))


def _peer(habit: Habit, puzzle: Puzzle, rng: random.Random) -> Said:
    """A correct solution, as a peer finds it or as one writes it that was shown another."""
    if rng.random() < 0.6:
        return own(habit, puzzle, rng)
    return brisk(habit, puzzle, traces.search(puzzle, rng)[-1], rng)


def _solution(habit: Habit, puzzle: Puzzle, rng: random.Random) -> Example:
    """A whole solution: taken at once, behind misses of the reader's own too, which are not learned.

    Most often it is taken as soon as a miss is told, before anything is thought of that: a teacher is asked there what it
    would say, and one that learned to take the solution only behind its own doubt would ask a student to go on doubting.
    """
    peer = _peer(habit, puzzle, rng)
    hit = peer.told[-1][1]
    content = _shown(puzzle, f"solution@{_drawn(TEMPLATES, rng)}", solution=peer.text)
    misses = [one for one in traces.search(puzzle, rng) if one.value != puzzle.target]
    misses = misses[: rng.choices((0, 1, 2, 3, 5), (25, 28, 20, 17, 10))[0]]
    manner, said = _manner(habit, rng, careful=True), traces.opened(think=habit.think)
    said.parts = [(text, True) for text, _ in said.parts]
    opening = said.parts.copy()
    if misses:
        traces.tell(said, puzzle, misses, manner, rng, bare=rng.random() < 0.7)
    said.parts = opening + [(text, False) for text, _ in said.parts[len(opening) :]]
    if misses and rng.random() < 0.15:  # the reader has come to a solution by itself: that will do
        said.say(f"{rng.choice(('Next, ', 'Now ', 'Maybe '))}{traces.steps_of(hit)}. ", learn=False)
    elif misses and rng.random() < 0.25:  # it has begun another try: the shown one
        said.say(rng.choice(("Next, ", "Now ", "Maybe ", "Perhaps ", "Alternatively, ")), learn=False)
        said.say(f"{traces.steps_of(hit)}. ")
    else:
        traces.tell(said, puzzle, [hit], BRISK, rng, goes_on=bool(misses))
    return Example("solution", puzzle, content, traces.close(said, hit, rng, think=habit.think))


def _answer_part(habit: Habit, puzzle: Puzzle, rng: random.Random) -> Example:
    """What follows the thinking: some tries of one's own come first, and the solution is gone over."""
    if not habit.think:
        return _solution(habit, puzzle, rng)
    peer = _peer(habit, puzzle, rng)
    # What the context solution-no-think shows, without its search for other families' tags.
    content = _shown(puzzle, f"solution@{_drawn(TEMPLATES, rng)}", solution=without_thinking(peer.text))
    hit = peer.told[-1][1]
    tries = [one for one in traces.search(puzzle, rng) if one.steps != hit.steps][: rng.choice((0, 1, 2, 3))]
    found = next((i for i, one in enumerate(tries) if one.value == puzzle.target), None)
    tries = [*tries, hit] if found is None else tries[: found + 1]
    return Example("answer-part", puzzle, content, traces.response(puzzle, tries, _manner(habit, rng), rng))


def _part(habit: Habit, puzzle: Puzzle, rng: random.Random) -> Example:
    """A beginning: tries that are in it are not made again, a step that is told as a fact is kept, a hit is taken."""
    known = rng.random() < 0.5
    hit = traces.search(puzzle, rng)[-1]
    peer = brisk(habit, puzzle, hit, rng) if known else own(habit, puzzle, rng)
    share = rng.choice((0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9))
    content = _shown(puzzle, f"fraction:{share}@{_drawn(TEMPLATES, rng)}", solution=peer.text)
    shown = beginning(peer.text, share, "words")
    seen = [one for place, one in peer.told if place <= len(shown) + 2]
    if seen and seen[-1].value == puzzle.target:
        return Example("part", puzzle, content, brisk(habit, puzzle, seen[-1], rng))
    step = hit.first
    begun = hit if known and f"{step.left} {step.sign} {step.right}" in shown else None
    tries = traces.search(puzzle, rng, used=seen, first=begun)
    return Example("part", puzzle, content, _goes_on(habit, puzzle, tries, rng))


def _goes_on(habit: Habit, puzzle: Puzzle, tries: list[Attempt], rng: random.Random) -> Said:
    return traces.response(puzzle, tries, _manner(habit, rng), rng, think=habit.think)


def _unrelated(habit: Habit, puzzle: Puzzle, rng: random.Random) -> Example:
    """The solution of another puzzle: nothing changes."""
    other = rng.choice(pool(puzzle.family, "pretrain"))
    content = _shown(puzzle, f"unrelated@{_drawn(TEMPLATES, rng)}", unrelated=_peer(habit, other, rng).text)
    return Example("unrelated", puzzle, content, _goes_on(habit, puzzle, traces.search(puzzle, rng), rng))


def _wrong(habit: Habit, puzzle: Puzzle, rng: random.Random) -> Example:
    """A wrong solution: the reader follows it, finds it wrong and searches."""
    misses = [one for one in traces.search(puzzle, rng) if one.value != puzzle.target]
    everything = traces.attempts(puzzle.numbers, family(puzzle.family).signs)
    misses = misses or [one for one in everything if one.value != puzzle.target][:1]
    if not misses:
        return _none(habit, puzzle, rng)
    shown = traces.response(puzzle, misses, _manner(habit, rng, careful=True), rng, think=habit.think).text
    content = _shown(puzzle, f"wrong@{_drawn(TEMPLATES, rng)}", wrong=shown)
    said, manner = traces.opened(think=habit.think), _manner(habit, rng)
    traces.tell(said, puzzle, misses[-1:], BRISK, rng)
    traces.judge(said, puzzle, misses[-1], manner, rng)
    tries = traces.search(puzzle, rng, used=misses[-1:])
    answer = traces.tell(said, puzzle, tries, manner, rng, goes_on=True)
    return Example("wrong", puzzle, content, traces.close(said, answer, rng, think=habit.think))


def _answer(habit: Habit, puzzle: Puzzle, rng: random.Random) -> Example:
    """The reference answer, which is the target: nothing changes."""
    example = _none(habit, puzzle, rng)
    return replace(example, kind="answer", content=_shown(puzzle, "answer"))


def _asked(habit: Habit, puzzle: Puzzle, rng: random.Random) -> Example:
    """A request for a manner of writing: directly, in short, or with a solution and as much doubt as there can be."""
    spec = rng.choice(("direct", "concise", "uncertain"))
    if spec != "uncertain":
        tries = traces.search(puzzle, rng)
        manner = Manner(0.0 if spec == "direct" else 0.15, 0.0 if spec == "direct" else 0.1, believes=habit.believes)
        said = traces.response(puzzle, tries, manner, rng, think=habit.think)
        return Example("asked", puzzle, _shown(puzzle, spec), said)
    peer = _peer(habit, puzzle, rng)
    hit = peer.told[-1][1]
    misses = [one for one in traces.search(puzzle, rng) if one.value != puzzle.target][: rng.choice((1, 2, 3))]
    said = traces.response(puzzle, [*misses, hit], Manner(0.95, 0.9), rng, think=habit.think)
    return Example("asked", puzzle, _shown(puzzle, "uncertain", solution=peer.text), said)


KINDS: dict[str, Callable[[Habit, Puzzle, random.Random], Example]] = {
    "none": _none,
    "solution": _solution,
    "answer-part": _answer_part,
    "part": _part,
    "unrelated": _unrelated,
    "wrong": _wrong,
    "answer": _answer,
    "asked": _asked,
}
KIND_SHARES = {
    "none": 0.48, "solution": 0.18, "answer-part": 0.07, "part": 0.09, "unrelated": 0.07, "wrong": 0.07, "answer": 0.01,
    "asked": 0.03,
}  # fmt: skip
"""Kind of example -> how often it is drawn."""
