"""The token table of a lexicon: every case and space, in three kinds of vocabulary; what cannot be written is counted."""

from __future__ import annotations

import pytest

from epiverb.models.pieces import protected_ids, token_bytes
from epiverb.models.tokensets import cases, resolve
from tests.models.vocabularies import KINDS, LINES, lexicon, tokenizer


@pytest.mark.parametrize("kind", KINDS)
def test_the_bytes_of_tokens_are_the_text_that_they_decode_to(kind: str) -> None:
    own = tokenizer(kind)
    pieces = token_bytes(own)
    for line in (*LINES, "naïve 等等 😀" if kind != "word-level" else LINES[0]):
        ids = own.encode(line, add_special_tokens=False)
        assert b"".join(pieces[i] for i in ids).decode().strip() == own.decode(ids).strip()


@pytest.mark.parametrize("kind", KINDS)
def test_no_token_that_is_a_marker_by_itself_is_missed(kind: str) -> None:
    own = tokenizer(kind)
    lex = lexicon(reconsideration=["wait", "hold on"], verification=["check"], uncertainty=["maybe", "zzyzx"])
    found = resolve(lex, own)
    by_decoding = {
        i for i in range(len(own)) if own.decode([i]).strip().lower() in ("wait", "check", "maybe") and i not in protected_ids(own)
    }  # fmt: skip
    assert set(found.singles) == by_decoding
    assert len(by_decoding) >= 3


@pytest.mark.parametrize("kind", KINDS)
def test_sequences_spell_the_marker_and_nothing_else(kind: str) -> None:
    own = tokenizer(kind)
    found = resolve(lexicon(reconsideration=["wait", "hold on"], uncertainty=["maybe"]), own)
    assert tuple({m for ids, m in found.sequences.items() if m == "hold on"}) == ("hold on",)
    for ids, marker in found.sequences.items():
        assert own.decode(list(ids)).strip().lower() == marker
    spaces = {s.space for s in found.spellings if s.marker == "wait"}
    assert spaces == {"none", "space", "newline"}


def test_a_word_that_the_vocabulary_cannot_write_is_said_to_be_so() -> None:
    found = resolve(lexicon(uncertainty=["maybe", "zzyzx"]), tokenizer("word-level"))
    assert list(found.unresolved) == ["zzyzx"]
    assert "unknown token" in found.unresolved["zzyzx"]
    record = found.describe()
    assert (record["n_unresolved"], record["n_markers_resolved"]) == (1, 1)
    assert resolve(lexicon(uncertainty=["maybe", "zzyzx"]), tokenizer("byte-level")).unresolved == {}


def test_controls_are_not_resolved_unless_asked_for() -> None:
    lex = lexicon(uncertainty=["maybe"], procedural=["so"])
    own = tokenizer("byte-level")
    assert {s.marker for s in resolve(lex, own).spellings} == {"maybe"}
    assert {s.marker for s in resolve(lex, own, categories=["procedural"]).spellings} == {"so"}


def test_the_table_has_one_row_a_case_and_space() -> None:
    own = tokenizer("byte-level")
    rows = resolve(lexicon(reconsideration=["wait"]), own).rows
    assert [(r["text"], r["space"]) for r in rows] == [
        (t, s) for t in cases("wait") for s in ("none", "space", "newline")
    ]
    capital = next(r for r in rows if (r["text"], r["space"]) == ("Wait", "none"))
    assert own.decode([int(i) for i in capital["ids"].split()]) == "Wait"


@pytest.mark.parametrize("kind", KINDS)
def test_what_must_not_be_touched(kind: str) -> None:
    own = tokenizer(kind)
    kept = protected_ids(own, more=[7])
    names = {own.convert_ids_to_tokens(i) for i in kept}
    assert {"<eos>", "<pad>", "<think>", "</think>"} <= names
    assert 7 in kept
