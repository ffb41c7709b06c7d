"""`epiverb grade` through its front door."""

from __future__ import annotations

import json
import subprocess
import sys

import polars as pl
import pytest

from epiverb import Run
from epiverb.cli.grading import print_grades
from epiverb.configs.analyze import AnalyzeConfig
from epiverb.verbs.analyze import analyze

ROWS = [
    {"id": 1, "question": "1+1", "generated_responses": [r"<think>hm</think>\boxed{2}", r"\boxed{3}"], "gold_answer": "2",
     "generated_answers": ["2", "3"], "answers_correctness": [True, False]},
    {"id": 2, "question": "half", "generated_responses": [r"\boxed{0.5}", r"\boxed{10^{10^{10}}}", "Wait."], "gold_answer": r"\frac{1}{2}",
     "generated_answers": ["0.5", "x", ""], "answers_correctness": [False, False, False]},
]  # fmt: skip


@pytest.fixture
def traces(tmp_path):
    file = tmp_path / "traces.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return file


def epiverb(*arguments, code=0):
    done = subprocess.run([sys.executable, "-m", "epiverb", *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    return done


def test_agreement_is_reported_and_every_difference_listed(traces, capsys):
    result = json.loads(epiverb("grade", traces, "--json").stdout)
    assert (result["n"], result["right"], result["wrong"], result["unknown"]) == (5, 2, 2, {"time limit": 1})
    agreement = result["agreement"]
    assert (agreement["n"], agreement["agree"], agreement["unknown"]) == (5, 3, {"time limit": 1})
    assert agreement["disagreements"] == [
        {
            "trace": f"{traces}:2:0",
            "stored": False,
            "ours": True,
            "answer": "0.5",
            "gold": r"\frac{1}{2}",
            "reason": "boxed: math-verify",
        }
    ]
    print_grades(result)
    printed = capsys.readouterr().out
    assert "time limit 1" in printed
    assert "wrong   right" in printed


def test_a_run_is_written_and_a_run_is_graded_in_place_of_its_file(traces, tmp_path):
    epiverb("grade", traces, "--out", tmp_path / "new", "--no-report", "-q")
    table = pl.read_parquet(tmp_path / "new/traces.parquet")
    assert table["correct"].to_list() == [True, False, True, None, False]
    assert table["grade_reason"].to_list()[3:] == ["time limit", "no answer"]
    assert Run(tmp_path / "new").summary["accuracy"]["n_unknown"] == 1

    analyze(AnalyzeConfig(sources=(str(traces),), out=str(tmp_path / "old"), report=False))
    epiverb("grade", tmp_path / "old", "--out", tmp_path / "again", "-q")
    old, again, new = (Run(tmp_path / name) for name in ("old", "again", "new"))
    assert again.hits.equals(old.hits)
    assert again.values.equals(old.values)
    assert list(again.traces["trace_id"]) == list(old.traces["trace_id"])
    assert again.traces["correct"].equals(new.traces["correct"])
    assert again.summary["accuracy"] == new.summary["accuracy"]
    assert again.summary["lexicons"] == old.summary["lexicons"]
    assert old.traces["correct"].sum() == 1


def test_gold_answers_and_graders_come_from_problems(tmp_path):
    traces, problems = tmp_path / "t.jsonl", tmp_path / "p.jsonl"
    traces.write_text(
        '{"id": "a", "prompt": "q", "response": "<answer>B</answer>"}\n{"id": "z", "prompt": "other", "response": "x"}\n'
    )
    problems.write_text('{"problem_id": "a", "question": "Which?", "gold": "B"}\n')
    told = epiverb("grade", traces, code=2).stderr
    assert told.count("\n") == 1
    assert "--gold-from" in told
    result = json.loads(epiverb("grade", traces, "--gold-from", problems, "--grader", "choice", "--json").stdout)
    assert (result["right"], result["unknown"]) == (1, {"no gold answer": 1})


def test_a_dry_run_says_what_would_be_graded_by_what(traces, tmp_path):
    bare = tmp_path / "bare.jsonl"
    bare.write_text('{"id": "a", "prompt": "q", "response": "x"}\n')
    flags = ("grade", traces, bare, "--dry-run", "--out", tmp_path / "out")
    plan = json.loads(epiverb(*flags, "--json").stdout)
    counts = [(row["n"], row["without_gold"], row["graders"]) for row in plan["sources"]]
    assert counts == [(5, 0, {"math": 5}), (1, 1, {"math": 1})]
    few = json.loads(epiverb(*flags, "--limit", 2, "--grader", "choice", "--json").stdout)
    assert [row["graders"] for row in few["sources"]] == [{"choice": 2}, {}]
    analyze(AnalyzeConfig(sources=(str(traces),), out=str(tmp_path / "run"), report=False))
    of_run = json.loads(epiverb("grade", tmp_path / "run", "--dry-run", "--json").stdout)
    assert [row["n"] for row in of_run["sources"]] == [5]
    assert "Would grade" in epiverb(*flags).stdout
    assert not (tmp_path / "out").exists()
    assert "Did you mean 'math'" in epiverb("grade", traces, "--dry-run", "--grader", "maths", code=2).stderr


def test_python_gives_what_the_command_prints(traces):
    import epiverb as ev

    assert ev.grade(str(traces)) == json.loads(epiverb("grade", traces, "--json").stdout)


def test_graders_are_listed_with_their_options():
    rows = {row["name"]: row for row in json.loads(epiverb("ls", "graders", "--json").stdout)["rows"]}
    assert set(rows) == {"math", "choice", "exact", "code", "countdown", "reasoning-gym"}
    assert rows["math"]["lenient"] == "percent, tolerance, bare-boxed, tail"
    assert all(row["about"].startswith("Right where ") and row["about"].endswith(".") for row in rows.values())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--grader", "maths"], "Did you mean 'math'"),
        (["--lenient", "percnt"], "Did you mean 'percent'"),
        (["--limit", "x"], "not an int"),
    ],
)
def test_mistakes_are_one_line(traces, arguments, words):
    told = epiverb("grade", traces, *arguments, code=2).stderr
    assert told.count("\n") == 1
    assert words in told


def test_lenient_options_reach_the_grader(tmp_path):
    traces = tmp_path / "t.jsonl"
    traces.write_text('{"id": "a", "prompt": "q", "response": "\\\\boxed{45}", "gold": "0.45", "correct": true}\n')
    strict, lenient = (
        json.loads(epiverb("grade", traces, *more, "--json").stdout) for more in ([], ["--lenient", "percent"])
    )
    assert (strict["right"], lenient["right"]) == (0, 1)


def test_real_traces_agree_but_for_five_that_were_stored_wrong(shared):
    result = json.loads(epiverb("grade", shared / "traces", "--json", "-q").stdout)
    assert (result["n"], result["agreement"]["agree"], result["unknown"]) == (680, 675, {})
    assert {(row["gold"], row["ours"]) for row in result["agreement"]["disagreements"]} == {
        (r"\text{east}", True), (r"864 \mbox{ inches}^2", True), (r"3 \pm 2 \sqrt{2}", True), (r"x \in [-2,7]", True), (r"15\mbox{ cm}^2", True),
    }  # fmt: skip
