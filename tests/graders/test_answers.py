"""Where the final answer is found: boxes, lines, tags, behind the thinking first."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epiverb.graders import Task
from epiverb.graders.answers import answer_line, answer_tag, bare_boxed, boxed, find

BOXES = [
    (r"so \boxed{42}.", "42"),
    (r"\boxed{1} then \boxed{2}", "2"),
    (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
    (r"\boxed {5}", "5"),
    ("\\boxed\n{5}", "5"),
    (r"\fbox{7}", "7"),
    (r"\fbox{\boxed{7}}", "7"),
    (r"\boxed{\boxed{7}}", "7"),
    (r"\boxed{\left\{1, 2\right\}}", r"\left\{1, 2\right\}"),
    (r"\boxed{\{}", r"\{"),
    (r"\boxed{3} and then \boxed{4", "3"),
    (r"\boxed{3} and \boxed{}", "3"),
    (r"put it in \boxed{ }", None),
    (r"} } \boxed{6}", "6"),
    (r"{ \boxed{6}", "6"),
    (r"\boxed{6 { 7}", None),
    (r"boxed{6}", None),
    (r"\boxed 6", None),
    ("", None),
]


@pytest.mark.parametrize(("text", "answer"), BOXES)
def test_boxes(text, answer):
    assert boxed(text) == answer


balanced = st.recursive(
    st.text(st.sampled_from("ab 1+=,."), max_size=5),
    lambda inner: st.lists(st.one_of(inner, inner.map(lambda text: "{" + text + "}")), max_size=4).map("".join),
    max_leaves=20,
)


@given(balanced.filter(str.strip), st.text(st.sampled_from("x{}$ \n"), max_size=30))
def test_any_balanced_content_comes_back(content, before):
    assert boxed(f"{before} \\boxed{{{content}}} end") == content.strip()


@given(st.text(st.sampled_from("\\{}boxed12 "), max_size=60))
def test_content_of_a_box_is_always_balanced(text):
    found = boxed(text)
    if found is not None:
        plain = found.replace("\\\\", "").replace("\\{", "").replace("\\}", "")
        assert plain.count("{") == plain.count("}")


@pytest.mark.parametrize(
    "text", [r"\boxed{" * 50_000, r"\boxed{}" * 50_000, "{" * 400_000 + r"\boxed{1", r"\boxed{" + "}{" * 200_000]
)
def test_time_grows_with_length_alone(text):
    start = time.process_time()
    boxed(text), bare_boxed(text)
    assert time.process_time() - start < 3


LINES = [
    ("Answer: 42", "42"),
    ("Answer: $42$", "42"),
    ("**Answer:** 42", "42"),
    ("**Final Answer**: \\(x^2\\)", "x^2"),
    ("### Final answer: $$7$$.", "7"),
    ("The answer is: 12\nAnswer: 13\n", "13"),
    ("答案\nAnswer：8", "8"),
    ("the answer: is not at the start of this", "is not at the start of this"),
    ("My Answer: 5", None),
    ("Answer:\n5", None),
    ("Answer: $1$ or $2$", "$1$ or $2$"),
]


@pytest.mark.parametrize(("text", "answer"), LINES)
def test_lines(text, answer):
    assert answer_line(text) == answer


def test_last_closed_tag_that_is_not_empty():
    assert answer_tag("<answer>A</answer> no, <answer>\nB\n</answer> <answer></answer> <answer>C") == "B"
    assert answer_tag("A") is None


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("$\\boxed 5$", "5"),
        ("boxed{5}", "5"),
        (r"\boxed{1} so \boxed{5", "5"),
        (r"\boxed{5}", "5"),
        ("none", None),
        ("I boxedly", None),
    ],
)
def test_bare_boxed(text, answer):
    assert bare_boxed(text) == answer


@pytest.mark.parametrize(
    ("response", "answer", "rule"),
    [
        (r"<think>\boxed{1}</think>\boxed{2}", "2", "boxed"),
        (r"<think>\boxed{1}</think>It is one.", "1", "boxed in thinking"),
        (r"<think>a</think>Answer: 2", "2", "answer line"),
        ("<think>\\boxed{1}</think>\nAnswer: 2", "2", "answer line"),
        (r"thinking \boxed{1} </think> \boxed{2}", "2", "boxed"),
        (r"<think>\boxed{1} and on, cut o", "1", "boxed in thinking"),
        (r"no tags \boxed{3}", "3", "boxed"),
    ],
)
def test_behind_the_thinking_first(response, answer, rule):
    assert find([Task(response)], {"boxed": boxed, "answer line": answer_line}) == [(answer, rule)]


def test_thinking_kept_apart_without_tags():
    response = "it may be \\boxed{1}\n\nThe answer is \\boxed{2}, not what I said."
    assert find([Task(response, thinking_end=20)], {"boxed": boxed})[0].text == "2"
    swapped = Task("\\boxed{2}\n\nnothing", thinking_end=9)
    assert find([swapped], {"boxed": boxed}) == [("2", "boxed in thinking")]
