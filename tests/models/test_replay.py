"""The replay engine gives back what was recorded, and counts what was not."""

from __future__ import annotations

import json

import pytest

from epiverb.errors import EngineError, FormatError
from epiverb.models import open_engine
from epiverb.models.base import Request, Sampling

CHAT = ({"role": "user", "content": "What is 2 + 2?"},)


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def row(sample, response, condition="none", prompt="What is 2 + 2?", **more):
    named = {"problem_id": "p1", "benchmark": "sums", "condition": condition, "sample": sample, "prompt": prompt}
    return {**named, "response": response, "finish_reason": "stop", "n_tokens": 3, **more}


def texts(engine, request, n=2):
    return [(one.sample, one.text, one.error) for one in engine.generate([request], Sampling(n=n))]


@pytest.fixture
def recorded(tmp_path):
    rows = [
        row(1, "b"),
        row(0, "<think>\na</think>\n4", finish_reason="length"),
        row(0, "other", problem_id="p2", prompt="Other?"),
    ]
    return write(tmp_path / "traces.jsonl", rows)


@pytest.mark.parametrize(
    "request_",
    [Request("p1", CHAT), Request("sums/p1", ()), Request("unheard of", CHAT), Request("", text="What is 2 + 2?")],
)
def test_by_problem_or_prompt(recorded, request_):
    engine = open_engine("replay", recorded)
    assert texts(engine, request_) == [(0, "<think>\na</think>\n4", None), (1, "b", None)]


def test_what_is_told_of_a_response(recorded):
    engine = open_engine("replay", recorded)
    one = next(engine.generate([Request("p1")], Sampling()))
    assert (one.key, one.prompt, one.finish_reason, one.n_tokens) == ("p1", "What is 2 + 2?", "length", 3)
    assert (one.token_ids, one.logprobs, one.thinking) == (None, None, None)
    assert engine.used["n_recorded"] == 3
    assert engine.used["formats"] == ["epiverb"]
    assert len(engine.used["sha256"][recorded]) == 64


def test_what_was_not_recorded_is_counted(recorded):
    engine = open_engine("replay", recorded)
    late = list(engine.generate([Request("p1", first=1, n=2)], Sampling()))
    assert [(one.sample, one.finish_reason) for one in late] == [(1, "stop"), (2, "error")]
    assert late[1].error == "sample 2 of 'p1' was not recorded"
    unknown = list(engine.generate([Request("p9", CHAT[:0], text="Unheard of?")], Sampling(n=2)))
    assert [one.finish_reason for one in unknown] == ["error", "error"]


def test_arms_are_told_apart_by_their_prompts(tmp_path):
    guided = "What is 2 + 2?\n\nCorrect solution: 4\n\nCorrectly solve the original question."
    shown = "<user>{}<assistant>"
    rows = [row(0, "free", prompt=shown.format(CHAT[0]["content"])), row(0, "guided", "solution", shown.format(guided))]
    path = write(tmp_path / "traces.jsonl", rows)
    engine = open_engine("replay", path)
    assert texts(engine, Request("p1", CHAT), 1) == [(0, "free", None)]
    assert texts(engine, Request("p1", ({"role": "user", "content": guided},)), 1) == [(0, "guided", None)]
    with pytest.raises(EngineError, match=r"several arms \(none, solution\).*condition=NAME"):
        texts(engine, Request("p1", ({"role": "user", "content": "Something else"},)), 1)
    assert texts(open_engine("replay", path, condition="solution"), Request("p1", CHAT), 1) == [(0, "guided", None)]
    with pytest.raises(EngineError, match="holds no traces of condition 'answer'"):
        open_engine("replay", path, condition="answer")


def test_a_benchmark_of_another_name_is_matched_by_the_problem_alone(tmp_path):
    other = [row(0, "a", benchmark=None), row(0, "c", benchmark=None, problem_id="x/2", prompt="Other?")]
    engine = open_engine("replay", write(tmp_path / "unnamed.jsonl", other))
    asked = ({"role": "user", "content": "Compute 2 + 2."},)
    assert texts(engine, Request("sums/p1", asked), 1) == [(0, "a", None)]
    assert texts(engine, Request("org/sums/x/2", asked), 1) == [(0, "c", None)]
    assert engine.used["n_by_problem_id"] == 2
    assert texts(engine, Request("sums/2", asked), 1)[0][2] == "sample 0 of 'sums/2' was not recorded"
    assert texts(engine, Request("p1", asked), 1) == [(0, "a", None)]
    assert engine.used["n_by_problem_id"] == 2


def test_a_problem_of_two_benchmarks_is_not_guessed(tmp_path):
    path = write(tmp_path / "two.jsonl", [row(0, "a"), row(0, "b", benchmark="products")])
    asked = ({"role": "user", "content": "Compute 2 + 2."},)
    engine = open_engine("replay", path)
    assert texts(engine, Request("sums/p1", asked), 1) == [(0, "a", None)]
    assert texts(engine, Request("products/p1", asked), 1) == [(0, "b", None)]
    for key in ("SUMS/p1", "p1"):
        with pytest.raises(EngineError, match=r"several benchmarks \(sums, products\).*benchmark=NAME"):
            texts(engine, Request(key, asked), 1)
    assert texts(open_engine("replay", path, benchmark="products"), Request("SUMS/p1", asked), 1) == [(0, "b", None)]
    with pytest.raises(EngineError, match="holds no traces of condition 'none' and of benchmark 'powers'"):
        open_engine("replay", path, condition="none", benchmark="powers")


def test_a_recorded_question_does_not_answer_under_a_context(recorded):
    guided = ({"role": "user", "content": "What is 2 + 2?\n\nThe answer is 4."},)
    with pytest.raises(EngineError, match=r"holds 'p1', but not behind this context: .* any_prompt=true"):
        texts(open_engine("replay", recorded), Request("p1", guided, contextual=True))
    for engine in (open_engine("replay", recorded, any_prompt=True), open_engine("replay", recorded, condition="none")):
        assert [text for _, text, _ in texts(engine, Request("p1", guided, contextual=True))][1] == "b"
        assert engine.used["n_other_prompt"] == 1
    # Another wording of the bare question is answered, and counted.
    engine = open_engine("replay", recorded)
    assert texts(engine, Request("p1", ({"role": "user", "content": "Compute 2 + 2."},)))[1] == (1, "b", None)
    assert engine.used["n_other_prompt"] == 1


def test_reasoning_kept_apart_and_texts_not_kept(tmp_path):
    message = {"role": "assistant", "reasoning_content": "Wait.", "content": "4"}
    chat = [{"id": "p1", "messages": [*CHAT, message]}]
    one = next(open_engine("replay", write(tmp_path / "chat.jsonl", chat)).generate([Request("p1", CHAT)], Sampling()))
    assert (one.text, one.thinking) == ("Wait.\n\n4", (0, 5))
    lost = open_engine(
        "replay", write(tmp_path / "lost.jsonl", [row(0, "", finish_reason="error"), row(1, "x", finish_reason=None)])
    )
    first, second = lost.generate([Request("p1", CHAT)], Sampling(n=2))
    assert (first.finish_reason, first.error) == ("error", "the text of sample 0 of 'p1' was not recorded")
    assert second.finish_reason == "stop"


def test_prefixes_must_have_been_recorded(recorded):
    engine = open_engine("replay", recorded)
    begun = list(engine.generate([Request("p1", CHAT, prefix="<think>")], Sampling(n=2)))
    assert (begun[0].given, begun[0].finish_reason) == (7, "length")
    assert "without the prefix" in begun[1].error


def test_what_cannot_be_is_one_line(recorded, tmp_path):
    with pytest.raises(FormatError, match="no such file"):
        open_engine("replay", str(tmp_path / "nothing.jsonl"))
    with pytest.raises(EngineError, match="without log-probabilities"):
        list(open_engine("replay", recorded).generate([Request("p1")], Sampling(logprobs=0)))


def test_a_run_folder_is_replayed(tmp_path):
    from epiverb.verbs.api import analyze

    source = write(tmp_path / "traces.jsonl", [row(j, f"So the answer is {j}.") for j in range(3)])
    analyze(source, out=str(tmp_path / "run"))
    engine = open_engine("replay", str(tmp_path / "run"))
    assert texts(engine, Request("p1", CHAT), 3) == [(j, f"So the answer is {j}.", None) for j in range(3)]


def test_a_run_tells_what_was_cut_off_and_what_failed(tmp_path):
    from epiverb.verbs.api import analyze

    ends = ("stop", "length")
    rows = [row(j, f"So it is {j}.", finish_reason=end) for j, end in enumerate(ends)]
    first = analyze(write(tmp_path / "traces.jsonl", rows), out=str(tmp_path / "run"), report=False)
    again = analyze(str(tmp_path / "run"), out=str(tmp_path / "again"), report=False)
    assert list(first.traces["status"]) == list(again.traces["status"]) == ["complete", "truncated"]
    replayed = open_engine("replay", str(tmp_path / "run")).generate([Request("p1", CHAT)], Sampling(n=2))
    assert [one.finish_reason for one in replayed] == list(ends)
    lost = write(tmp_path / "lost.jsonl", [row(0, "", finish_reason=None, status="missing")])
    assert next(open_engine("replay", lost).generate([Request("p1", CHAT)], Sampling())).finish_reason == "error"
