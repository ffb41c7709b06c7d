"""Puzzles: solvable, checked by another way, apart, and the same for the same seed."""

from __future__ import annotations

import random
import subprocess
import sys
from fractions import Fraction
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epiverb.errors import ConfigError
from epiverb.graders import Task, make
from epiverb.lab.world import FAMILIES, LARGEST, SHARES, attempts, draw, pool, solutions


def reachable(numbers, signs):
    """Values of all chains by brute force over orders, in fractions, without looking at `attempts`."""
    found = set()

    def go(value, rest):
        if not rest:
            found.add(int(value))
        for i, number in enumerate(rest):
            left = rest[:i] + rest[i + 1 :]
            options = {"+": [value + number], "-": [value - number, number - value], "*": [value * number]}
            options["/"] = [value / number, number / value] if value else [value / number]
            for sign in signs:
                for result in options[sign]:
                    if result.denominator == 1 and 1 <= result <= LARGEST:
                        go(result, left)

    for first in set(permutations(numbers)):
        go(Fraction(first[0]), [Fraction(number) for number in first[1:]])
    return found


@given(st.lists(st.integers(1, 30), min_size=3, max_size=4), st.sampled_from(["+-", "+-*", "+-*/"]))
def test_attempts_reach_what_brute_force_reaches(numbers, signs):
    assert {one.value for one in attempts(tuple(sorted(numbers)), signs)} == reachable(sorted(numbers), signs)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_puzzle_is_solved_and_the_grader_agrees(name):
    puzzles = draw(name, "test", 40, 0) + draw(name, "train", 40, 0) + draw(name, "pretrain", 40, 0)
    grader = make("countdown")
    for puzzle in puzzles:
        found = solutions(puzzle)
        assert found
        extra = {"numbers": list(puzzle.numbers), "target": puzzle.target}
        every = attempts(puzzle.numbers, FAMILIES[name].signs)
        grades = grader([Task(f"\\boxed{{{one.expression}}}", str(puzzle.target), extra) for one in every])
        assert [grade.correct for grade in grades] == [one.value == puzzle.target for one in every]
        assert all(eval(one.expression.replace("/", "//")) == one.value for one in every)


@pytest.mark.parametrize("name", FAMILIES)
def test_splits_share_no_puzzle_and_have_their_shares(name):
    sets = {split: set(pool(name, split)) for split in SHARES}
    total = sum(map(len, sets.values()))
    assert len(set.union(*sets.values())) == total
    for split, share in SHARES.items():
        assert abs(len(sets[split]) / total - share / 100) < 0.04


def test_families_hold_what_they_say():
    for name, family in FAMILIES.items():
        for puzzle in draw(name, "test", 100, 1):
            assert family.targets[0] <= puzzle.target <= family.targets[1]
            assert len(puzzle.numbers) == len(family.ranges)
            assert puzzle.target not in puzzle.numbers
    for puzzle in draw("countdown-3-division", "test", 100, 1):
        assert puzzle.target not in reachable(puzzle.numbers, "+-*")
    assert not set(pool("countdown-3", "test")) & set(pool("countdown-3-high", "train"))


def test_a_seed_draws_the_same_in_any_process_and_small_draws_are_in_large_ones():
    code = "from epiverb.lab.world import draw; print([p.key for p in draw('countdown-3', 'train', 5, 3)])"
    out = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**__import__("os").environ, "PYTHONHASHSEED": "7"},
    )
    here = draw("countdown-3", "train", 64, 3)
    assert out.stdout.strip() == str([puzzle.key for puzzle in here[:5]])
    assert draw("countdown-3", "train", 8, 3) == here[:8]
    assert draw("countdown-3", "train", 8, 4) != here[:8]
    assert set(draw("countdown-3", "train", None, 3)) == set(pool("countdown-3", "train"))


def test_what_is_not_there_is_said():
    with pytest.raises(ConfigError, match="Did you mean 'countdown-4'"):
        draw("countdown-5", "test", 1, 0)
    with pytest.raises(ConfigError, match="1 to 650 test problems"):
        draw("countdown-3", "test", 651, 0)
    assert len(draw("countdown-3", "test", 650, random.Random(0).randint(0, 9))) == 650
