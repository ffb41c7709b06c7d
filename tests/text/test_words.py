"""Words: always `len(text.split())`."""

from __future__ import annotations

import sys

import numpy as np
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


def test_slice_of_a_column() -> None:
    assert words.count(pl.Series(["a b c", "d e", "f", "", "g h"]).slice(1, 3)).to_list() == [2, 1, 0]


@given(st.lists(LIKELY, min_size=1, max_size=4), st.data())
def test_between_places_as_split_counts_the_slice(texts: list[str], data: st.DataObject) -> None:
    flat = Flat.of(pl.Series(texts))
    edges = [sorted(data.draw(st.tuples(*[st.integers(0, len(text) + 1)] * 2))) for text in texts]
    begin, end = (flat.positions(np.array(side), np.arange(len(texts))) for side in zip(*edges, strict=True))
    found = words.Words(flat).between(begin, end).tolist()
    assert found == [len(text[low:high].split()) for text, (low, high) in zip(texts, edges, strict=True)]


def test_name_and_type() -> None:
    counted = words.count(pl.Series([], dtype=pl.String))
    assert (counted.name, counted.dtype, len(counted)) == ("n_words", pl.Int64, 0)
