"""Markers and token classes of sampled ids, against a way that goes character by character and byte by byte."""

from __future__ import annotations

import random

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epiverb.run import Run
from epiverb.schema import EPISTEMIC
from epiverb.text.lexicon import load
from epiverb.train.marks import Marks
from tests.models.tiny import tiny_tokenizer
from tests.models.vocabularies import KINDS, tokenizer

LEXICON = load("epiverb-en")
WORDS = (
    "Wait", "wait,", "hold on", "maybe", "perhaps", "let me check", "so", "therefore", "clearly", "café", "等等", "😀", "x = 4",
    "I'm not sure", "alternatively", "\n\n", "<think>", "</think>", "await", "actually",
)  # fmt: skip
BPE = tiny_tokenizer()
MARKS = Marks(BPE, LEXICON)


def by_hand(ids: list[int], text: str, hits: pl.DataFrame) -> list[set[str]]:
    """For each token the categories of the hits that share a character with it: one byte, one character at a time."""
    owner = []  # the token of each byte
    table = {char: byte for byte, char in _gpt2().items()}
    for place, index in enumerate(ids):
        token = BPE.convert_ids_to_tokens(index)
        added = index in BPE.added_tokens_decoder
        owner += [place] * (len(token.encode()) if added else len([table[char] for char in token]))
    held: list[set[int]] = [set() for _ in ids]  # the characters of each token
    byte = 0
    for place, char in enumerate(text):
        for _ in char.encode():
            held[owner[byte]].add(place)
            byte += 1
    assert byte == len(owner)
    found: list[set[str]] = [set() for _ in ids]
    for start, end, category in hits.select("start", "end", "category").iter_rows():
        for token, own in enumerate(held):
            if own & set(range(start, end)):
                found[token].add(category)
    return found


def _gpt2() -> dict[int, str]:
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in visible]
    return {byte: chr(byte) for byte in visible} | {byte: chr(256 + i) for i, byte in enumerate(hidden)}


@settings(max_examples=60)
@given(st.lists(st.lists(st.sampled_from(WORDS), max_size=12), min_size=1, max_size=4), st.randoms(), st.booleans())
def test_a_token_is_of_the_marker_whose_character_it_holds(texts, rng, ended):
    rows = []
    for parts in texts:
        text = " ".join(parts)
        cut = rng.randint(0, len(text))  # another cut into tokens than the tokenizer's own
        rows.append(BPE.encode(text[:cut]) + BPE.encode(text[cut:]) + ([BPE.eos_token_id] if ended else []))
    for ids, marked in zip(rows, MARKS(rows), strict=True):
        body = ids[:-1] if ended else ids
        assert marked.text == BPE.decode(body, skip_special_tokens=False)
        assert len(marked.classes) == len(marked.is_marker) == len(ids)
        names = [MARKS.classes[code] for code in marked.classes]
        for name, is_marker, categories in zip(
            names, marked.is_marker, by_hand(body, marked.text, marked.hits), strict=False
        ):
            assert is_marker == bool(categories & set(EPISTEMIC))
            assert name in categories if categories else name == "rest"
        assert not ended or names[-1] == "none"
        assert marked.n_words == len(marked.text.split())
        assert marked.n_lost == 0
        assert sum(marked.counts.values()) == sum(marked.markers.values()) == len(marked.hits)
        assert marked.n_markers == sum(marked.counts[category] for category in EPISTEMIC)


@settings(max_examples=80)
@given(st.lists(st.lists(st.integers(0, len(BPE) - 1), max_size=30), min_size=1, max_size=5))
def test_whatever_is_sampled(rows):
    """Parts of characters, special tokens in the middle: the text is the tokenizer's, and a row is the same alone."""
    together = MARKS(rows)
    for ids, marked in zip(rows, together, strict=True):
        body = ids[:-1] if ids and ids[-1] in MARKS.eos else ids
        assert marked.text == BPE.decode(body, skip_special_tokens=False)
        assert len(marked.classes) == len(ids)
        (alone,) = MARKS([ids])
        assert alone.text == marked.text
        assert (alone.classes == marked.classes).all()
        assert alone.hits.equals(marked.hits)
        special = np.isin(ids, [*BPE.all_special_ids, *MARKS.eos])
        assert (marked.classes[special] == 0).all()


def test_parts_of_a_character():
    wait = BPE.encode(" Wait")
    first, *rest = BPE.encode("é", add_special_tokens=False) if len(BPE.encode("é")) > 1 else _bytes_of("é")
    (marked,) = MARKS([[*wait, first, *rest, *wait]])
    assert marked.text == " Waité Wait"
    assert marked.counts["reconsideration"] == 1  # the first one touches a letter
    assert marked.is_marker.tolist() == [False] * (len(wait) + 1 + len(rest)) + [True] * len(wait)
    (cut,) = MARKS([[first, *wait]])
    assert cut.text == "\ufffd Wait"
    assert cut.is_marker.tolist() == [False] + [True] * len(wait)


def _bytes_of(text: str) -> list[int]:
    alphabet = _gpt2()
    return [BPE.convert_tokens_to_ids(alphabet[byte]) for byte in text.encode()]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_vocabulary(kind):
    tok = tokenizer(kind)
    marks = Marks(tok, LEXICON)
    text = "Maybe it is 12 . Wait , let me check it . Perhaps so ."
    ids = tok.encode(text, add_special_tokens=False)
    (marked,) = marks([[*ids, tok.eos_token_id]])
    assert marked.text.strip() == text or kind == "word-level"
    assert (marked.counts["uncertainty"], marked.counts["reconsideration"], marked.counts["verification"]) == (2, 1, 1)
    assert marked.n_lost == 0
    shown = "".join(tok.convert_ids_to_tokens(i) for i, own in zip(ids, marked.is_marker, strict=False) if own)
    letters = "".join(char for char in shown if char.isalpha()).lower()
    assert "maybe" in letters
    assert "wait" in letters
    assert "perhaps" in letters
    assert "12" not in shown


def test_what_the_prompt_says_is_no_marker_of_the_response(tmp_path):
    """The counts are those that `analyze` finds in the same responses."""
    import json

    import epiverb as ev

    rng = random.Random(3)
    rows, prompts = [], []
    for _ in range(40):
        rows.append(BPE.encode(" ".join(rng.choice(WORDS) for _ in range(rng.randint(0, 25)))))
        prompts.append("Say: wait, maybe so." if rng.random() < 0.5 else "What is 12 + 30?")
    rows[0] = BPE.encode('The task says "wait, maybe so." Wait.')
    prompts[0] = "Say: wait, maybe so."
    marked = MARKS(rows, prompts)
    path = tmp_path / "traces.jsonl"
    told = [
        {"problem_id": str(i), "sample": 0, "response": m.text, "prompt": p, "finish_reason": "length"}
        for i, (m, p) in enumerate(zip(marked, prompts, strict=True))
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in told))
    run: Run = ev.analyze(str(path), out=str(tmp_path / "run"), lexicon=["epiverb-en"], draws=10)
    theirs = run.scan("hits").collect()
    ours = pl.concat([m.hits.with_columns(pl.lit(f"{path}:{i + 1}:0").alias("trace_id")) for i, m in enumerate(marked)])
    columns = ["trace_id", "category", "marker", "start", "end", "segment", "in_loop"]
    as_text = [pl.col(name).cast(pl.String) for name in ("category", "marker", "segment")]
    ours = ours.with_columns(as_text).select(columns).sort("trace_id", "start")
    theirs = theirs.with_columns(as_text).select(columns).sort("trace_id", "start")
    assert len(ours) > 100
    assert ours.rows() == theirs.rows()


def test_nothing_at_all_and_ids_beyond_the_vocabulary():
    assert MARKS([]) == []
    empty, odd = MARKS([[], [10**6, *BPE.encode("Wait")]])
    assert (empty.text, empty.n_words, len(empty.classes)) == ("", 0, 0)
    assert odd.classes[0] == 0
    assert odd.n_markers == 1
