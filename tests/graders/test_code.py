"""Programs in the sandbox: what they may do, what ends them, and that expected outputs stay outside."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

import pytest

from epiverb.graders import Task
from epiverb.graders.code import CAUTION, CodeGrader, code_block

ADD = "a, b = map(int, input().split())\nprint(a + b)"
TESTS = [{"input": "3 4\n", "output": "7\n"}, {"input": "1 1\n", "output": "2"}]


def run(program: str, tests=None, **settings):
    extra = {"tests": tests or TESTS[:1], **settings.pop("extra", {})}
    return CodeGrader(**{"seconds": 2.0, **settings})(
        [Task(f"<think>```python\nx\n```</think>\n```python\n{program}\n```\n", None, extra)]
    )[0]


@pytest.fixture(params=[True, False], ids=["namespaces", "python alone"])
def isolate(request):
    return request.param


def test_right_and_wrong(isolate):
    assert run(ADD, TESTS, isolate=isolate).reason == "2 tests passed"
    wrong = run("print(7)", TESTS, isolate=isolate)
    assert (wrong.correct, wrong.reason) == (False, "test 2 of 2: another output")


ENDED = [
    ("while True: pass", "time limit"),
    ("import time; time.sleep(100)", "time limit"),
    ("while True: print('x' * 1000)", "output too long"),
    ("import os; os.close(1); os.close(2)\nwhile True: pass", "time limit"),
    ("x = bytearray(4 << 30)", "exit code 1"),
    ("open('f', 'wb').write(bytes(100 << 20))", "exit code 1"),
    ("[open('/dev/null') for _ in range(500)]", "exit code 1"),
    ("print((", "exit code 1"),
    ("print(7)\nimport os; os._exit(3)", "exit code 3"),
    ("def f(n): return f(n + 1)\nf(0)", "exit code 1"),
]


@pytest.mark.parametrize(("program", "reason"), ENDED)
def test_limits(program, reason, isolate):
    start = time.monotonic()
    assert run(program, isolate=isolate).reason == f"test 1 of 1: {reason}"
    assert time.monotonic() - start < 40


def isolated() -> bool:
    return not run("print(7)").reason.endswith(CAUTION)


REFUSED = [
    "import socket; socket.create_connection(('1.1.1.1', 80), 1)",
    "import urllib.request; urllib.request.urlopen('http://example.org', timeout=1)",
    "open('{outside}', 'w')",
    "import os; os.remove('{outside}')",
]


@pytest.mark.parametrize("act", REFUSED)
def test_network_and_files_are_out_of_reach(act, isolate, tmp_path):
    outside = tmp_path / "kept"
    outside.write_text("kept")
    os.chmod(tmp_path, 0o777)
    program = f"try:\n  {act.format(outside=outside)}\nexcept OSError: print(7)"
    if isolate and not isolated():
        pytest.skip("the system permits no namespaces")
    assert run(program, isolate=isolate).correct
    assert outside.read_text() == "kept"


def test_programs_start_in_an_empty_folder_each_time(isolate):
    program = "import os\nprint(7 if not os.listdir('.') else 8)\nopen('left', 'w').write('x')"
    assert run(program, [{"input": "", "output": "7"}] * 2, isolate=isolate).correct


def test_children_end_with_the_program():
    if not isolated():
        pytest.skip("the system permits no namespaces")
    start = time.monotonic()
    forks = run("import os\nwhile True:\n  try: os.fork()\n  except OSError: pass")
    assert forks.correct is False
    daemon = run("import os, time\nif os.fork() == 0:\n  os.setsid(); os.close(1); time.sleep(987.5)\nprint(7)")
    assert daemon.correct
    assert time.monotonic() - start < 60
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            assert "program-0.py" not in Path(f"/proc/{pid}/cmdline").read_text()


def test_expected_outputs_cannot_be_found():
    search = "import os, sys\nfor root, _, names in os.walk('..'):\n  for name in names:\n    print(open(os.path.join(root, name)).read())"
    assert "another output" in run(search, [{"input": "", "output": "secret-5371"}]).reason


FUNCTIONS = [
    ("class Solution:\n  def add(self, a, b):\n    print('noise')\n    return a + b", True),
    ("def add(a, b): return a + b", True),
    ("def add(a, b): return [a, b]", False),
    ("def other(a, b): return a + b", False),
]


@pytest.mark.parametrize(("program", "right"), FUNCTIONS)
def test_functions_are_called_with_json(program, right):
    tests = [
        {"input": "3\n4", "output": "7", "testtype": "functional"},
        {"input": "[1]\n[2]", "output": "[1, 2]", "testtype": "functional"},
    ]
    assert run(program, tests, extra={"fn_name": "add"}).correct is right


def test_outputs_are_compared_by_line_and_number():
    tests = [{"input": "", "output": "1.50 a\n2\n"}]
    assert run("print('1.5  a '); print('2.0')", tests).correct
    assert run("print('1.5 a 2')", tests).correct is False


def test_total_time_is_limited():
    start = time.monotonic()
    grade = run("import time; time.sleep(1); print(7)", TESTS[:1] * 20, total=3.0)
    assert "time limit" in grade.reason
    assert time.monotonic() - start < 40


def test_what_cannot_be_graded_is_unknown_and_no_program_is_wrong():
    grade = CodeGrader()
    block = f"```python\n{ADD}\n```"
    no_tests, broken, no_code, no_python = (
        grade([Task(block, None, {})])[0],
        grade([Task(block, None, {"tests": [{"stdin": ""}]})])[0],
        grade([Task("I cannot.", None, {"tests": TESTS})])[0],
        CodeGrader(python="/no/such/python")([Task(block, None, {"tests": TESTS})])[0],
    )
    assert [no_tests.correct, broken.correct, no_code.correct, no_python.correct] == [None, None, False, None]
    assert "no/such/python" in no_python.reason


def test_last_closed_block_of_python_counts():
    assert code_block("```python\na\n```\ntext\n```\nb\n```\n```bash\nls\n```\n```python\ncut") == "b\n"
    assert code_block("a = 1") is None
