"""LiveCodeBench: the prompt, the tests unpacked, and the months that count as version 6.

Hidden tests are JSON inside a pickle inside zlib inside base64. A pickle can run code, so it is opened by a reader that
knows nothing but plain values: a text needs no more.
"""

from __future__ import annotations

import base64
import io
import json
import pickle
import zlib
from datetime import date
from typing import Any

from epiverb.errors import ConfigError, FormatError

SINCE, UNTIL = "2025-02-01", "2025-05-01"
"""Half-open: 131 problems. Source: arXiv 2601.20802."""
SYSTEM = (
    "You are an expert Python programmer. You will be given a question (problem specification) and will generate a correct "
    "Python program that matches the specification and passes all tests."
)
WITH_STARTER = (
    "You will use the following starter code to write the solution to the problem and enclose your code "
    "within delimiters."
)
WITHOUT_STARTER = (
    "Read the inputs from stdin solve the problem and write the answer to stdout (do not directly test on the sample "
    "inputs). Enclose your code within delimiters as follows. Ensure that when the python program runs, it reads the "
    "inputs, runs the algorithm and writes output to STDOUT."
)
"""Source of the three: LiveCodeBench/LiveCodeBench lcb_runner/prompts/code_generation.py."""
MOST = 1 << 30
"""Bytes that the tests of one problem may have unpacked."""


def adapt(record: dict[str, Any], options: dict[str, str]) -> dict[str, Any] | None:
    """A record of the hub as question, system turn and tests; None where it is of other months."""
    since, until = _day(options.get("since", SINCE)), _day(options.get("until", UNTIL))
    if not since <= _day(str(record.get("contest_date") or "")[:10]) < until:
        return None
    starter = str(record.get("starter_code") or "")
    name = str(record.get("question_id") or record.get("question_title"))
    tests = [dict(test, public=True) for test in _json(record.get("public_test_cases"), name)]
    tests += [dict(test, public=False) for test in hidden(record.get("private_test_cases"), name)]
    return {
        **record,
        "question": _prompt(str(record.get("question_content") or ""), starter),
        "system": SYSTEM,
        "extra.tests": tests,
        "extra.fn_name": (_json(record.get("metadata"), name) or {}).get("func_name"),
        "extra.difficulty": record.get("difficulty"),
    }


def _prompt(question: str, starter: str) -> str:
    form, code = (WITH_STARTER, starter) if starter else (WITHOUT_STARTER, "# YOUR CODE HERE")
    answer = "### Answer: (use the provided format with backticks)"
    return f"### Question:\n{question}\n\n### Format: {form}\n```python\n{code}\n```\n\n{answer}\n\n"


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"{text!r} is not a day like 2025-02-01.") from error


def hidden(value: Any, name: str) -> list[dict[str, Any]]:
    """The hidden tests, plain or packed; raises `FormatError` for what is neither."""
    if not isinstance(value, str) or value.lstrip().startswith(("[", "{")) or not value:
        return _json(value, name)
    try:
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(base64.b64decode(value, validate=True), MOST)
        if unpacker.unconsumed_tail:
            raise ValueError(f"more than {MOST >> 20} MB of tests")
        return _json(_Plain(io.BytesIO(data)).load(), name)
    except (ValueError, zlib.error, pickle.UnpicklingError, EOFError, IndexError, KeyError, AttributeError) as error:
        raise FormatError(f"{name}: its hidden tests cannot be unpacked ({error}).") from error


class _Plain(pickle.Unpickler):
    """Opens a pickle of plain values and refuses everything that would call anything."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it asks for something outside")


def _json(value: Any, name: str) -> Any:
    if value is None or value == "":
        return []
    if isinstance(value, bytes):
        value = value.decode("utf-8")
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError as error:
        raise FormatError(f"{name}: its tests are not JSON ({error}).") from error
