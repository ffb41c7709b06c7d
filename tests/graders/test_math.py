"""Mathematical answers, by provenance of the gold answer; Math-Verify called directly is the independent judge."""

from __future__ import annotations

import json

import pytest
from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify

from epiverb.errors import ConfigError
from epiverb.graders import Task, grade_by, make
from epiverb.graders.math import MathGrader, key, number, same

AIME = [
    ("204", "204", True),
    ("204", "0204", True),
    ("25", "25.0", True),
    ("25", "25.", True),
    ("25", "52", False),
    ("-1", "−1", True),
    ("73", "73.5", False),
]
AMC = [
    ("27.0", "27", True),
    ("27.0", "27 miles", True),
    ("3.0", r"\frac{6}{2}", True),
    ("36.0", "-36", False),
    ("3.14", "3.1", False),
]
MATH = [
    (r"\left( 3, \frac{\pi}{2} \right)", r"(3,\dfrac{\pi}{2})", True),
    (r"\left( 3, \frac{\pi}{2} \right)", r"(\frac{\pi}{2}, 3)", False),
    ("p - q", "p-q", True),
    ("p - q", "q - p", False),
    (r"\frac{14}{3}", "4.666667", True),
    (r"\frac{14}{3}", "4.6", False),
    (r"\text{Evelyn}", r"\text{Evelyn}", True),
    (r"\text{Evelyn}", "Evelyn", True),
    (r"\text{Evelyn}", "Angela", False),
    (r"10\%", "10", True),
    (r"\$32,\!348", "32348", True),
    (r"\$18.90", "18.90", True),
    ("x \\in [-2,7]", "[-2, 7]", True),
    (r"3 \pm 2 \sqrt{2}", r"3 + 2\sqrt{2}, 3 - 2\sqrt{2}", True),
    (r"864 \mbox{ inches}^2", "864", True),
    ("1,-2", "-2, 1", True),
    (r"11\sqrt2", r"11\sqrt{2}", True),
    (r"2k+2", r"2(k+1)", True),
    (r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}", r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", True),
    (r"90^\circ", "90", True),
    (r"4210_{5}", "4210_5", True),
]
WRITTEN = [
    ("42", "４２", True),
    ("42", "٤٢", True),
    ("42", "4\x002", False),
    ("42", "\ud800", False),
    ("12", "1 2", False),
    ("42", "", None),
]


@pytest.mark.parametrize(("gold", "answer", "right"), [*AIME, *AMC, *MATH])
def test_boxed_answers(gold, answer, right):
    assert make("math")([Task(rf"Thus \boxed{{{answer}}}.", gold)])[0].correct is right


def test_digits_of_every_script_and_broken_characters():
    tasks = [Task(rf"\boxed{{{answer}}}", gold) for gold, answer, _ in WRITTEN]
    grades = make("math")(tasks)
    assert [grade.correct for grade in grades] == [bool(right) for *_, right in WRITTEN]
    assert grades[-1].reason == "no answer"


def test_no_answer_is_wrong_and_no_gold_is_unknown():
    nothing, no_gold, blank = make("math")(
        [Task("I think it is 5.", "5"), Task(r"\boxed{5}", None), Task(r"\boxed{5}", " ")]
    )
    assert (nothing.correct, nothing.reason, nothing.answer) == (False, "no answer", None)
    assert (no_gold.correct, no_gold.reason, no_gold.answer) == (None, "no gold answer", "5")
    assert blank.correct is None


def test_same_answer_asked_many_times_is_computed_once():
    tasks = [Task(rf"\boxed{{{'x + 1' if i % 2 else 'x + 2'}}}", "1+x") for i in range(2000)]
    assert [grade.correct for grade in make("math")(tasks)] == [bool(i % 2) for i in range(2000)]


LENIENT = [
    ("45", "0.45", "percent", True),
    ("0.45", "45", "percent", True),
    ("0.45", r"45\%", "percent", True),
    ("45", "4.5", "percent", False),
    ("3.1415", "3.14155", "tolerance", True),
    ("3.1415", "3.1417", "tolerance", False),
]


@pytest.mark.parametrize(("gold", "answer", "option", "right"), LENIENT)
def test_lenient_options(gold, answer, option, right):
    assert make("math", lenient=[option])([Task(rf"\boxed{{{answer}}}", gold)])[0].correct is right


def test_lenient_options_are_off_by_default():
    tasks = [Task(rf"\boxed{{{answer}}}", gold) for gold, answer, *_ in LENIENT if "%" not in answer]
    assert not any(grade.correct for grade in make("math")([*tasks, Task("$\\boxed 5$", "5")]))
    assert make("math", lenient=["bare-boxed"])([Task("$\\boxed 5$", "5")])[0].correct


def test_tail_is_the_training_reward_that_loses_an_answer_before_an_epilogue():
    late, early = Task(r"\boxed{5}" + "." * 91, "5"), Task(r"\boxed{5}" + "." * 92, "5")
    assert [grade.correct for grade in make("math", lenient=["tail"])([late, early])] == [True, False]
    assert [grade.correct for grade in make("math")([late, early])] == [True, True]


def test_unknown_options_and_graders_are_told():
    with pytest.raises(ConfigError, match="Did you mean 'percent'"):
        make("math", lenient=["percant"])
    with pytest.raises(ConfigError, match="Did you mean 'math'"):
        make("maths")
    with pytest.raises(ConfigError, match="no lenient option"):
        make("exact", lenient=["percent"])


def test_each_task_by_its_own_grader():
    tasks = [
        Task(r"\boxed{5}", "5"),
        Task("<answer>B</answer>", "B"),
        Task(r"\boxed{6}", "5"),
        Task("<answer>b c</answer>", "B c."),
    ]
    assert [g.correct for g in grade_by(["math", "choice", "math", "exact"], tasks)] == [True, True, False, True]
    assert [g.correct for g in grade_by(["math", "choice"], tasks[:2], lenient=["percent", "label"])] == [True, True]


def test_answers_too_long_to_parse_are_unknown():
    grade = MathGrader()([Task(r"\boxed{" + "1+" * 50_000 + "1}", "42")])[0]
    assert (grade.correct, grade.reason) == (None, "answer too long to parse")
    assert len(grade.answer) == 1000
    assert MathGrader()([Task(r"\boxed{" + "7" * 5000 + "}", "7" * 5000)])[0].correct


# Agreement with Math-Verify, called directly in this process.

CONFIG = (LatexExtractionConfig(boxed_match_priority=0), ExprExtractionConfig())


def judge(gold: str, answer: str) -> bool:
    left, right = (parse(rf"\boxed{{{text}}}", CONFIG, raise_on_error=True) for text in (gold, answer))
    return verify(left, right, raise_on_error=True)


def test_verdicts_are_those_of_math_verify():
    pairs = [(gold, answer) for gold, answer, _ in [*AIME[:2], *AMC, *MATH]]
    pairs += [(gold, other) for (gold, _), (other, _) in zip(pairs, pairs[3:] + pairs[:3], strict=True)]
    grades = make("math")([Task(rf"\boxed{{{answer}}}", gold) for gold, answer in pairs])
    assert [grade.correct for grade in grades] == [judge(*pair) for pair in pairs]


VARIANTS = [
    lambda text: text.replace(r"\frac", r"\dfrac"),
    lambda text: text.replace("(", r"\left(").replace(")", r"\right)"),
    lambda text: f" ${text}$ " if "$" not in text else text,
    lambda text: text.replace(",", ", ").replace("+", " + ") + ".",
]


def golds(shared) -> list[str]:
    import polars as pl

    rows = pl.read_parquet(shared / "data/evaluation/math500.parquet")["reward_model"].to_list()
    return sorted({str((json.loads(row) if isinstance(row, str) else row)["ground_truth"]) for row in rows})


def test_what_is_decided_without_algebra_is_what_math_verify_says_of_math500(shared):
    decided = 0
    for index, gold in enumerate(golds(shared)[::2]):
        answer = (
            VARIANTS[index % 4](gold).strip().strip("$").removesuffix(".")
            if index % 4 > 1
            else VARIANTS[index % 4](gold)
        )
        quick = same(gold, VARIANTS[index % 4](gold))
        if quick is not None:
            decided += 1
            assert judge(gold, answer) is quick[0], (gold, answer)
    assert decided > 100


def test_whole_numbers_are_decided_as_math_verify_does():
    values = ["0", "-0", "7", "07", "7.0", "-7", "+7", "70", "999999999999999", "999999999999998"]
    for gold in values:
        for answer in values:
            quick = same(gold, answer)
            assert quick is not None
            assert quick[0] is judge(gold, answer), (gold, answer)


def test_real_answers_are_graded_as_math_verify_does(shared):
    tasks = []
    for file in sorted((shared / "traces").glob("base_*.jsonl")):
        for line in file.read_text("utf-8").split("\n"):
            row = json.loads(line) if line else {"generated_responses": []}
            tasks += [Task(response, row["gold_answer"]) for response in row["generated_responses"]]
    some = tasks[::4]
    grades = make("math")(some)
    ours = {(task.gold, grade.answer): grade.correct for task, grade in zip(some, grades, strict=True) if grade.answer}
    assert len(ours) > 100
    assert ours == {pair: judge(*pair) for pair in ours}


@pytest.mark.parametrize(
    ("one", "other"), [("1 2", "12"), (r"\pi r", r"\pir"), ("x y", "xy"), (r"\leftarrow", "arrow"), ("a", "b")]
)
def test_keys_keep_apart_what_differs(one, other):
    assert key(one) != key(other)


def test_plain_numbers():
    assert number("1,000.50") * 2 == 2001
    assert number(r"45\%") * 100 == 45
    assert number("1/2") is None
    assert number("9" * 1001) is None
