"""The automaton agrees with regular expressions on random text, and tokens complete markers whatever they are cut into."""

from __future__ import annotations

import random
import re

import numpy as np
import pytest

from epiverb.models.automaton import ROOT, Automaton, Completions

FORMS = ("wait", "hold on", "hm", "hmm", "i'm not", "right?", "old")
ALPHABET = "wait holdnhm'?r g\nWA"


def complete_at_end(text: str, forms: tuple[str, ...], free: bool) -> bool:
    """Whether some form ends where `text` ends, by a regular expression."""
    before = "(?<![a-z])" if free else ""
    return any(re.search(before + re.escape(form) + r"\Z", text.lower()) for form in forms)


def completes(text: str, piece: str, forms: tuple[str, ...], free: bool) -> bool:
    """Whether `piece` behind `text` completes a form, a letter at its end unknown; by the book, one place at a time."""
    for i in range(1, len(piece) + 1):
        if complete_at_end(text + piece[:i], forms, free):
            following = piece[i : i + 1]
            if not free or not following or not following.isalpha():
                return True
    return False


@pytest.mark.parametrize("free", [True, False])
def test_the_tokens_found_are_those_that_a_regular_expression_finds(free: bool) -> None:
    rng = random.Random(1)
    pieces = ["".join(rng.choices(ALPHABET, k=rng.randint(1, 6))) for _ in range(150)] + [
        "",
        "wait",
        " wait",
        "a wait b",
    ]
    automaton = Automaton([form.encode() for form in FORMS], [free] * len(FORMS))
    completions = Completions(automaton, [piece.encode() for piece in pieces])
    found = 0
    for _ in range(100):
        text = "".join(
            rng.choices(["w", "wa", "wai", "h", "hold ", "hold", " ", "\n", "I'm n", "x", "Hm", "righ"], k=3)
        )
        state = automaton.read(automaton.start, text.encode())
        expected = [i for i, piece in enumerate(pieces) if piece and completes(text, piece, FORMS, free)]
        assert completions.ids(state).tolist() == expected, text
        found += len(expected)
    assert found > 200


def test_rows_advance_as_if_their_bytes_were_read() -> None:
    rng = random.Random(2)
    pieces = ["".join(rng.choices(ALPHABET, k=rng.randint(0, 5))) for _ in range(200)]
    automaton = Automaton([form.encode() for form in FORMS], [True] * len(FORMS))
    completions = Completions(automaton, [piece.encode() for piece in pieces])
    states, texts = np.full(50, automaton.start), [b""] * 50
    for _ in range(20):
        tokens = np.array([rng.randrange(len(pieces) + 3) for _ in texts])  # ids beyond the vocabulary have no text
        texts = [text + (pieces[t].encode() if t < len(pieces) else b"") for text, t in zip(texts, tokens, strict=True)]
        states = completions.advance(states, tokens)
        assert states.tolist() == [automaton.read(automaton.start, text) for text in texts]


def test_a_letter_before_a_marker_is_remembered_across_tokens() -> None:
    automaton = Automaton([b"likely"], [True])
    completions = Completions(automaton, [b"likely", b"ly", b" likely", b"likelyhood"])
    assert completions.ids(automaton.read(automaton.start, b"un")).tolist() == [2]
    assert completions.ids(automaton.read(automaton.start, b"it is ")).tolist() == [0, 2]
    assert completions.ids(automaton.read(automaton.start, b"unlike")).tolist() == [2]
    assert completions.ids(automaton.read(automaton.start, b"is like")).tolist() == [1, 2]
    assert completions.ids(ROOT).tolist() == [2]


def test_characters_beyond_ascii_may_be_cut_into_bytes() -> None:
    marker = "等等".encode()
    automaton = Automaton([marker], [False])
    completions = Completions(automaton, [bytes([byte]) for byte in marker])
    state = automaton.read(automaton.start, b"x" + marker[:-1])
    assert set(completions.ids(state).tolist()) == {i for i, byte in enumerate(marker) if byte == marker[-1]}
