"""Generated puzzles: the library really makes them, and its own verifiers accept the gold answers."""

from __future__ import annotations

import json

import pytest

from epiverb.errors import ConfigError
from epiverb.problems import load, read

gym = pytest.importorskip("reasoning_gym")


@pytest.mark.parametrize(
    "family", ["countdown", "chain_sum", "spell_backward", "gcd", "number_sorting", "family_relationships", "maze"]
)
def test_families(family):
    problems = load(f"reasoning-gym:{family}?size=12&seed=3")
    assert len(problems) <= 12
    assert len({problem.problem_id for problem in problems}) == len(problems) > 5
    score = gym.get_score_answer_fn(family)
    for problem in problems:
        assert (problem.benchmark, problem.grader) == (f"reasoning-gym:{family}", "reasoning-gym")
        assert problem.messages[-1]["content"].startswith(problem.extra["entry"]["question"].strip())
        assert problem.extra["entry"]["metadata"]["source_dataset"] == problem.extra["family"] == family
        assert score(answer=problem.gold, entry=problem.extra["entry"]) == 1.0
        assert score(answer="no such answer", entry=problem.extra["entry"]) < 1.0


def test_seed_size_and_difficulty():
    spec = "reasoning-gym:countdown?size=10&seed=1&min_numbers=3&max_numbers=3&max_target=50&min_target=10"
    problems = load(spec)
    assert problems == load(spec) == load(spec.replace("&seed=1", ""), seed=1)
    assert problems[0].extra["config"] == {"min_numbers": 3, "max_numbers": 3, "max_target": 50, "min_target": 10}
    assert {len(problem.extra["entry"]["metadata"]["numbers"]) for problem in problems} == {3}
    assert all(10 <= problem.extra["entry"]["metadata"]["target"] <= 50 for problem in problems)
    assert {p.problem_id for p in problems}.isdisjoint(p.problem_id for p in load(spec.replace("seed=1", "seed=2")))
    longer = load(spec.replace("size=10", "size=20"))
    assert longer[: len(problems)] == problems
    assert len(load("reasoning-gym:countdown", limit=4)) == 4


def test_a_small_family_repeats_itself_and_says_so():
    loaded = read("reasoning-gym:coin_flip?size=200&seed=0&min_trials=1&max_trials=2")
    assert len(loaded.problems) + loaded.n_repeated == loaded.n_rows == 200
    assert loaded.n_repeated > 0
    assert "repeat an earlier one" in loaded.notes[0]


def test_coverage_of_generated_puzzles():
    drawn = load("coverage:8@reasoning-gym:chain_sum?size=64&seed=2", seed=1)
    assert len(drawn) == 8
    assert {p.problem_id for p in drawn} < {p.problem_id for p in load("reasoning-gym:chain_sum?size=64&seed=2")}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("reasoning-gym:countdwn", "Did you mean 'countdown'"),
        ("reasoning-gym", "no family ''"),
        ("reasoning-gym:countdown?max_nums=3", "has no option 'max_nums'"),
        ("reasoning-gym:countdown?min_numbers=9&max_numbers=2", "does not take these options"),
        ("reasoning-gym:countdown?seed=x", "seed is a whole number"),
        ("reasoning-gym:countdown?size=many", "does not take these options"),
        ("reasoning-gym:countdown@math500", "come from no file"),
    ],
)
def test_bad_options(spec, message):
    with pytest.raises(ConfigError, match=message):
        load(spec)


def test_entries_can_be_written_down():
    for family in ("countdown", "family_relationships", "maze"):
        for problem in load(f"reasoning-gym:{family}?size=3"):
            assert json.loads(json.dumps(problem.extra)).keys() == problem.extra.keys()
