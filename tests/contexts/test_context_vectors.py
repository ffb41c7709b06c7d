"""The messages that the reference implementations' own functions built, rebuilt."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from epiverb.contexts.base import Material, NoMaterial
from epiverb.contexts.kinds import Guided
from epiverb.contexts.parts import without_thinking
from epiverb.contexts.templates import TEMPLATES


@pytest.fixture(scope="module")
def cases(shared):
    file = shared / "vectors" / "training.json"
    if not file.is_file():
        pytest.skip(f"needs {file}")
    return {case["name"]: case for case in json.loads(file.read_text("utf-8"))["cases"]}


NAMES = [
    "reprompt_lasgroup_yaml_defaults",
    "reprompt_lasgroup_no_feedback_keep_thinking",
    "reprompt_lasgroup_self_success_allowed",
    "reprompt_lasgroup_feedback_always",
    "reprompt_paper_c=s (remove_thinking False, no feedback)",
    "reprompt_paper_c=s_without_think",
]
SHOWS = Guided("", ("solution", "feedback"), "sdpo-yaml", thinking=False)


def demonstration(inputs, i):
    """The first success of the same question in batch order, but for the sample itself unless that is allowed."""
    alone = inputs["overrides"].get("dont_reprompt_on_self_success", True)
    for j, (uid, reward) in enumerate(zip(inputs["uid"], inputs["rewards"], strict=True)):
        if uid == inputs["uid"][i] and reward and not (alone and i == j):
            return inputs["responses"][j]
    return None


def test_all_reprompt_cases_are_known(cases):
    assert [name for name in cases if name.startswith("reprompt_")] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_reprompts(cases, name):
    inputs, expected = cases[name]["inputs"], cases[name]["expected"]
    options = inputs["overrides"]
    context = replace(
        SHOWS,
        thinking=not options.get("remove_thinking_from_demonstration", "lasgroup" in name),
        together=not options.get("environment_feedback_only_without_solution", True),
        needs=("solution", "feedback") if options.get("include_environment_feedback", True) else ("solution",),
    )
    for i, (messages, used) in enumerate(zip(expected["messages"], expected["self_distillation_mask"], strict=True)):
        material = Material(tuple(inputs["prompt"]), solution=demonstration(inputs, i), feedback=inputs["feedback"][i])
        # Published code without the orphan rule keeps `open</think>`; the paper's, and ours, does not.
        keeps = "lasgroup" in name and material.solution == "open</think>tail 4"
        try:
            shown = list((replace(context, thinking=True) if keeps else context)(material).messages)
        except NoMaterial:
            shown = None
        assert (shown is not None) == bool(used)
        assert (shown or inputs["prompt"]) == messages


def test_removed_thinking(cases):
    case = cases["remove_thinking"]
    assert [without_thinking(text) for text in case["inputs"]["texts"]] == case["expected"]["paper"]


@pytest.mark.parametrize(("name", "key"), [("sdpo-yaml", "yaml"), ("sdpo-dataclass", "dataclass")])
def test_templates(cases, name, key):
    ours = TEMPLATES[name]
    assert cases["templates"]["expected"][key] == {
        "reprompt_template": ours.reprompt,
        "solution_template": ours.solution,
        "feedback_template": ours.feedback,
    }
