"""Math-Verify on one pair of answers. Runs in worker processes: it can take for ever, and any amount of memory."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Callable
from typing import Any

import math_verify.grader
import math_verify.parser
from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify

warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)

_CONFIG = (LatexExtractionConfig(boxed_match_priority=0), ExprExtractionConfig())
_DELIMITED = re.compile(r"(?<!\\)\$|\\\(")
_swallowed: list[str] = []


def compare(gold: str, answer: str) -> dict[str, Any]:
    """`equal`, whether Math-Verify takes `answer` for `gold`; `failure`, why it could not tell, else None.

    What it is given stands in a box, unless it brings dollars of its own.
    """
    _swallowed.clear()
    right, given = _parsed(gold), _parsed(answer)
    if not right:
        return {"equal": None, "failure": _swallowed[0] if _swallowed else "gold answer cannot be parsed"}
    equal = verify(right, given, timeout_seconds=None, raise_on_error=True)
    # Math-Verify goes on after an error in its own parts, and then says False.
    failure = _swallowed[0] if _swallowed and not equal else None
    return {"equal": None if failure else bool(equal), "failure": failure}


def _parsed(text: str) -> list[Any]:
    if not _DELIMITED.search(text):
        text = rf"\boxed{{{text}}}"
    return parse(text, _CONFIG, parsing_timeout=None, raise_on_error=True)


def _noting(function: Callable[..., Any], *kinds: type[BaseException]) -> Callable[..., Any]:
    """`function`, with errors of these kinds noted on their way into an `except Exception` of Math-Verify."""

    def noted(*arguments: Any, **options: Any) -> Any:
        try:
            return function(*arguments, **options)
        except kinds as error:
            _swallowed.append(
                "memory limit" if isinstance(error, MemoryError) else f"{type(error).__name__} in the grader"
            )
            raise

    return noted


# A text that is not LaTeX makes the parser fail, which is a verdict; running out of stack or memory is none.
math_verify.parser.latex2sympy = _noting(math_verify.parser.latex2sympy, MemoryError, RecursionError)
math_verify.parser.parse_expr = _noting(math_verify.parser.parse_expr, MemoryError, RecursionError)
math_verify.grader.simplify = _noting(math_verify.grader.simplify, Exception)

# The first expressions take a second, while the parser and sympy fill their caches: once here, not in every worker.
for _gold, _answer in (("x^2+1", "(x+1)^2"), (r"(3,\frac{\pi}{2})", r"(2,\sqrt{5})"), ("[1,2]", "(1,2)")):
    compare(_gold, _answer)
