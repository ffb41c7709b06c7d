"""An engine that goes away, or answers nothing: what came before is kept, and nothing is asked twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from epiverb.models import ENGINES
from epiverb.run import Run
from tests.sample.flaky import STATE


@pytest.fixture(autouse=True)
def flaky():
    ENGINES.add("flaky", "tests.sample.flaky:Flaky")
    STATE.update(left=10**9, asked=[], fault=None)


FLAGS = ("--engine", "flaky", "-m", "some/model", "-n", 4, "-o", "run", "--no-report", "--draws", 100)


def test_a_server_that_goes_away(epiverb, problems):
    STATE["left"] = 18
    gone = epiverb("sample", "-d", problems, *FLAGS)
    assert gone.code == 2
    assert gone.message == (
        "epiverb: http://127.0.0.1:8000: the server is gone. 18 of 48 samples are kept in run; the same command continues."
    )
    STATE["left"] = 10**9
    assert epiverb("sample", "-d", problems, *FLAGS).code == 0
    assert len(STATE["asked"]) == len(set(STATE["asked"])) == 48
    traces = Run("run").scan("traces").collect()
    assert traces.select("problem_id", "sample").n_unique() == len(traces) == 48
    assert traces["response"].str.starts_with("Wait ? ").all()  # what no file can hold is replaced


def test_an_engine_that_answers_nothing_is_told(epiverb, problems):
    STATE["fault"] = "401: no such key"
    result = epiverb("sample", "-d", problems, *FLAGS)
    assert result.code == 2
    assert "no sample could be drawn: not generated: 401: no such key" in result.message
    STATE["fault"] = None
    assert epiverb("sample", "-d", problems, *FLAGS).code == 0
    assert Run("run").summary["accuracy"]["value"] == 1.0


def test_arms_have_seeds_of_their_own(epiverb, problems):
    epiverb("sample", "-d", problems, "--limit", 2, "--context", "none", "--context", "answer", *FLAGS)
    traces = Run("run").scan("traces").collect()
    seeds = traces["response"].str.extract(r"(\d+) \\boxed")
    assert traces.with_columns(seeds.alias("seed")).group_by("condition").agg().height == 2
    assert seeds.n_unique() == 2


def test_problems_without_gold_are_sampled_and_not_graded(epiverb, tmp_path):
    (tmp_path / "open.jsonl").write_text('{"problem_id": "a", "question": "Why?"}\n')
    result = epiverb("sample", "-d", "open.jsonl", *FLAGS)
    assert result.code == 0, result.err
    assert "1 of 1 problems have no gold answer" in result.err
    traces = Run("run").scan("traces").collect()
    assert traces["correct"].null_count() == 4
    assert set(traces["grade_reason"]) != {None}
    assert Run("run").summary["table"]["rows"][0]["score"] is None
    assert Path("run/problems.jsonl").exists()


def test_a_ladder_goes_on_through_all_its_stages(epiverb, problems):
    """Stopped again and again, in every stage: the run is that of a ladder that was never stopped."""
    flags = ("sample", "-d", problems, "--ladder", "--max-correct", 8, *FLAGS)
    assert epiverb(*flags, "-o", "whole").code == 0
    STATE["asked"] = []
    stops = 0
    while True:
        STATE["left"] = 23
        result = epiverb(*flags)
        if result.code == 0:
            break
        stops += 1
        assert "the same command continues" in result.message
    total = 12 * 8 + 4 * 12 * 4
    assert stops == total // 23
    assert len(STATE["asked"]) == total
    columns = ["trace_id", "response", "context", "correct", "n_tokens"]
    one, other = (Run(path).scan("traces").select(columns).collect() for path in ("run", "whole"))
    assert one.equals(other)
    assert Run("run").summary["table"] == Run("whole").summary["table"]


def test_what_a_url_holds_of_a_password_is_not_written(epiverb, problems):
    ENGINES.add("addressed", "tests.sample.flaky:Addressed")
    flags = ("--engine", "addressed", "--engine-option", "url=http://me:secret@127.0.0.1:8000/v1")
    assert epiverb("sample", "-d", problems, *FLAGS, *flags).code == 0
    for path in Path("run").iterdir():
        assert b"secret" not in path.read_bytes(), path


@pytest.mark.parametrize(("columns", "tables"), [(80, 2), (160, 1)])
def test_the_table_breaks_no_word_and_no_interval(epiverb, problems, monkeypatch, columns, tables):
    monkeypatch.setenv("COLUMNS", str(columns))
    printed = epiverb("sample", "-d", problems, "--context", "none", "--context", "answer", *FLAGS).out.splitlines()
    assert max(map(len, printed)) <= columns
    heads = [line for line in printed if line.startswith("condition ")]
    assert len(heads) == tables
    assert "given finished" in heads[0]
    assert "per 1k tokens" in heads[-1]
    assert all(line.count("[") == line.count("]") for line in printed)
