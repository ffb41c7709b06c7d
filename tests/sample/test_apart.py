"""A server that keeps reasoning and answer apart: what was thought is thinking in the run, in grades and in contexts."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from epiverb.run import Run
from tests.models.fake_server import Fake

THOUGHT = "Wait, maybe it is \\boxed{5}."
RUN = ("-m", "tiny", "--engine", "server", "-n", 3, "--no-report", "--draws", 100)


@pytest.fixture
def server():
    fake = Fake()

    def answer(body):
        said = {"reasoning_content": THOUGHT, "content": f"So \\boxed{{4}}, seed {body['seed']}."}
        return {"choices": [{"index": 0, "message": said, "finish_reason": "stop"}], "usage": {"completion_tokens": 9}}

    fake.answer = answer
    yield fake
    fake.close()


def at(server, *more):
    options = {"base_url": server.url, "concurrency": 1, "retries": 0, **dict(more)}
    return [item for key, value in options.items() for item in ("--engine-option", f"{key}={value}")]


def spans(path):
    """Trace id -> what is thought and what is said."""
    rows = Run(path).scan("traces").collect().iter_rows(named=True)
    return {
        row["trace_id"]: (
            row["response"][row["thinking_start"] : row["thinking_end"]],
            row["response"][row["thinking_end"] :],
        )
        for row in rows
    }


def test_reasoning_is_thinking_also_when_the_run_is_continued(epiverb, problems, server):
    flags = ("sample", "-d", problems, "--limit", 2, *RUN, *at(server), "-o", "run")
    server.script = [server.answer] * 4 + ["hang up"]
    stopped = epiverb(*flags)
    assert stopped.code == 2
    assert "4 of 6 samples are kept in run" in stopped.message
    assert epiverb(*flags).code == 0
    assert len(server.asked) == 7
    found = spans("run")
    assert len(found) == 6
    assert {thought for thought, _ in found.values()} == {THOUGHT}
    assert all(said.startswith("\n\nSo \\boxed{4}, seed ") for _, said in found.values())
    assert len({said for _, said in found.values()}) == 6
    hits = Run("run").scan("hits").filter(pl.col("lexicon") == "kim2026").collect()
    assert set(hits["segment"]) == {"thinking"}
    assert len(hits) == 2 * 6


def test_an_answer_in_the_reasoning_is_graded_as_such(epiverb, problems, server):
    def cut(body):
        said = {"reasoning_content": "So it is \\boxed{4}. Wait,", "content": None}
        return {"choices": [{"message": said, "finish_reason": "length"}]}

    server.script = [cut]
    assert epiverb("sample", "-d", problems, "--limit", 1, *RUN, *at(server), "-o", "run").code == 0
    traces = Run("run").scan("traces").sort("sample").collect()
    assert traces["correct"].to_list() == [True, True, True]
    assert traces["answer"].to_list() == ["4", "4", "4"]
    assert ["in thinking" in reason for reason in traces["grade_reason"]] == [True, False, False]
    assert traces["status"].to_list() == ["truncated", "complete", "complete"]


def test_a_recording_of_it_is_replayed(epiverb, problems, server):
    flags = ("--limit", 2, "--no-report", "--draws", 100, "-n", 3)
    assert epiverb("sample", "-d", problems, *RUN, *at(server), "--limit", 2, "-o", "run").code == 0
    replayed = epiverb("sample", "-m", "run", "--engine", "replay", "-d", problems, *flags, "-o", "again")
    assert replayed.code == 0, replayed.err
    assert spans("again") == spans("run")
    ours, theirs = (Run(path).scan("traces").collect() for path in ("again", "run"))
    assert ours["correct"].equals(theirs["correct"])


def test_a_context_shows_it_with_and_without_its_thinking(epiverb, problems, server):
    contexts = ("--context", "none", "--context", "solution", "--context", "solution-no-think")
    done = epiverb("sample", "-d", problems, "--limit", 1, *RUN, *at(server), *contexts, "-o", "run")
    assert done.code == 0, done.err
    traces = Run("run").scan("traces").filter(pl.col("sample") == 0).collect()
    shown = dict(traces.select("condition", "context").iter_rows())
    assert shown["solution"].startswith(f"<think>\n{THOUGHT}\n</think>\n\nSo \\boxed{{4}}")
    assert shown["solution-no-think"].startswith("So \\boxed{4}")


def test_sets_for_fine_tuning_have_the_tags_again(epiverb, problems, server):
    contexts = ("--context", "none", "--context", "solution")
    assert epiverb("sample", "-d", problems, *RUN, *at(server), "--limit", 2, *contexts, "-o", "run").code == 0
    made = epiverb("sft-data", "run", "-o", "sft", "--json")
    assert made.code == 0, made.err
    for side in ("unguided", "guided"):
        row = made.json["arms"]["as-is"][side]
        assert row["thinking_tags_restored"] == row["n"] == 6
        for form, key in (("prompt-completion", "completion"), ("alpaca", "output")):
            lines = Path("sft", row["files"][form]).read_text("utf-8").splitlines()
            said = [json.loads(line)[key] for line in lines]
            assert all(text.startswith(f"<think>\n{THOUGHT}\n</think>\n\nSo \\boxed{{4}}, seed ") for text in said)
