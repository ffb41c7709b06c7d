"""Choices, text, countdown and generated puzzles."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from epiverb.graders import Task, make
from epiverb.graders.countdown import evaluate
from epiverb.graders.exact import normal
from epiverb.graders.gym import packed, unpacked

CHOICES = [
    ("<reasoning>B?</reasoning>\n<answer>\nA\n</answer>", True, "answer tag"),
    ("<answer>A.</answer>", True, "answer tag"),
    ("<answer>(A)</answer>", True, "answer tag"),
    (r"<answer>\text{A}</answer>", True, "answer tag"),
    ("<answer>B</answer> no: <answer>A</answer>", True, "answer tag"),
    ("<answer>B</answer>", False, "answer tag"),
    ("<answer>a</answer>", False, "not a letter"),
    ("<answer>A or B</answer>", False, "not a letter"),
    ("<answer>A: 2.4</answer>", False, "not a letter"),
    (r"\boxed{A}", False, "no answer"),
    ("Answer: A", False, "no answer"),
    ("A", False, "no answer"),
    ("<answer>A", False, "no answer"),
]


@pytest.mark.parametrize(("response", "right", "reason"), CHOICES)
def test_choices(response, right, reason):
    grade = make("choice")([Task(response, "A")])[0]
    assert (grade.correct, grade.reason) == (right, reason)


@pytest.mark.parametrize(
    ("option", "response"),
    [
        ("boxed", r"\boxed{A}"),
        ("boxed", r"\boxed{\text{A}}"),
        ("answer-line", "**Answer:** A"),
        ("label", "<answer>a) benzene</answer>"),
    ],
)
def test_fallbacks_by_name(option, response):
    assert make("choice", lenient=[option])([Task(response, "A")])[0].correct
    assert make("choice", lenient=[option])([Task(response, "B")])[0].correct is False


def test_choice_without_a_letter_as_gold_is_unknown():
    assert [
        g.correct for g in make("choice")([Task("<answer>A</answer>", None), Task("<answer>A</answer>", "benzene")])
    ] == [None, None]


def test_chemistry_golds_are_letters_the_grader_takes(shared):
    rows = [json.loads(line) for line in (shared / "data/chemistry/test.json").read_text("utf-8").split("\n") if line]
    grades = make("choice")(
        [Task(f"<reasoning>x</reasoning><answer>\n{row['answer']}\n</answer>", row["answer"]) for row in rows]
    )
    assert len(grades) > 100
    assert all(grade.correct for grade in grades)


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("New  York.", "new york", True),
        ("Ｎ", "n", True),
        ("$5$", "5", True),
        ("“a”", "a", True),
        ("a b", "ab", False),
        ("5", "5.0", False),
    ],
)
def test_text_is_compared_after_normalisation(one, other, equal):
    assert (normal(one) == normal(other)) is equal
    assert make("exact")([Task(f"<answer>{one}</answer>", other)])[0].correct is equal


COUNTDOWN = [
    ("94*4 - 61 - 6", True, "expression"),
    ("94 × 4 − 61 − 6 = 309", True, "expression"),
    (r"\boxed{94 \times 4 - (61 + 6)}", True, "expression"),
    ("94*4 - 61 - 7", False, "a number that is not given, or one too often"),
    ("94*4 - 61 - 6 - 6", False, "a number that is not given, or one too often"),
    ("94*4 - 61", False, "a number is not used"),
    ("94*4 + 61 - 6", False, "expression"),
    ("94/(6-6)", False, "divides by zero"),
    ("309", False, "a number that is not given, or one too often"),
    ("94**4", False, "not an expression"),
    ("__import__('os').getpid()", False, "not an expression"),
    ("94.0*4-61-6", False, "not an expression"),
    ("(" * 400, False, "not an expression"),
    ("-" * 490 + "1", False, "a number that is not given, or one too often"),
    ("\x00", False, "not an expression"),
    ("9" * 5000, False, "not an expression"),
]


@pytest.mark.parametrize(("answer", "right", "reason"), COUNTDOWN)
def test_countdown(answer, right, reason):
    response = answer if "boxed" in answer else f"<think>6+4</think><answer>{answer}</answer>"
    grade = make("countdown")([Task(response, None, {"numbers": [6, 61, 94, 4], "target": 309})])[0]
    assert (grade.correct, grade.reason) == (right, reason)


def test_countdown_is_exact_and_each_number_counts_as_often_as_it_is_given():
    third = Task("<answer>8 / (3 - 8/3)</answer>", "24", {"numbers": [8, 8, 3, 3]})
    assert make("countdown")([third])[0].correct
    assert evaluate(r"\frac{8}{3} + 1")[0] * 3 == 11
    assert evaluate("8 / (3 - 8/3)")[1] == Counter({8: 2, 3: 2})


def test_countdown_options_and_missing_numbers():
    task = Task("<answer>94*4 - 67</answer>", None, {"numbers": [6, 67, 94, 4], "target": 309})
    assert make("countdown")([task])[0].correct is False
    assert make("countdown", lenient=["at-most-once"])([task])[0].correct
    assert make("countdown")([Task("<answer>1</answer>", "1")])[0].correct is None


def test_puzzles_are_scored_as_the_library_does():
    gym = pytest.importorskip("reasoning_gym")
    tasks, expected = [], []
    for family in ("countdown", "arc_agi", "basic_arithmetic"):
        puzzles = gym.create_dataset(family, size=2, seed=5)
        for entry in puzzles:
            for answer in (entry["answer"], "7", "no idea"):
                tasks.append(
                    Task(f"<think><answer>0</answer></think><answer>{answer}</answer>", None, {"entry": entry})
                )
                expected.append(puzzles.score_answer(answer, entry) == 1)
    assert expected.count(True) >= 6
    assert [grade.correct for grade in make("reasoning-gym")(tasks)] == expected


def test_puzzles_without_entry_are_unknown_and_without_answer_wrong():
    gym = pytest.importorskip("reasoning_gym")
    entry = gym.create_dataset("basic_arithmetic", size=1, seed=5)[0]
    bare = Task(f"<think>x</think> {entry['answer']}", None, {"entry": entry, "family": "basic_arithmetic"})
    assert [g.correct for g in make("reasoning-gym")([Task("<answer>5</answer>"), bare])] == [None, False]
    assert make("reasoning-gym", lenient=["whole"])([bare])[0].correct
    wrong = Task("<answer>5</answer>", None, {"entry": entry, "family": "no_such_family"})
    assert make("reasoning-gym")([wrong])[0].correct is None


def test_entries_pass_through_json_unchanged():
    value = {"a": (1, [2, (3,)]), 4: {"tuple": [], "dict": 1}, "e": {}, "n": None, "f": 0.5}
    assert unpacked(json.loads(json.dumps(packed(value)))) == value
