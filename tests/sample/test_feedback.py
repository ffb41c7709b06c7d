"""Feedback: what a failed test said of an earlier attempt is what the contexts of that name show."""

from __future__ import annotations

import polars as pl
import pytest

from epiverb.contexts import parse
from epiverb.contexts.base import NoMaterial
from epiverb.problems.base import Problem
from epiverb.verbs.sample import NOTHING
from epiverb.verbs.sampling.arms import Placed
from epiverb.verbs.sampling.material import COLUMNS, materials

SAID = "test 2 of 3: printed 5, wanted 4"


def placed(grader, **extra):
    chat = ({"role": "user", "content": "Add two numbers."},)
    return Placed(Problem("p", "sums", chat, "4", grader, extra=extra), "sums", 1)


def earlier(*rows):
    named = [
        dict.fromkeys(COLUMNS) | {"benchmark": "sums", "problem_id": "p", "condition": "none", "sample": i, **row}
        for i, row in enumerate(rows)
    ]
    return pl.DataFrame(named, schema=NOTHING.schema)


def shown(context, one, rows):
    return parse(context)(materials([one], rows, 0)["sums", "p"])


def test_a_failed_test_is_feedback_and_a_wrong_answer_is_not():
    wrong = earlier({"response": "print(5)", "correct": False, "grade_reason": SAID})
    assert shown("feedback", placed("code"), wrong).context == SAID
    assert SAID in shown("feedback", placed("code"), wrong).messages[-1]["content"]
    with pytest.raises(NoMaterial, match="no feedback"):  # a grader of answers says nothing that an environment would
        shown("feedback", placed("math"), wrong)
    assert shown("feedback", placed("math", feedback="Off by one."), wrong).context == "Off by one."


def test_a_solution_goes_before_feedback_or_both_are_shown():
    both = earlier(
        {"response": "print(5)", "correct": False, "grade_reason": SAID},
        {"response": "print(4)", "correct": True, "grade_reason": "passed"},
    )
    assert shown("solution-or-feedback", placed("code"), both).context == "print(4)"
    assert shown("solution-and-feedback", placed("code"), both).context == f"print(4)\n\n{SAID}"
