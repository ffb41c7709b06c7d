"""`lab:FAMILY` as a named set: problems like any others, through the ordinary door."""

from __future__ import annotations

import pytest

from epiverb.errors import ConfigError
from epiverb.graders import Task, grade_by
from epiverb.lab.world import FAMILIES, pool
from epiverb.problems import describe, load, read, table


@pytest.mark.parametrize("name", FAMILIES)
def test_problems_are_complete_and_their_own_solutions_are_right(name):
    problems = load(f"lab:{name}?split=train&n=40&seed=2")
    assert len({problem.problem_id for problem in problems}) == 40
    assert {problem.benchmark for problem in problems} == {f"lab:{name}"}
    assert {problem.domain for problem in problems} == {FAMILIES[name].domain}
    tasks = [Task(problem.solution, problem.gold, problem.extra) for problem in problems]
    assert all(grade.correct for grade in grade_by([problem.grader for problem in problems], tasks))
    wrong = [Task(problem.solution, problem.gold, {**problem.extra, "target": 100}) for problem in problems]
    assert not any(grade.correct for grade in grade_by(["countdown"] * 40, wrong))


def test_draws_are_nested_seeded_and_apart():
    small, large = load("lab:countdown-3?split=train&n=8&seed=1"), load("lab:countdown-3?split=train&n=64&seed=1")
    assert large[:8] == small
    assert load("lab:countdown-3?split=train&n=8&seed=2") != small
    train = {problem.problem_id for problem in load("lab:countdown-3?split=train&n=all")}
    test = {problem.problem_id for problem in load("lab:countdown-3?split=test&n=all")}
    assert not train & test
    assert len(test) == len(pool("countdown-3", "test"))
    assert load("lab:countdown-3", seed=1, limit=8) == load("lab:countdown-3?split=test&seed=1&n=8")
    assert len(load("lab:countdown-4")) == 100


def test_coverage_draws_from_it():
    assert len(load("coverage:8@lab:countdown-3?split=train&n=64")) == 8


def test_domain_may_be_said():
    assert {problem.domain for problem in load("lab:countdown-3", domain="ood", limit=3)} == {"ood"}


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("lab", "say which family"),
        ("lab:countdown", "Did you mean"),
        ("lab:countdown-3?n=10000", "1 to 650 test problems"),
        ("lab:countdown-3?n=0", "1 to 650"),
        ("lab:countdown-3?n=some", "whole number"),
        ("lab:countdown-3?split=val", "no split 'val'"),
        ("lab:countdown-3?size=3", "no option 'size'"),
        ("lab:countdown-3@math500", "come from no file"),
        ("lab=x.jsonl", "come from no file"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(spec, said):
    with pytest.raises(ConfigError, match=said):
        read(spec)


def test_it_is_listed_and_described():
    assert "lab" in [row["name"] for row in table()]
    told = describe("lab:countdown-3")
    assert [row["name"] for row in told["families"]] == list(FAMILIES)
    assert told["families"][0]["problems"]["test"] == 650
