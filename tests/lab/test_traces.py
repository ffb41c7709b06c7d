"""Traces: they search as they say, doubt tells what is so, and what a reader learns from is what it should be."""

from __future__ import annotations

import random
import re
from itertools import pairwise

import pytest

from epiverb.graders import Task, make
from epiverb.lab import corpus, traces, words
from epiverb.lab.traces import PLAIN, Manner
from epiverb.lab.world import FAMILIES, draw, family, solutions

LOUD = Manner(0.85, 0.7)
STEP = re.compile(r"(\d+) ([-+*/]) (\d+) = (\d+)")


def searched(manner, n=150, seed=0):
    searching, talking = random.Random(seed), random.Random(seed + 1)
    for name in FAMILIES:
        for puzzle in draw(name, "pretrain", n, seed):
            tries = traces.search(puzzle, searching)
            yield puzzle, tries, traces.response(puzzle, tries, manner, talking)


def test_a_search_ends_with_its_only_hit_and_tries_nothing_twice():
    for puzzle, tries, _ in searched(PLAIN):
        assert [one.value == puzzle.target for one in tries] == [False] * (len(tries) - 1) + [True]
        assert len({one.steps for one in tries}) == len(tries) <= traces.MOST


@pytest.mark.parametrize("manner", [PLAIN, LOUD], ids=["plain", "loud"])
def test_responses_are_right_by_the_grader(manner):
    found = list(searched(manner, 60))
    tasks = [
        Task(said.text, str(puzzle.target), {"numbers": list(puzzle.numbers), "target": puzzle.target})
        for puzzle, _, said in found
    ]
    assert all(grade.correct for grade in make("countdown")(tasks))


def worked_out(value, target):
    """How a try that comes to `value` is judged."""
    high, low = max(value, target), min(value, target)
    verdict = ", right" if value == target else " too big" if value > target else " too small"
    return f"{high} - {low} = {high - low}{verdict}"


def test_every_step_that_is_said_is_right_but_slips_which_are_found_out():
    slips = 0
    for puzzle, _, said in searched(LOUD):
        for left, sign, right, value in STEP.findall(said.text):
            true = eval(f"{left} {sign.replace('/', '//')} {right}")
            if true != int(value):
                slips += 1
                assert f"{left} {sign} {right} = {true}. {worked_out(true, puzzle.target)}. " in said.text
    assert slips > 20


def test_a_slip_is_not_learned():
    rng, kinds = random.Random(1), set()
    for puzzle in draw("countdown-3", "pretrain", 300, 0):
        said = traces.response(puzzle, traces.search(puzzle, rng), LOUD, rng)
        masked = "".join(text for text, learn in said.parts if not learn)
        kinds.add("number" if masked == str(puzzle.target) else masked)
        assert bool(masked) == bool(re.search(r"Let me check: [^.]*\. \d+ - \d+ = \d+ too", said.text))
    assert kinds == {"", "number", "Let me check: "}


def test_a_check_says_how_far_off_it_is():
    seen = {"right": 0, "wrong": 0}
    for puzzle, _, said in searched(LOUD):
        for value, verdict in re.findall(r"Let me check: [^.]*= (\d+)\. (\d+ - \d+ = [^.]*)\.", said.text):
            assert verdict == worked_out(int(value), puzzle.target)
            seen["right" if int(value) == puzzle.target else "wrong"] += 1
    assert min(seen.values()) > 50


def test_doubt_tells_how_far_off_and_what_is_used_up():
    judged = ruled = 0
    for puzzle, _, said in searched(LOUD):
        for value, verdict in re.findall(r"= (\d+)\. (?:Hmm, |Wait, )(\d+ - \d+ = [^.]*)\.", said.text):
            assert verdict == worked_out(int(value), puzzle.target)
            judged += 1
        for match in re.finditer(r"(\d+) ([-+*/]) (\d+) is not likely", said.text):
            later = [one.first for place, one in said.told if place > match.start()]
            assert match.groups() not in [(str(step.left), step.sign, str(step.right)) for step in later]
            ruled += 1
    assert judged > 200
    assert ruled > 40


def test_one_that_says_nothing_believes_a_miss_now_and_then():
    def right(manner):
        answers = [
            (puzzle, said.text.rpartition("\\boxed{")[2].removesuffix("}")) for puzzle, _, said in searched(manner)
        ]
        return sum(eval(text) == puzzle.target for puzzle, text in answers) / len(answers)

    assert right(Manner(1.0, believes=0.4)) == 1.0  # it looks at every try
    assert 0.3 < right(Manner(0.0, believes=0.4)) < 0.7 < right(Manner(0.85, believes=0.4)) < 1.0
    assert right(Manner(0.0)) == 1.0


def test_a_solution_is_taken_behind_a_miss_before_anything_is_thought_of_it():
    habit, rng, bare = corpus.HABITS["base"], random.Random(6), 0
    for puzzle in draw("countdown-3", "pretrain", 300, 0):
        parts = corpus.KINDS["solution"](habit, puzzle, rng).said.parts
        masked = [text for text, learn in parts if not learn]
        if masked and STEP.search(masked[-1]) and "too" not in masked[-1] and "likely" not in masked[-1]:
            taken = next(text for (before, told), (text, _) in pairwise(parts) if before == masked[-1])
            bare += taken.strip(", ") in {"Next", "Now", "So"}
    assert bare > 60


def test_one_policy_searches_in_both_manners():
    def tried(manner):
        return [[one.steps for one in tries] for _, tries, _ in searched(manner)]

    assert tried(PLAIN) == tried(LOUD)


def test_the_same_seed_writes_the_same_corpus_and_only_of_its_split():
    for habit in corpus.HABITS.values():
        first, again = (corpus.examples(habit, random.Random(9)) for _ in range(2))
        for _ in range(200):
            one, other = next(first), next(again)
            assert one.tokens(think=habit.think) == other.tokens(think=habit.think)
            assert one.puzzle.split == "pretrain"


def test_behind_a_solution_no_marker_is_learned_and_none_of_the_readers_misses():
    habit, rng = corpus.HABITS["base"], random.Random(2)
    for puzzle in draw("countdown-3", "pretrain", 200, 0):
        example = corpus.KINDS["solution"](habit, puzzle, rng)
        learned = "".join(text for text, learn in example.said.parts if learn)
        assert not any(marker.strip() in learned for marker in words.MARKERS)
        values = [int(value) for *_, value in STEP.findall(learned)]
        assert not values or values[-1] == puzzle.target
        assert example.said.text.endswith(tuple(f"\\boxed{{{one.expression}}}" for one in solutions(puzzle)))


def test_a_wrong_solution_is_followed_first_and_not_taken():
    habit, rng = corpus.HABITS["able"], random.Random(3)
    for puzzle in draw("countdown-3", "pretrain", 100, 0):
        example = corpus.KINDS["wrong"](habit, puzzle, rng)
        shown = example.content.rpartition("\\boxed{")[2].partition("}")[0]
        assert eval(shown) != puzzle.target
        first = next(one for place, one in example.said.told)
        assert first.expression == shown
        assert example.said.told[-1][1].value == puzzle.target


def test_a_beginning_spares_the_tries_that_are_in_it():
    habit, rng = corpus.HABITS["base"], random.Random(4)
    spared = 0
    for puzzle in draw("countdown-3", "pretrain", 300, 0):
        example = corpus.KINDS["part"](habit, puzzle, rng)
        shown = example.content.partition("Correct solution:")[2]
        every = traces.attempts(puzzle.numbers, family(puzzle.family).signs)
        misses = [one for one in every if one.value != puzzle.target and f"{traces.steps_of(one)}." in shown]
        for one in misses:
            assert one not in [other for _, other in example.said.told]
            spared += 1
    assert spared > 50
