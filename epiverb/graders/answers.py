"""Where the final answer of a response stands: the last box, `Answer:` line or `<answer>` tag, behind the thinking first.

An answer behind the thinking counts before one inside it, since a model may box an idea and then think again. Where
nothing behind the thinking holds an answer, or the thinking was never closed, the last one inside it counts, and the
reason says so: the published graders look at the whole text, and so reach the same verdict.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import polars as pl

from epiverb.graders.base import Task
from epiverb.text import thinking

Rule = Callable[[str], "str | None"]

NO_ANSWER = "no answer"
"""The response gives no final answer in the form asked for: wrong, not unknown."""

_CLOSINGS = (*(tags.closing for tags in thinking.FAMILIES), *(closing for _, closing in thinking.WORDED))
_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_WORD = re.compile(r"boxed(?![A-Za-z])")
_LINE = re.compile(
    r"^[ \t>#*_-]*(?:the[ \t]+)?(?:final[ \t]+|correct[ \t]+)?answer(?:[ \t]+is)?[ \t*_]*[:：][ \t*_]*(\S[^\r\n]*)",
    re.IGNORECASE | re.MULTILINE,
)
_TAG = re.compile(r"<answer>(.*?)</answer>", re.IGNORECASE | re.DOTALL)
_WRAPPED = re.compile(r"\s*(?:\$\$?(.+?)\$?\$|\\\((.+?)\\\)|\\\[(.+?)\\\])[\s.]*", re.DOTALL)


class Found(NamedTuple):
    """A final answer, and the rule that found it."""

    text: str
    rule: str


def find(tasks: Sequence[Task], rules: dict[str, Rule]) -> list[Found | None]:
    """The final answer of each response by the first of `rules` that finds one, None where there is none."""
    # A lone surrogate, which JSON can hold, is no Unicode text; it becomes one `?`, so that offsets stay.
    texts = [task.response.encode("utf-8", "replace").decode("utf-8") for task in tasks]
    split = thinking.spans(pl.Series("response", texts, dtype=pl.String))
    return [
        _find(text, end, is_open, rules) if task.thinking_end is None else _find(text, task.thinking_end, False, rules)
        for task, text, end, is_open in zip(tasks, texts, split["thinking_end"], split["open"], strict=True)
    ]


def _find(text: str, end: int | None, unclosed: bool, rules: dict[str, Rule]) -> Found | None:
    if end is not None and not unclosed:
        rest = text[end:]
        closing = next((tag for tag in _CLOSINGS if rest.startswith(tag)), "")
        answer = _first(rest.removeprefix(closing), rules)
        if answer is not None:
            return answer
    inside = _first(text, rules)
    if inside is None or end is None:
        return inside
    return Found(inside.text, f"{inside.rule} in thinking")


def _first(text: str, rules: dict[str, Rule]) -> Found | None:
    for name, rule in rules.items():
        answer = rule(text)
        if answer is not None:
            return Found(answer, name)
    return None


def boxed(text: str) -> str | None:
    r"""Content of the last `\boxed{}` or `\fbox{}` whose braces balance and that is not empty.

    Of boxes inside each other the innermost one counts. One pass over the braces from the first box on, so that a text
    of nothing but boxes takes no longer than its length.
    """
    starts = [match.end() for match in _BOX.finditer(text)]
    if not starts:
        return None
    ends: dict[int, int] = {}
    depth: list[int] = []
    for brace in _BRACE.finditer(text, starts[0] - 1):
        if brace.group() == "{":
            depth.append(brace.end())
        elif brace.group() == "}" and depth:
            ends[depth.pop()] = brace.start()
    for start in reversed(starts):
        content = text[start : ends[start]].strip() if start in ends else ""
        if content:
            return content
    return None


def bare_boxed(text: str) -> str | None:
    """What follows the last bare word `boxed`: its braces, balanced or not, else all up to the next `$`.

    Source: the published evaluation of arXiv 2603.24472 (`extract_answer`), which splits on the word.
    """
    words = list(_WORD.finditer(text))
    if not words:
        return None
    rest = text[words[-1].end() :]
    if not rest.startswith("{"):
        return rest.partition("$")[0].strip() or None
    depth = 0
    for brace in re.finditer("[{}]", rest):
        depth += 1 if brace.group() == "{" else -1
        if depth == 0:
            return rest[1 : brace.start()].strip() or None
    return rest[1:].strip() or None


def answer_line(text: str) -> str | None:
    """What stands behind the last `Answer:` at the beginning of a line, without the dollars and stars around it."""
    lines = list(_LINE.finditer(text))
    return unwrapped(lines[-1].group(1)) or None if lines else None


def answer_tag(text: str) -> str | None:
    """Content of the last closed `<answer>` tag that is not empty."""
    return next((tag.strip() for tag in reversed(_TAG.findall(text)) if tag.strip()), None)


def unwrapped(answer: str) -> str:
    r"""`answer` without the white space, emphasis, `$`, `\(` or `\[` around all of it."""
    answer = answer.strip().strip("*_`").strip()
    inner = _WRAPPED.fullmatch(answer)
    if inner and "$" not in (content := next(filter(None, inner.groups()))):
        return content.strip()
    return answer
