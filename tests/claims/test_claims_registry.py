"""The registry: all thirty claims, formulas and rules that can be read, commands that the command line takes."""

from __future__ import annotations

import numpy as np
import pytest

from epiverb.cli import app as cli
from epiverb.errors import ConfigError
from epiverb.lab.claims import plan
from epiverb.lab.claims.formula import FUNCTIONS, Call, Formula
from epiverb.lab.claims.quantities import QUANTITIES
from epiverb.lab.claims.registry import chosen, claims
from epiverb.lab.claims.verdict import side, verdict

ASKED_FOR = ("1", "2", "3", "4", "5", "7", "8", "9", "12", "14", "15", "16", "18", "19", "23", "24", "25", "26")


def test_all_thirty_are_there_and_say_whose_they_are():
    assert [name for name in claims() if name.isdecimal()] == [str(i) for i in range(1, 31)]
    for claim in claims().values():
        assert claim.title
        assert claim.source
        assert claim.tests or claim.limits, f"{claim.id} has neither a test nor a reason"
        assert claim.theirs or not claim.id.isdecimal()


@pytest.mark.parametrize("name", claims())
def test_each_rule_is_about_arms_and_quantities_that_there_are(name):
    claim = claims()[name]
    groups = {group for where in plan.SCALES for group in plan.scale(where).groups}
    for test in claim.tests:
        assert test.rule[0] in "<>"
        for call in test.formula.calls:
            assert call.quantity in QUANTITIES
            assert call.where is None or call.where in groups
            assert call.step is None or call.step in plan.arm(call.arm).steps


def test_the_lab_carries_what_it_was_built_for():
    assert all("lab" in claims()[name].runs_at for name in ASKED_FOR)
    assert "lab" not in claims()["10"].runs_at
    assert claims()["27"].runs_at == []


def test_every_arm_serves_a_claim():
    needed = {key.partition("/")[0] for where in plan.SCALES for key in _keys(where)}
    assert set(plan.arms()) == needed


def _keys(where: str) -> list[str]:
    at = plan.scale(where)
    names = [arm for claim in claims().values() if claim.lacks(at) is None for arm in claim.arms]
    return [step.key for step in plan.plan(at, names, 1)]


@pytest.mark.parametrize("where", plan.SCALES)
def test_the_command_line_takes_every_command(where, monkeypatch):
    from typer.testing import CliRunner

    at, seen = plan.scale(where), []
    monkeypatch.setattr(cli, "execute", lambda command, config, **common: seen.append(config))
    steps = plan.plan(at, [name for name in plan.arms() if plan.lacks(at, name) is None], 2)
    for step in steps:
        result = CliRunner().invoke(cli.app, [plan.here(w, plan.Path()) if "recipes/" in w else w for w in step.words])
        assert result.exit_code == 0, f"{step}: {result.exception}"
    assert len(seen) == len(steps)


def test_steps_stand_behind_what_they_need_and_core_arms_come_first():
    steps = plan.plan(plan.scale("lab"), ["sft-guided", "sdpo", "insert"], 4)
    keys = [step.key for step in steps]
    for i, step in enumerate(steps):
        assert set(step.needs) <= set(keys[:i])
    assert keys.index("insert/seed3/eval") < keys.index("sources/seed0/own")
    assert not any(key.startswith("sft-guided/seed3") for key in keys)  # it has three seeds


def test_an_unknown_name_suggests_another():
    with pytest.raises(ConfigError, match="remedy-preserve"):
        chosen(["remedy-preserv"])
    with pytest.raises(ConfigError, match="steps"):
        plan.scale("lab").but({}, {"step": "1"})


def test_formulas_compute_and_name_what_they_need():
    formula = Formula("accuracy(sdpo-no-think, far) / 2 - tokens(sdpo.seen, condition='a-b@0.5') * -1")
    first, second = formula.calls
    assert first == Call("accuracy", "sdpo-no-think", None, "far")
    assert second == Call("tokens", "sdpo", "seen", None, (("condition", "a-b@0.5"),))
    values = {first: np.array([[4.0]]), second: np.array([[3.0]])}
    assert formula(values.__getitem__).tolist() == [[5.0]]


def test_slope_and_rank_correlation():
    points = [np.array([[0.1]]), np.array([[0.3]]), np.array([[0.5]])]
    assert FUNCTIONS["slope"](*points)[0, 0] == pytest.approx(0.2)
    x = np.array([[1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0]])
    y = np.array([[1.0, 4.0, 9.0, 16.0], [4.0, 3.0, 2.0, 1.0]])
    assert FUNCTIONS["spearman"](x, y)[:, 0] == pytest.approx([1.0, -1.0])


@pytest.mark.parametrize(
    "text", ["__import__('os').system('true')", "accuracy", "accuracy('x')", "accuracy(base) if 1 else 2", "1 +"]
)
def test_what_is_no_formula_is_refused(text):
    with pytest.raises(ConfigError):
        Formula(text)


def test_sides_and_verdicts():
    assert side((-2, -1), "<", 0.0) == "predicted"
    assert side((1, 2), "<", 0.0) == "opposite"
    assert side((-1, 2), "<", 0.0) == "undecided"
    assert side((-0.04, 0.02), ">", -0.05) == "predicted"
    assert side(None, "<", 0.0) == "undecided"
    assert verdict(["predicted", "predicted"]) == "supported"
    assert verdict(["predicted", "undecided"]) == "undecided"
    assert verdict(["predicted", "opposite"]) == "contradicted"
    assert verdict(["opposite"], checks=["undecided"]) == "undecided"


def test_the_shipped_scorecard_has_five_seeds_and_is_shown(epiverb):
    called = epiverb("claims", "show", "--json")
    assert called.code == 0, called.err
    shown = {claim["id"]: claim for claim in called.json["claims"]}
    tested = [claim for claim in shown.values() if claim["tests"]]
    assert len(tested) >= 8
    assert {test["figure"]["n_seeds"] for claim in tested for test in claim["tests"]} == {5}
    assert shown["8"]["verdict"] == "supported"
    assert epiverb("claims", "show").code == 0
