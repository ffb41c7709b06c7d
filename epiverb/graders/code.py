"""Programs: right where they pass every unit test, run in a sandbox without network."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from typing import Any

from epiverb.graders import sandbox
from epiverb.graders.answers import NO_ANSWER, Found, find
from epiverb.graders.base import Grade, Task
from epiverb.graders.workers import available_processors

_FENCE = re.compile(r"^[ \t]*```[ \t]*([\w+-]*)[^\n`]*\n(.*?)^[ \t]*```[ \t]*$", re.DOTALL | re.MULTILINE)
PYTHON = ("", "python", "python3", "py")
SLACK = 60.0
"""Seconds beyond all limits after which the sandbox itself is given up."""
CAUTION = "; sockets refused by Python alone, the system permits no network namespace"


@dataclass(frozen=True)
class CodeGrader:
    """Right where the last fenced Python block passes every test in `Task.extra["tests"]`.

    A test is `{"input": ..., "output": ...}`. It is text for stdin and what is to be printed; where the test's `testtype` is
    `functional` (by default where `extra` has `fn_name`), `input` is one JSON argument a line of the function named in
    `extra["fn_name"]`, a method of `Solution` or global, and `output` its JSON result: the form of LiveCodeBench. Printed
    text is compared line by line without white space at the ends, and then word by word, numbers by value. The reason
    names the first test that failed.
    """

    seconds: float = 6.0
    """Wall time for one test; CPU time is limited to the same."""
    total: float = 60.0
    """Wall time for all tests of one response, after which the rest counts as failed."""
    memory: int = 1 << 30
    """Bytes of address space."""
    processes: int = 32
    file_size: int = 16 << 20
    """Bytes of one file."""
    output: int = 16 << 20
    """Bytes that a test may print."""
    isolate: bool = True
    """Use namespaces of the kernel where it permits them."""
    python: str = sys.executable
    """The interpreter, with what the programs may import. Where we are root and the user `nobody` can read it, programs
    run as nobody; as root itself they cannot be limited in the number of their processes, only in time and memory."""

    def __call__(self, tasks: Sequence[Task]) -> list[Grade]:
        """One grade a task, in their order."""
        found = find(tasks, {"code block": code_block})
        alive: set[subprocess.Popen[bytes]] = set()
        with ThreadPoolExecutor(available_processors()) as pool:
            try:
                return list(pool.map(self._grade, tasks, found, repeat(alive)))
            except BaseException:  # Ctrl-C: nobody waits for the programs that still run
                pool.shutdown(wait=False, cancel_futures=True)
                for process in tuple(alive):
                    _kill(process)
                raise

    def _grade(self, task: Task, found: Found | None, alive: set[subprocess.Popen[bytes]]) -> Grade:
        try:
            tests = [_test(test, task.extra) for test in _listed(task.extra.get("tests"))]
        except (TypeError, KeyError, ValueError) as error:
            return Grade(None, f"tests of the problem cannot be read ({type(error).__name__})")
        if not tests:
            return Grade(None, "no tests in the problem")
        if found is None:
            return Grade(False, NO_ANSWER)
        for function in dict.fromkeys(name for _, _, name in tests):
            mine = [(number, test) for number, test in enumerate(tests, 1) if test[2] == function]
            answer = self._run(found.text, [test[0] for _, test in mine], function, alive)
            if isinstance(answer, str):
                return Grade(None, answer, found.text)
            caution = "" if "network" in answer["isolation"] or not self.isolate else CAUTION
            for (number, test), outcome in zip(mine, answer["outcomes"], strict=False):
                fault = outcome["failure"] or (None if _matches(outcome["out"], test) else "another output")
                if fault:
                    return Grade(False, f"test {number} of {len(tests)}: {fault}{caution}", found.text)
        return Grade(True, f"{len(tests)} tests passed{caution}", found.text)

    def _run(
        self, program: str, inputs: list[str], function: str | None, alive: set[subprocess.Popen[bytes]]
    ) -> dict[str, Any] | str:
        """What the sandbox answers; text: why it did not."""
        limits = {"wall": self.seconds, "CPU": int(self.seconds) + 1, "AS": self.memory, "NPROC": self.processes}
        limits |= {"NOFILE": 64, "FSIZE": self.file_size, "out": self.output, "total": self.total}
        request = {
            "program": program,
            "inputs": inputs,
            "function": function,
            "limits": limits,
            "isolate": self.isolate,
        }
        with tempfile.TemporaryDirectory(prefix="epiverb-") as folder:
            try:
                process = subprocess.Popen(
                    [self.python, "-I", "-B", sandbox.__file__], cwd=folder, start_new_session=True,
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                )  # fmt: skip
            except OSError as error:
                return f"the sandbox failed: {error.filename or self.python}: {error.strerror}"
            alive.add(process)
            try:
                out, err = process.communicate(json.dumps(request).encode(), timeout=self.total + self.seconds + SLACK)
                return json.loads(out)
            except subprocess.TimeoutExpired:
                return "the sandbox did not answer"
            except ValueError:
                last = err.decode("utf-8", "replace").strip().rpartition("\n")[2]
                return f"the sandbox failed: {last[:200] or f'exit code {process.returncode}'}"
            finally:
                _kill(process)
                process.communicate()
                alive.discard(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # it has ended, or became another user
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()


def code_block(text: str) -> str | None:
    """The last closed fenced block of Python, or of no named language, that is not blank."""
    blocks = [body for language, body in _FENCE.findall(text) if language.lower() in PYTHON and body.strip()]
    return blocks[-1] if blocks else None


def _listed(tests: Any) -> list[Any]:
    return json.loads(tests) if isinstance(tests, str) else list(tests or ())


def _test(test: dict[str, Any], extra: dict[str, Any]) -> tuple[str, str, str | None]:
    """Input, expected output, and the function called (None: stdin and stdout)."""
    function = extra.get("fn_name")
    if test.get("testtype") == "functional" and not function:
        raise ValueError("no function")
    calls = function is not None and test.get("testtype", "functional") == "functional"
    return test["input"], test["output"], str(function) if calls else None


def _matches(out: str, test: tuple[str, str, str | None]) -> bool:
    """Whether what came out is what the test expects."""
    expected = test[1]
    if test[2] is not None:
        try:
            return json.loads(out) == json.loads(expected)
        except ValueError:
            return False
    theirs, ours = _lines(expected), _lines(out)
    return theirs == ours or (len(theirs) == len(ours) and all(map(_same_line, theirs, ours)))


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.strip().split("\n")]


def _same_line(expected: str, out: str) -> bool:
    """Equal word by word, numbers by their value."""
    theirs, ours = expected.split(), out.split()
    return len(theirs) == len(ours) and all(a == b or _equal_numbers(a, b) for a, b in zip(theirs, ours, strict=True))


def _equal_numbers(first: str, second: str) -> bool:
    from decimal import Decimal, InvalidOperation

    try:
        return Decimal(first) == Decimal(second)
    except InvalidOperation:
        return False
