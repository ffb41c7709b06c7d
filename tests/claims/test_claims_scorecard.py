"""Verdicts from run folders with known accuracies and markers."""

from __future__ import annotations

import json

import pytest

from epiverb.lab.claims.plan import plan, scale
from epiverb.lab.claims.quantities import Runs
from epiverb.lab.claims.registry import claims
from epiverb.lab.claims.scorecard import hashes, scored, shipped
from epiverb.lab.claims.verdict import Test as Tried
from epiverb.lab.claims.verdict import measured
from tests.claims.conftest import traces


@pytest.fixture
def folder(tmp_path, settled):
    """Three seeds: the base right in 80 % with three doubts, SDPO in 30 % with none, GRPO in 85 % with four."""
    out = tmp_path / "claims"
    for seed in range(3):
        settled(out, "base", seed, traces(0.8, doubts=3, seed=seed))
        settled(out, "sdpo", seed, traces(0.3, doubts=0, seed=10 + seed))
        settled(out, "grpo", seed, traces(0.85, doubts=4, seed=20 + seed))
    return out


def test_the_scorecard_of_a_folder(folder, epiverb):
    card = epiverb("claims", "show", "--from", folder, "--json").json
    by_id = {claim["id"]: claim for claim in card["claims"]}
    eight = by_id["8"]
    assert eight["verdict"] == "supported"
    first = eight["tests"][0]["figure"]
    assert first["lo"] < -0.5 < first["hi"] < -0.3
    assert (first["n_seeds"], first["n_problems"]) == (3, 36)  # three families of twelve problems
    markers = eight["tests"][3]
    assert markers["figure"]["value"] == pytest.approx(-4.0)
    assert markers["by_other_lexicon"]["value"] == pytest.approx(-4.0)
    assert by_id["23"]["verdict"] == "supported"
    assert by_id["9"]["verdict"] == "not run"
    assert by_id["9"]["reason"] == "not there yet: sdpo-no-think"
    assert "commands" in by_id["9"]
    assert card["arms"]["sdpo"]["seeds"] == [0, 1, 2]


def test_a_claim_that_the_runs_speak_against_is_contradicted(folder, epiverb):
    text = epiverb("claims", "show", "--from", folder).out
    assert "supported" in text
    runs = Runs(folder, scale("lab"))
    seeds = {"base": [0, 1, 2], "sdpo": [0, 1, 2], "grpo": [0, 1, 2]}
    told = scored(claims()["13"], runs, seeds)  # GRPO adds markers, SDPO removes them
    assert told["verdict"] == "supported"
    against = Tried("SDPO - base", "accuracy(sdpo) - accuracy(base)", "> 0")
    assert measured(runs, against, seeds).outcome(1) == "opposite"


def test_seeds_and_problems_are_those_that_all_arms_have(folder, settled):
    settled(folder, "ban", 0, traces(0.8, doubts=0, seed=3, n=6))
    runs = Runs(folder, scale("lab"))
    found = measured(runs, Tried("", "accuracy(ban) - accuracy(base)", "< 0"), {"ban": [0], "base": [0, 1, 2]})
    assert (found.figures[0].n_seeds, found.figures[0].n_problems) == (1, 24)


def test_words_are_told_one_by_one(folder):
    runs = Runs(folder, scale("lab"))
    seeds = {"base": [0, 1, 2], "sdpo": [0, 1, 2]}
    by_word = Tried("", "words(sdpo, among=markers) - words(base, among=markers)", "< 0")
    found = measured(runs, by_word, seeds)
    assert found.keys == [None] or found.keys == ["wait"]
    assert found.figures[0].value == pytest.approx(-3.0)
    every = measured(runs, Tried("", "words(sdpo) - words(base)", "< 0"), seeds)
    words = dict(zip(every.keys, (figure.value for figure in every.figures), strict=True))
    assert words["first"] == pytest.approx(-3.0)
    assert words["answer"] == pytest.approx(0.0)


def test_doubts_about_wrong_values(folder):
    runs = Runs(folder, scale("lab"))
    found = measured(runs, Tried("", "doubted(base)", "< 0.5"), {"base": [0, 1, 2]})
    assert found.figures[0].value == pytest.approx(11 / 12)  # p8 states 8, which is the target
    assert found.outcome(1) == "opposite"


def test_pass_at_k_is_unbiased(folder):
    runs = Runs(folder, scale("lab"))
    seeds = {"base": [0, 1, 2]}
    one, mean = (
        measured(runs, Tried("", text, "> 0"), seeds).figures[0].value
        for text in ("pass_at(base, k=1)", "accuracy(base)")
    )
    assert one == pytest.approx(mean)
    assert measured(runs, Tried("", "pass_at(base, k=4)", "> 0"), seeds).figures[0].value > mean


def test_one_claim_is_shown_with_rules_and_commands(folder, epiverb):
    text = epiverb("claims", "show", "--only", "8", "--from", folder).out
    assert "accuracy(sdpo, ood) - accuracy(base, ood) < 0" in text
    assert "epiverb train sdpo" in text
    assert "predicted" in text


def test_without_results_every_claim_says_how_to_get_one(epiverb, monkeypatch, tmp_path):
    monkeypatch.setattr("epiverb.verbs.claims.shipped", lambda: tmp_path / "none.json")
    called = epiverb("claims", "show")
    assert "no results are shipped" in called.err
    assert "epiverb claims run --scale lab --seeds 5" in called.err
    assert "46 not run" in called.out
    assert "epiverb claims run --scale paper --only 10" in epiverb("claims", "show", "--only", "10").out
    assert epiverb("claims", "show", "--only", "31").code == 2
    assert epiverb("claims", "show", "--from", tmp_path).code == 2


def test_shipped_results_are_of_the_shipped_bases_and_rules():
    if not shipped().is_file():
        pytest.skip("no results are shipped yet: docs/design/claims.md says how to make them")
    card = json.loads(shipped().read_text("utf-8"))
    where = scale(card["scale"])
    assert card["models"] == hashes(where, plan(where, card["arms"], 1))
    for claim in card["claims"]:
        rules = {(test.says, test.value, test.expect) for test in claims()[claim["id"]].tests}
        assert {(test["says"], test["value"], test["expect"]) for test in claim["tests"]} <= rules
        assert claim["verdict"] == "not run" or len(claim["tests"]) == len(rules)
