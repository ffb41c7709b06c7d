"""Countdown: an expression of the given numbers that reaches the target, evaluated exactly and without `eval`."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, ClassVar

from epiverb.graders.answers import NO_ANSWER, Found, find
from epiverb.graders.base import Grade, Task
from epiverb.graders.exact import RULES

LONGEST = 500
"""Characters of an expression that are looked at; six numbers need fewer than forty."""
_FRACTION = re.compile(r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}")
_WRITTEN = {"×": "*", "·": "*", "÷": "/", "−": "-", "–": "-", "\\times": "*", "\\cdot": "*", "\\div": "/"}
_WRITTEN |= {"\\left": "", "\\right": "", "[": "(", "]": ")", "\\,": "", "\\ ": " ", "$": ""}


@dataclass(frozen=True)
class CountdownGrader:
    """Right where the answer reaches the target with every given number exactly once and `+ - * /`.

    `Task.extra` holds `numbers` (whole numbers) and `target`; without a target, `gold` is it. The answer is what the last
    `<answer>` tag, box or `Answer:` line holds; ` = 24` behind it is left out.
    """

    LENIENT: ClassVar[dict[str, str]] = {"at-most-once": "numbers may be left unused"}
    lenient: tuple[str, ...] = field(default=())

    def __call__(self, tasks: Sequence[Task]) -> list[Grade]:
        """One grade a task, in their order."""
        return [self._grade(task, found) for task, found in zip(tasks, find(tasks, RULES), strict=True)]

    def _grade(self, task: Task, found: Found | None) -> Grade:
        answer = found.text if found else None
        try:
            given = Counter(int(number) for number in task.extra["numbers"])
            target = Fraction(str(task.extra.get("target", task.gold)))
        except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
            return Grade(None, f"no numbers or no target in the problem ({type(error).__name__})", answer)
        if answer is None:
            return Grade(False, NO_ANSWER)
        try:
            value, used = evaluate(answer)
        except ValueError as error:
            return Grade(False, str(error), answer)
        if used - given:
            return Grade(False, "a number that is not given, or one too often", answer)
        if given - used and "at-most-once" not in self.lenient:
            return Grade(False, "a number is not used", answer)
        return Grade(value == target, "expression", answer)


def evaluate(answer: str) -> tuple[Fraction, Counter[int]]:
    """Value of an arithmetic expression, and the numbers in it.

    Raises:
        ValueError: it holds anything but whole numbers, `+ - * /` and parentheses, or divides by zero.
    """
    if len(answer) > LONGEST:
        raise ValueError("not an expression")
    text = _FRACTION.sub(r"((\1)/(\2))", answer)
    for written, plain in _WRITTEN.items():
        text = text.replace(written, plain)
    text = text.partition("=")[0].strip().rstrip(".")
    try:
        used: Counter[int] = Counter()
        return _value(ast.parse(text, mode="eval").body, used), used
    except ZeroDivisionError:
        raise ValueError("divides by zero") from None
    except (SyntaxError, RecursionError, MemoryError, ValueError):  # ValueError: a NUL, or too many digits
        raise ValueError("not an expression") from None


def _value(node: ast.AST, used: Counter[int]) -> Fraction:
    if isinstance(node, ast.Constant) and type(node.value) is int:
        used[node.value] += 1
        return Fraction(node.value)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_value(node.operand, used)
    if isinstance(node, ast.BinOp):
        left, right = _value(node.left, used), _value(node.right, used)
        operations: dict[type, Any] = {
            ast.Add: "__add__",
            ast.Sub: "__sub__",
            ast.Mult: "__mul__",
            ast.Div: "__truediv__",
        }
        if type(node.op) in operations:
            return getattr(left, operations[type(node.op)])(right)
    raise ValueError("not an expression")
