"""Control words occur as often as the markers they stand for, and are none; the seed chooses among equals."""

from __future__ import annotations

import math
import random

import polars as pl
import pytest

from epiverb.errors import DataError
from epiverb.models.controls import matched, phrase_counts, random_tokens, uses, written_counts
from epiverb.models.pieces import protected_ids
from epiverb.text import lexicon as lexicons
from tests.models.vocabularies import lexicon, tokenizer

OTHERS = [
    f"{a}{b}" for a in ("bal", "cor", "dun", "fir", "gom", "kel", "lun") for b in ("ad", "eg", "on", "ur", "ist", "ap")
]


def text_of(counts: dict[str, int], seed: int = 0) -> pl.Series:
    words = [word for word, n in counts.items() for _ in range(n)]
    random.Random(seed).shuffle(words)
    return pl.Series([" ".join(["x", *words])])


def test_written_words_are_counted_with_what_stands_before_them() -> None:
    counts = written_counts(pl.Series(["Wait, wait. Don't\nWait (wait", "wait", None, "don’t"]))
    assert counts == {"Wait": 1, " wait": 1, " Don't": 1, "\nWait": 1, "(wait": 1, "wait": 1, "don't": 1}
    use = uses(counts)["wait"]
    assert (use.n, use.capitalised, use.spaced) == (5, 2 / 5, 1 / 5)


def test_controls_are_as_frequent_as_markers() -> None:
    zipf = {word: 5 + 600 // (rank + 1) for rank, word in enumerate(OTHERS)}
    texts = text_of({"wait": 300, "maybe": 60, "check": 21, "unlikely": 300, "waiting": 60, **zipf})
    lex = lexicon(reconsideration=["wait", "hmm"], uncertainty=["maybe", "likely"], verification=["check"])
    control = matched(lex, written_counts(texts), seed=0)
    assert len(set(control.words)) == 3
    assert set(control.words) <= set(OTHERS)  # not "unlikely", not "waiting", though they match exactly
    assert set(control.absent) == {"hmm", "likely"}
    for pair in control.pairs:
        # By hand: no unused word is nearer than 0.1 nats beyond the nearest.
        nearest = min(abs(math.log(n / pair["n_form"])) for n in zipf.values())
        assert abs(pair["log_ratio"]) <= max(0.1, nearest + 0.05), pair
        assert pair["n_control"] == zipf[pair["control"]]
    record = control.describe()
    assert record["occurrences"]["markers"] == 381
    assert abs(math.log(record["occurrences"]["controls"] / 381)) < 0.1


def test_the_seed_chooses_among_equals_and_is_repeatable() -> None:
    texts = text_of({"wait": 40, "maybe": 40, **dict.fromkeys(OTHERS, 40)})
    lex = lexicon(reconsideration=["wait"], uncertainty=["maybe"])
    sets = [matched(lex, written_counts(texts), seed=seed).words for seed in (0, 0, 1, 2, 3)]
    assert sets[0] == sets[1]
    assert len(set(sets)) > 1


def test_case_and_place_decide_among_words_of_one_frequency() -> None:
    texts = pl.Series(
        ["Wait\nWait\nWait\nWait x alpha alpha alpha alpha\nBeta\nBeta\nBeta\nBeta x gamma gamma gamma gamma"]
    )
    for seed in range(3):
        control = matched(lexicon(reconsideration=["wait"]), written_counts(texts), seed=seed)
        if control.words == ("beta",):
            assert control.pairs[0]["capitalised"] == [1.0, 1.0]
    three = [matched(lexicon(reconsideration=["wait"]), written_counts(texts), seed=s).words[0] for s in range(40)]
    assert "beta" in three


def test_what_is_steered_within_words_is_matched_by_its_occurrences_within_words() -> None:
    # By hand: wait 10 + waiting 20 = 30, likely 0 + unlikely 8; alpha 10 + alphabet 21 = 31, beta 9. "it" is within wait.
    texts = text_of(
        {"wait": 10, "waiting": 20, "unlikely": 8, "alpha": 10, "alphabet": 21, "beta": 9, "it": 30, "we": 10}
    )
    lex = lexicon("substring", reconsideration=["wait"], uncertainty=["likely"])
    control = matched(lex, written_counts(texts), seed=0, inside_words=True)
    found = {pair["form"]: (pair["n_form"], pair["control"], pair["n_control"]) for pair in control.pairs}
    assert found == {"wait": (30, "alpha", 31), "likely": (8, "beta", 9)}
    assert control.describe()["inside_words"] is True
    free = matched(lex, written_counts(texts), seed=0)
    assert [(pair["form"], pair["n_form"]) for pair in free.pairs] == [("wait", 10)]


def test_control_classes_are_kept_out_unless_wanted() -> None:
    lex = lexicon(reconsideration=["wait"], procedural=["therefore"])
    counts = written_counts(text_of({"wait": 50, "therefore": 50, "balad": 3}))
    assert matched(lex, counts, seed=0).words == ("balad",)
    assert matched(lex, counts, seed=0, keep_controls=True).words == ("therefore",)


def test_phrases_are_matched_by_their_own_count() -> None:
    texts = pl.Series(["Hold on. hold on, balad balad uphold on x", "Not sure; not  sure"])
    lex = lexicon(reconsideration=["hold on"], uncertainty=["not sure"])
    assert phrase_counts(lex, texts) == {"hold on": 2, "not sure": 1}
    control = matched(lex, written_counts(texts), seed=0, phrases=phrase_counts(lex, texts))
    assert {p["form"]: p["n_form"] for p in control.pairs} == {"hold on": 2, "not sure": 1}
    assert control.words[0] == "balad"


def test_no_marker_or_too_little_text_is_said() -> None:
    with pytest.raises(DataError, match="none of the markers"):
        matched(lexicon(reconsideration=["wait"]), {" balad": 3}, seed=0)
    with pytest.raises(DataError, match="0 other words for 1 markers"):
        matched(lexicon(reconsideration=["wait"]), {" wait": 3}, seed=0)


def test_real_traces_have_words_to_match_every_marker(shared) -> None:
    import json

    path = next((shared / "traces").rglob("*.jsonl"), None)
    if path is None:
        pytest.skip("no .jsonl among the shared traces")
    texts = []
    for line in path.read_text().splitlines()[:40]:
        texts += [
            s
            for v in json.loads(line).values()
            for s in (v if isinstance(v, list) else [v])
            if isinstance(s, str) and len(s) > 500
        ]
    lex = lexicons.load("kim2026")
    control = matched(lex, written_counts(pl.Series(texts)), seed=0)
    assert control.describe()["max_abs_log_ratio"] < 0.35


def test_random_tokens_are_words_and_no_markers() -> None:
    own = tokenizer("byte-level")
    lex = lexicon(reconsideration=["wait"], verification=["check"])
    drawn = random_tokens(own, 20, seed=1, lex=lex)
    assert drawn == random_tokens(own, 20, seed=1, lex=lex) != random_tokens(own, 20, seed=2, lex=lex)
    assert not set(drawn) & protected_ids(own)
    texts = [own.decode([i]).strip().lower() for i in drawn]
    assert all(len(t) > 1 and t.isalpha() and "wait" not in t and "check" not in t for t in texts)
    with pytest.raises(DataError, match="tokens that are words"):
        random_tokens(own, 10_000, seed=0)
