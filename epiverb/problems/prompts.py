"""How a question is asked: the instruction behind it, and what published sets had around it."""

from __future__ import annotations

from collections.abc import Callable

BOXED = "Please reason step by step, and put your final answer within \\boxed{}."
"""Source: arXiv 2603.24472 appendix D."""
TAGGED = "Please reason step by step, and put your final answer between <answer> and </answer>."
"""Ours, for puzzles whose answers are not formulas."""

_DAPO_FIRST = "Solve the following math problem step by step."
_DAPO_FORM = (
    "The last line of your response should be of the form Answer: $Answer (without quotes) "
    "where $Answer is the answer to the problem."
)
_DAPO_LAST = 'Remember to put your answer on its own line after "Answer:"'
_ASKS = ("\\boxed", "Answer:", "<answer>")
"""A text with one of these says itself how to answer."""


def bare(question: str) -> str:
    """The question without the instructions around it that are known here.

    Source: beanie00/self-distillation-analysis@bbe1f25 experiments/math/change_math_prompts.py, for those of DAPO-Math.
    """
    if question.startswith(_DAPO_FIRST):
        rest = question[len(_DAPO_FIRST) :].lstrip()
        question = rest[len(_DAPO_FORM) :] if rest.startswith(_DAPO_FORM) else question
    question = question.rstrip()
    for ending in (_DAPO_LAST + ".", _DAPO_LAST, "\n" + BOXED, "\n" + TAGGED):
        if question.endswith(ending):
            question = question[: -len(ending)]
            break
    return question.strip()


def boxed(question: str) -> str:
    """The question as the paper asks it: DAPO's instructions off, the request for a box behind a line break."""
    return question if question.endswith("\n" + BOXED) else f"{bare(question)}\n{BOXED}"


def tagged(question: str) -> str:
    """The question with the request for an answer between tags."""
    return f"{bare(question)}\n{TAGGED}"


def keep(question: str) -> str:
    """The question as it stands."""
    return question


REWRITES: dict[str, Callable[[str], str]] = {"keep": keep, "boxed": boxed, "tagged": tagged}


def asks_for_a_form(question: str) -> bool:
    """Whether the text itself says how to give the answer."""
    return any(mark in question for mark in _ASKS)
