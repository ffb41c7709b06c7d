"""Multiple choice: one of the letters A to D in an `<answer>` tag."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from epiverb.graders.answers import NO_ANSWER, Found, Rule, answer_line, answer_tag, boxed, find
from epiverb.graders.base import Grade, Task
from epiverb.graders.exact import NO_GOLD

LETTERS = "ABCDEFGHIJ"
_LETTER = re.compile(r"\W*([A-J])\W*", re.ASCII)
_LABELLED = re.compile(r"\W*([A-Ja-j])(?:[\W_]|$)", re.ASCII)
_DRESSED = re.compile(r"\\(?:text|mathrm|mathbf|textbf|boldsymbol)\s*")


@dataclass(frozen=True)
class ChoiceGrader:
    """Right where the last `<answer>` tag holds the gold letter and no other letter or word.

    An answer that is not one letter is wrong, with the reason `not a letter`: the prompt asks for nothing else.
    """

    LENIENT: ClassVar[dict[str, str]] = {
        "boxed": "a letter in the last box counts where there is no <answer> tag",
        "answer-line": "a letter behind the last `Answer:` counts where there is no <answer> tag",
        "label": "text behind the letter (`B: 2.4`, `(b) benzene`) and lower case are taken for the letter",
    }
    lenient: tuple[str, ...] = field(default=())

    def __call__(self, tasks: Sequence[Task]) -> list[Grade]:
        """One grade a task, in their order."""
        rules: dict[str, Rule] = {"answer tag": answer_tag}
        if "boxed" in self.lenient:
            rules["boxed"] = boxed
        if "answer-line" in self.lenient:
            rules["answer line"] = answer_line
        return [self._grade(task, found) for task, found in zip(tasks, find(tasks, rules), strict=True)]

    def _grade(self, task: Task, found: Found | None) -> Grade:
        gold = (task.gold or "").strip().upper()
        if not gold:
            return NO_GOLD
        if len(gold) != 1 or gold not in LETTERS:
            return Grade(None, "gold is not a letter from A to J", found.text if found else None)
        if found is None:
            return Grade(False, NO_ANSWER)
        letter = self._letter(found.text)
        if letter is None:
            return Grade(False, "not a letter", found.text)
        return Grade(letter == gold, found.rule, letter)

    def _letter(self, answer: str) -> str | None:
        answer = _DRESSED.sub("", answer)
        match = _LETTER.fullmatch(answer)
        if match is None and "label" in self.lenient:
            match = _LABELLED.match(answer)
        return match.group(1).upper() if match else None
