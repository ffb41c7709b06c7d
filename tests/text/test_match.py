"""The matcher against plain Python: the published counts, offsets in code points, and rules for what overlaps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epiverb.run import conform
from epiverb.text.cues import CUES
from epiverb.text.lexicon import Lexicon, load
from epiverb.text.match import KELVIN, Matcher

Frame = Callable[..., pl.DataFrame]
Runs = dict[str, pl.DataFrame]

DEFAULT = ("epiverb-en", "kim2026", "kim2026-words", "epiverb-zh", "epiverb-ko", "epiverb-ja")


def kim_words() -> list[str]:
    return [marker for _, marker in load("kim2026").markers]


def substring(forms: dict[str, tuple[str, ...]], match: str = "substring", cancel: tuple[str, ...] = ()) -> Lexicon:
    return Lexicon("mine", "", "", "en", match, True, {"uncertainty": forms}, cancel, (), (), "")


@pytest.fixture(scope="module")
def matcher() -> Matcher:
    """All default lexicons together, as `analyze` uses them: thousands of patterns."""
    return Matcher([*(load(name) for name in DEFAULT), CUES])


@pytest.fixture(scope="module")
def hits(matcher: Matcher, runs: Runs) -> Runs:
    """Hits in the real traces."""
    return {name: matcher.hits(frame) for name, frame in runs.items()}


WORDS = st.sampled_from(
    [*kim_words(), "chec" + KELVIN, "İ", "ß", "🙂", "等等", "é", "\u2028", "\x85", "\r\n", "\ufeff"]
)
ODD = st.lists(
    st.one_of(WORDS, WORDS.map(str.upper), WORDS.map(str.title), st.text("a k.wmh", max_size=3)), max_size=12
)


@given(st.lists(ODD.map("".join), max_size=4))
def test_published_count(matcher: Matcher, frame_of: Frame, texts: list[str]) -> None:
    """`text.lower().count(word)` over the words, as the published script counts."""
    found = matcher.hits(frame_of(texts)).filter(pl.col("lexicon") == "kim2026")
    # U+0130 lowers to two characters; none of the words holds the second.
    expected = [sum(text.lower().count(word) for word in kim_words()) for text in texts]
    assert [int((found["trace_id"] == str(i)).sum()) for i in range(len(texts))] == expected


@given(st.lists(ODD.map(" ".join), max_size=3))
def test_offsets_are_code_points(matcher: Matcher, frame_of: Frame, texts: list[str]) -> None:
    for row in matcher.hits(frame_of(texts)).filter(pl.col("lexicon") != CUES.name).iter_rows(named=True):
        surface = texts[int(row["trace_id"])][row["start"] : row["end"]].lower().replace("’", "'")
        assert surface in load(row["lexicon"]).forms[row["category"]][row["marker"]]


PATTERN = st.text("abké'", min_size=1, max_size=4)


@given(
    st.lists(PATTERN, min_size=1, max_size=6, unique=True),
    st.lists(st.text("abkABK" + KELVIN + "éÉ'’ 等", max_size=20), max_size=3),
)
def test_candidates_by_brute_force(forms: list[str], texts: list[str]) -> None:
    matcher = Matcher([substring({form: (form,) for form in forms})])
    found = matcher.candidates(pl.Series(texts, dtype=pl.String))
    start = found.flat.code_points(found.begin, found.row).tolist()
    got = [(row, at, matcher.patterns[p]) for row, at, p in zip(found.row.tolist(), start, found.pattern, strict=True)]
    expected = []
    for row, text in enumerate(texts):
        low = "".join(c.lower() if c.isascii() else c for c in text)  # other capitals are spellings of their own
        for pattern in matcher.patterns:
            expected += [(row, at, pattern) for at in range(len(low)) if low.startswith(pattern, at)]
    assert sorted(got) == sorted(expected)


def test_markers_that_overlap_themselves_are_counted_once(find: Callable[..., list[tuple[str, str, str]]]) -> None:
    lex = substring({"haha": ("haha",), "ah": ("ah",)})
    text = "hahaha haHAhaha"
    found = [marker for _, marker, _ in find(lex, text)]
    assert found.count("haha") == text.lower().count("haha") == 3
    assert found.count("ah") == text.lower().count("ah")


@given(st.text("aab b", max_size=20))
def test_any_overlap_counts_as_str_count(frame_of: Frame, text: str) -> None:
    lex = substring({word: (word,) for word in ("aa", "aba", "ab")})
    got = Matcher([lex]).hits(frame_of([text]))["marker"].to_list()
    assert {word: got.count(word) for word in ("aa", "aba", "ab")} == {w: text.count(w) for w in ("aa", "aba", "ab")}


def test_the_longest_form_wins_and_cancels(find: Callable[..., list[tuple[str, str, str]]]) -> None:
    lex = substring({"sure": ("sure",), "not sure": ("not sure",)}, "senses", ("sure thing",))
    assert [s for _, _, s in find(lex, "sure, not sure. Sure thing! unsure")] == ["sure", "not sure"]


def test_one_place_is_one_hit_whatever_else_is_searched(
    find: Callable[..., list[tuple[str, str, str]]], frame_of: Frame
) -> None:
    """Another lexicon's longer phrase around a word must not bring the word up twice."""
    phrases = substring({"k again": ("k again",), "check again": ("check again",)})
    hits = Matcher([load("kim2026"), phrases]).hits(frame_of(["check again"]))
    assert hits.filter(pl.col("lexicon") == "kim2026").height == 1
    assert not hits.is_duplicated().any()


def test_words_rule(find: Callable[..., list[tuple[str, str, str]]]) -> None:
    text = "wait, waiting, await; 'Wait' wait2 éwait wait等 _wait_"
    assert len(find(load("kim2026-words"), text)) == 4
    assert len(find(load("kim2026"), text)) == 8


def test_segments_and_loops(frame_of: Frame) -> None:
    text = "wait é <x> wait wait"
    frame = frame_of([text] * 2, thinking_start=[5, None], thinking_end=[11, None], loop_start=[None, 16])
    hits = Matcher([load("kim2026")]).hits(frame)
    assert hits["start"].to_list() == [0, 11, 16] * 2
    assert hits["segment"].to_list() == ["answer"] * 6
    assert hits["in_loop"].to_list() == [False] * 5 + [True]
    inside = Matcher([load("kim2026")]).hits(frame_of([text], thinking_start=[11], thinking_end=[15]))
    assert inside["segment"].to_list() == ["answer", "thinking", "answer"]


def test_null_and_empty_responses_and_slices(frame_of: Frame) -> None:
    frame = frame_of(["wait", None, "", "maybe wait", None])
    kim = Matcher([load("kim2026")])
    assert kim.hits(frame)["trace_id"].to_list() == ["0", "3", "3"]
    assert kim.hits(frame[2:])["trace_id"].to_list() == ["3", "3"]
    assert kim.hits(frame[:0]).height == kim.hits(frame[1:3]).height == 0


def test_no_marker_runs_from_one_response_into_the_next(frame_of: Frame) -> None:
    assert Matcher([load("kim2026")]).hits(frame_of(["wa", "it may", "be hm", "m", "chec"])).is_empty()


@pytest.mark.parametrize("text", ["wait\r\nwait", "\ufeffwait wait", "wait\u2028wait", "wait\x85wait", "🙂wait 🙂wait"])
def test_line_ends_and_marks_are_text(find: Callable[..., list[tuple[str, str, str]]], text: str) -> None:
    assert [s for _, _, s in find(load("kim2026-words"), text)] == ["wait", "wait"]


TOTALS = {
    "limo Qwen3-8B aime": (9898, 9866),
    "limo Qwen3-14B amc": (5281, 5263),
    "limo Qwen2.5-Math-7B amc": (2410, 2404),
    "base Qwen3-8B aime": (527, 525),
    "base Qwen3-14B amc": (7, 6),
    "base Qwen3-14B math": (255, 244),
}


@pytest.mark.parametrize("run", TOTALS)
def test_totals_of_real_runs(hits: Runs, runs: Runs, run: str) -> None:
    found = hits[run]
    totals = tuple(int((found["lexicon"] == name).sum()) for name in ("kim2026", "kim2026-words"))
    assert totals == TOTALS[run]
    assert totals[0] == sum(text.lower().count(word) for text in runs[run]["response"] for word in kim_words())


@pytest.mark.parametrize("run", TOTALS)
def test_hits_of_real_runs_are_what_they_say(hits: Runs, runs: Runs, run: str) -> None:
    found = hits[run].filter(pl.col("lexicon") == "epiverb-en")
    lex, texts = load("epiverb-en"), runs[run]["response"].to_list()
    for trace, category, marker, start, end in found.select(
        "trace_id", "category", "marker", "start", "end"
    ).iter_rows():
        assert texts[int(trace)][start:end].lower().replace("’", "'") in lex.forms[category][marker]
    assert not hits[run].is_duplicated().any()
    assert found.equals(found.sort(pl.col("trace_id").cast(int), "start", maintain_order=True))


def test_a_lexicon_alone_finds_what_it_finds_among_others(hits: Runs, runs: Runs, shared: Path) -> None:
    run = "base Qwen3-8B aime"
    for name in DEFAULT:
        alone, among = Matcher([load(name)]).hits(runs[run]), hits[run].filter(pl.col("lexicon") == name)
        assert conform(alone, "hits").rows() == conform(among, "hits").rows()
