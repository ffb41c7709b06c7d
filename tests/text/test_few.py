"""The search for a few patterns finds what looking at every place finds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epiverb.text.few import LONGEST, MOST, ROOM, Few, takes

PATTERNS = (
    "wait",
    "a",
    "?",
    "ab",
    "hmm",
    "likely",
    "check",
    "answer is",
    "answer:",
    "answer must be",
    "12345678",
    "{}",
)
PIECES = (*PATTERNS, "aab", "??", "chec", "answer", "answer mus", "likelY", " ", "e", "[]", "é", "\x00", "answer\x1ais")


def everywhere(data: bytes, patterns: tuple[str, ...]) -> list[tuple[int, int, int]]:
    """By begin, then end: each place where a pattern stands, letters in either case."""
    lower = data.lower()  # of bytes: ASCII alone
    found = [
        (i, i + len(p), n) for n, p in enumerate(patterns) for i in range(len(data)) if lower.startswith(p.encode(), i)
    ]
    return sorted(found)


def found(data: bytes, patterns: tuple[str, ...]) -> list[tuple[int, int, int]]:
    return list(zip(*(column.tolist() for column in Few(patterns).find(np.frombuffer(data, np.uint8))), strict=True))


@given(st.lists(st.sampled_from(PIECES), max_size=40), st.booleans(), st.integers(0, 2 * ROOM))
def test_all_occurrences_are_found(pieces: list[str], upper: bool, filling: int) -> None:
    text = "x" * filling + "".join(pieces)
    data = (text.upper() if upper else text).encode()
    assert found(data, PATTERNS) == everywhere(data, PATTERNS)


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("size", [*range(18), ROOM - 1, ROOM, ROOM + 1, 3 * ROOM, 70_001])
def test_a_pattern_is_found_wherever_it_stands_at_an_end(pattern: str, size: int) -> None:
    text = pattern.upper().encode()
    for data in (b"-" * size + text, text + b"-" * size):
        assert found(data, (pattern,)) == everywhere(data, (pattern,))


def test_which_patterns_it_takes() -> None:
    assert takes(PATTERNS)
    assert not takes([])
    assert not takes(["é"])
    assert not takes(["a" * (LONGEST + 1)])
    assert not takes([f"a{i}" for i in range(MOST + 1)])
