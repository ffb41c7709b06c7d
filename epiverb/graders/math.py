"""Mathematical answers: equal to the gold answer as an expression, decided by Math-Verify in worker processes.

Most answers are whole numbers or the gold answer as it stands; these are decided here, with the verdict that Math-Verify
would give. The others go to the workers. A time limit, a memory limit or an error there leaves the grade unknown: Math-
Verify itself calls such an answer wrong.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from typing import ClassVar

from epiverb.graders.answers import NO_ANSWER, Found, Rule, answer_line, bare_boxed, boxed, find
from epiverb.graders.base import Grade, Task
from epiverb.graders.exact import NO_GOLD
from epiverb.graders.workers import Workers

LONGEST = 1000
"""Characters of an answer beyond which it is not parsed. The longest gold answer of MATH-500 has 149."""
TOLERANCE = Fraction(1, 10_000)
TAIL = 100

_SPACES = re.compile(r"\\[,;: ]|~|\s+|\\(?:displaystyle|quad|qquad)(?![A-Za-z])")
_NOTHING = re.compile(r"\\!|\\(?:left|right)(?![A-Za-z])")
_FRACTIONS = re.compile(r"\\[dt]frac(?![A-Za-z])")
_LOOSE = re.compile(r"(?<=\W) | (?=\W)", re.ASCII)
_WHOLE = re.compile(r"([+-]?[0-9]{1,15})(?:\.0*)?")
_NUMBER = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(\\?%)?")


@dataclass(frozen=True)
class MathGrader:
    r"""Right where the last non-empty `\boxed{}` (else the last `Answer:` line) equals the gold answer.

    Verdicts are those of Math-Verify 0.9 on the two answers, each in a box. Digits of every script are digits.
    """

    LENIENT: ClassVar[dict[str, str]] = {
        "percent": "a number also counts where a hundredth or a hundred times it is the gold one (0.45, 45 %, 45)",
        "tolerance": "numbers are equal where they differ by at most 0.0001",
        "bare-boxed": "without a box, what follows the last word `boxed` counts, up to the next `$`",
        "tail": "only the last 100 characters are searched, as in the published training reward",
    }
    """Source: the evaluation (first three) and training code (the last, which is stricter) of arXiv 2603.24472."""
    lenient: tuple[str, ...] = field(default=())
    limit: float = 3.0
    """Seconds of processor time for one answer, as in the published evaluation; the slowest of 680 real ones took 0.5."""

    def __call__(self, tasks: Sequence[Task]) -> list[Grade]:
        """One grade a task, in their order."""
        answers = self._answers(tasks)
        grades: list[Grade | None] = []
        jobs: dict[tuple[str, str], list[int]] = {}
        for row, (task, found) in enumerate(zip(tasks, answers, strict=True)):
            grade = self._grade_here(task.gold, found)
            grades.append(grade)
            if grade is None and found is not None:
                jobs.setdefault((plain(task.gold or ""), plain(found.text)), []).append(row)
        for rows, outcome in zip(jobs.values(), _workers(self.limit).map(list(jobs)) if jobs else (), strict=True):
            for row in rows:
                text, rule = answers[row]  # type: ignore[misc]  # only answers that were found are jobs
                failure = outcome.failure or outcome.value["failure"]
                equal = None if failure else outcome.value["equal"]
                grades[row] = Grade(equal, failure or f"{rule}: math-verify", text)
        return [grade for grade in grades if grade is not None]

    def _answers(self, tasks: Sequence[Task]) -> list[Found | None]:
        rules: dict[str, Rule] = {"boxed": boxed, "answer line": answer_line}
        if "bare-boxed" in self.lenient:
            rules["bare boxed"] = bare_boxed
        if "tail" in self.lenient:
            tasks = [Task(task.response[-TAIL:]) for task in tasks]
        return find(tasks, rules)

    def _grade_here(self, gold: str | None, found: Found | None) -> Grade | None:
        """The grade where it can be had without a worker."""
        if gold is None or not gold.strip():
            return Grade(None, NO_GOLD.reason, found.text if found else None)
        if found is None:
            return Grade(False, NO_ANSWER)
        quick = same(gold, found.text)
        if quick is not None:
            return Grade(quick[0], f"{found.rule}: {quick[1]}", found.text)
        close = self._close(gold, found.text)
        if close:
            return Grade(True, f"{found.rule}: {close}", found.text)
        if max(len(found.text), len(gold)) > LONGEST:
            longer = "answer" if len(found.text) > LONGEST else "gold answer"
            return Grade(None, f"{longer} too long to parse", found.text[:LONGEST])
        return None

    def _close(self, gold: str, answer: str) -> str | None:
        """The lenient option by which two plain numbers are equal."""
        right, given = number(gold), number(answer)
        if right is None or given is None:
            return None
        allowed = TOLERANCE if "tolerance" in self.lenient else Fraction(0)
        if "tolerance" in self.lenient and abs(right - given) <= allowed:
            return "tolerance"
        scaled = any(abs(right * scale - given) <= allowed for scale in (100, Fraction(1, 100)))
        return "percent" if "percent" in self.lenient and scaled else None


def same(gold: str, answer: str) -> tuple[bool, str] | None:
    """Whether two answers are equal, and why, where it can be told without algebra."""
    left, right = key(gold), key(answer)
    if left == right:
        return True, "same text"
    first, second = _WHOLE.fullmatch(left), _WHOLE.fullmatch(right)
    if first and second:
        return int(first.group(1)) == int(second.group(1)), "whole numbers"
    return None


def key(answer: str) -> str:
    r"""`answer` such that two with the same key are equal: without LaTeX's spacing, `\left` and `\right`, outer dollars.

    A space between two letters or digits stays: `1 2` is not `12`.
    """
    text = plain(answer)
    text = _FRACTIONS.sub(r"\\frac", _NOTHING.sub("", _SPACES.sub(" ", text)))
    text = " ".join(text.strip("$ ").removesuffix(".").split())
    return _LOOSE.sub("", text)


def plain(answer: str) -> str:
    """`answer` with the digits of every script as 0 to 9, minus signs as `-`, control characters as spaces and no full
    stop at its end, which Math-Verify would stumble over."""
    if not (answer.isascii() and answer.isprintable()):
        answer = "".join(_plain(char) for char in answer)
    return answer.strip().removesuffix(".").rstrip()


def _plain(char: str) -> str:
    if char in "−﹣-":
        return "-"
    category = unicodedata.category(char)
    if category == "Nd":
        return str(unicodedata.decimal(char))
    return " " if category in ("Cc", "Cf", "Cs") else char


def number(answer: str) -> Fraction | None:
    """The value of a plain decimal number or percentage, `45%` being 0.45; None for anything else."""
    match = _NUMBER.fullmatch(key(answer).replace(",", "").replace("$", ""))
    if match is None or len(match.group(1)) > LONGEST:
        return None
    return Fraction(match.group(1)) / (100 if match.group(2) else 1)


@cache
def _workers(limit: float) -> Workers:
    """The workers of all graders with this time limit."""
    return Workers("epiverb.graders.algebra:compare", limit=limit)
