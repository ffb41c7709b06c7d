"""Answers compared as text after normalisation."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from epiverb.graders.answers import NO_ANSWER, Rule, answer_line, answer_tag, boxed, find, unwrapped
from epiverb.graders.base import Grade, Task

RULES: dict[str, Rule] = {"answer tag": answer_tag, "boxed": boxed, "answer line": answer_line}
NO_GOLD = Grade(None, "no gold answer")


def normal(text: str) -> str:
    r"""`text` as it is compared: NFKC, case folded, a run of white space one space, `$`, `\(`, stars, quotes and a
    final full stop at the ends left out."""
    text = unwrapped(" ".join(unicodedata.normalize("NFKC", text).casefold().split()))
    return text.removesuffix(".").strip("\"'“”‘’ ")


@dataclass(frozen=True)
class ExactGrader:
    """Right where the answer in the last `<answer>` tag, box or `Answer:` line is the gold answer, see `normal`."""

    def __call__(self, tasks: Sequence[Task]) -> list[Grade]:
        """One grade a task, in their order."""
        grades = []
        for task, found in zip(tasks, find(tasks, RULES), strict=True):
            if task.gold is None or not normal(task.gold):
                grades.append(NO_GOLD)
            elif found is None:
                grades.append(Grade(False, NO_ANSWER))
            else:
                grades.append(Grade(normal(found.text) == normal(task.gold), found.rule, found.text))
        return grades
