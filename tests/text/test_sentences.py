"""Sentences of mathematical reasoning, by hand and by what must hold for any text."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epiverb.text import sentences
from epiverb.text.offsets import Flat


def split(texts: list[str | None]) -> list[list[str]]:
    found: list[list[str]] = [[] for _ in texts]
    for row, start, end in sentences.find(pl.Series(texts, dtype=pl.String)).iter_rows():
        found[row].append((texts[row] or "")[start:end])
    return found


@pytest.mark.parametrize(
    "expected",
    [
        ["It is 3.14 there.", "So x = 2.", "x is larger."],  # a small letter alone is a variable
        ["Wait... maybe not.", "Hmm..."],
        ["Really?", "yes."],
        ["So 5! = 120 and (n-1)! ways.", "That is even!", "Good!"],
        ["No.", "That is wrong."],  # no abbreviation here
        ["Take e.g. Fig. 3, i.e. Eq. 2.", "Then cf. the point A.", "It lies on b."],
        ["It ends (does it?) here.", "(It does.)", 'He said "yes."', "So $x = 3.$", "**Bold.**"],
        ["对吗？", "（是。）", "é 🙂 好。", "So"],
        ["Right?!", "Right."],
        ["No mark"],
        [],
    ],
)
def test_on_one_line(expected: list[str]) -> None:
    assert split([" ".join(expected)]) == [expected]


@pytest.mark.parametrize(
    "expected",
    [
        ["1. **Calculate r:** take the root.", "2. Then stop."],
        ["- (12. a case", "  3. Another"],
        ["First scenario:", "- Distance = 9 km", "540*(2)", "= 1080"],
        ["It is 2.", "3. follows"],
        ["We get\n\n  \\[\n r = 1.\n\\\\[2pt] s. Two\n\\]", "Done."],
        ["It is so.", "$$\nx\n$$", "Code:\n```python\na. b\n\nc\n```", "\\[ never closed.", "So two."],
    ],
)
def test_on_lines(expected: list[str]) -> None:
    assert split(["\n".join(expected)]) == [[line.strip() for line in expected]]


def test_rows_and_nulls() -> None:
    texts = ["", None, "One. Two.", " \n ", "$$ open", "x $$ other row. Yes."]
    assert split(texts) == [[], [], ["One.", "Two."], [], ["$$ open"], ["x $$ other row.", "Yes."]]
    assert sentences.find(pl.Series([], dtype=pl.String)).schema == {
        "row": pl.UInt32,
        "start": pl.Int64,
        "end": pl.Int64,
    }


PIECES = [*".!?\n 。”)$`1aB-*\\é🙂\u2028", "$$", "\\[", "\\]", "```", "e.g. ", "3.14", " So it is. ", "5! "]
TEXT = st.lists(st.sampled_from(PIECES), max_size=40).map("".join)


@settings(max_examples=400)
@given(st.lists(st.none() | TEXT | st.text(st.characters(exclude_categories=("Cs",))), max_size=5))
def test_every_sign_is_in_one_sentence_of_its_own_row(texts: list[str | None]) -> None:
    found = sentences.find(pl.Series(texts, dtype=pl.String), Flat.of(pl.Series(texts, dtype=pl.String)))
    for row, text in enumerate(texts):
        place = 0
        for start, end in found.filter(pl.col("row") == row).select("start", "end").iter_rows():
            assert place <= start < end
            assert not (text or "")[place:start].strip(" \t\n\r\x0b\x0c")
            sentence = (text or "")[start:end]
            assert sentence == sentence.strip(" \t\n\r\x0b\x0c")
            place = end
        assert not (text or "")[place:].strip(" \t\n\r\x0b\x0c")
    assert split(texts) == [split([text])[0] for text in texts]  # no row sees another


def test_only_a_loop_is_a_long_sentence_in_limo_traces(shared: Path) -> None:
    long, total = [], 0
    for file in sorted((shared / "traces").glob("limo_*.jsonl")):
        texts = [json.loads(line)["generated_responses"][0] for line in file.open(encoding="utf-8")]
        found = sentences.find(pl.Series(texts))
        total += len(found)
        long += [texts[row][start:end] for row, start, end in found.iter_rows() if end - start > 600]
    assert total > 50_000
    assert len(long) == 1
    assert long[0].endswith("+ 10 + 10 + 10 +")
