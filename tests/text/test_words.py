"""Words: always `len(text.split())`."""

from __future__ import annotations

import sys

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epiverb.text import words
from epiverb.text.offsets import Flat

SPACES = "".join(chr(point) for point in range(sys.maxunicode + 1) if chr(point).isspace())
LIKELY = st.text(st.sampled_from(SPACES + "\u200b\u180e\ufeffaé字𐀀,.") | st.characters(exclude_categories=("Cs",)))


def expected(texts: list[str | None]) -> list[int]:
    return [len((text or "").split()) for text in texts]


@settings(max_examples=300)
@given(st.lists(st.none() | LIKELY))
def test_as_split_counts(texts: list[str | None]) -> None:
    assert words.count(pl.Series(texts, dtype=pl.String)).to_list() == expected(texts)


@pytest.mark.parametrize("space", SPACES, ids=[f"U+{ord(c):04X}" for c in SPACES])
def test_every_space(space: str) -> None:
    texts = [f"a{space}b", space, f"{space}a", f"a{space}", f"a{space}{space}b c"]
    assert words.count(pl.Series(texts)).to_list() == expected(texts)


@pytest.mark.parametrize("block", [8, 16, 24, 64])
def test_block_edges(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(words, "BLOCK", block)
    texts = ["one two", "", " x ", "three", "four  five\n", None, "", "\tsix", "se\u2003ven", "é è", " "]
    assert words.count(pl.Series(texts)).to_list() == expected(texts)


def test_slice_of_a_column_and_flat_at_hand() -> None:
    texts = pl.Series(["a b c", "d e", "f", "", "g h"]).slice(1, 3)
    assert words.count(texts).to_list() == words.count(texts, Flat.of(texts)).to_list() == [2, 1, 0]


def test_name_and_type() -> None:
    counted = words.count(pl.Series([], dtype=pl.String))
    assert (counted.name, counted.dtype, len(counted)) == ("n_words", pl.Int64, 0)
