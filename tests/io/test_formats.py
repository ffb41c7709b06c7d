"""Every format: which one it is taken for, why, and its rows against values worked out by hand from the fixture."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from epiverb.io import FORMATS, open_source
from epiverb.io.raw import RAW, problem_hash

try:
    import tomllib
except ImportError:
    import tomli as tomllib

FOLDER = Path(__file__).parent.parent / "fixtures" / "formats"
PROVENANCE = tomllib.loads((FOLDER / "PROVENANCE.toml").read_text("utf-8"))
THOUGHT = "<think>\nSix sevens. Wait, that is 42.\n</think>\n\nThe answer is \\boxed{42}."
WRONG = "Perhaps 41. The answer is \\boxed{41}."
SIX, NINE = "What is 6 x 7?", "What is 9 x 9?"
SIX_ID = problem_hash(SIX)


def test_every_fixture_says_where_it_comes_from():
    files = {
        p.relative_to(FOLDER).as_posix() for p in FOLDER.rglob("*") if p.is_file() and p.suffix not in (".py", ".toml")
    }
    assert files - {name for name in files if "__pycache__" in name} == set(PROVENANCE)
    for name, origin in PROVENANCE.items():
        assert (FOLDER / origin["script"]).is_file(), name
        assert origin["tool"] != "by hand" or origin["fields"], name
        assert origin["tool"] == "by hand" or origin["version"], name


def test_every_format_has_a_fixture():
    assert {origin["format"] for origin in PROVENANCE.values()} >= set(FORMATS)


@pytest.mark.parametrize(("name", "origin"), [(n, o) for n, o in PROVENANCE.items() if o["format"] != "mapped"])
def test_recognised(read, name, origin):
    got = read(FOLDER / name)
    assert got.opened.format == origin["format"]
    assert len(got.opened.why) > 20
    assert got.frame.schema == RAW
    assert len(got.frame) > 0
    assert got.skipped == []
    assert got.frame["trace_id"].is_unique().all()
    assert got.frame["problem_id"].null_count() == 0
    assert set(got.frame["source"]) == {str(FOLDER / name)}


def test_formats_load_and_name_themselves():
    for name in FORMATS:
        form = FORMATS.get(name)
        assert form.name == name
        assert form.title


def test_forced_format_is_not_asked(read, formats):
    assert read(formats / "generic.jsonl", format="generic").opened.why == "you said so"


INSPECT = [
    ("six", 0, "Six sevens. Wait, that is 42.\n\nThe answer is 42", 0, 29, True, 1.0, "stop", 16),
    ("nine", 0, "Maybe 5? The answer is 5", None, None, False, 0.0, "stop", 24),
    ("six", 1, "Nine times nine. Hmm, let me", None, None, False, 0.0, "length", 28),
    ("nine", 1, "It adds.\n\nIt is 81", 0, 8, True, 1.0, "stop", 8),
]
INSPECT_COLUMNS = (
    *("problem_id", "sample", "response", "thinking_start", "thinking_end", "correct", "reward", "finish_reason"),
    "n_tokens",
)


@pytest.mark.parametrize("name", ["inspect.eval", "inspect-deflate.eval", "inspect.json"])
def test_inspect(read, formats, name):
    got = read(formats / name)
    assert sorted(got.rows(*INSPECT_COLUMNS)) == sorted(INSPECT)
    assert set(got.rows("benchmark", "prompt", "gold")) == {("sums", SIX, "42"), ("sums", NINE, "81")}
    assert "'includes' is taken, match left out" in got.notes
    assert "redacted" in got.notes


def test_inspect_sample_that_failed_is_a_trace_without_text(read_text):
    sample = {
        "id": 1,
        "epoch": 1,
        "input": "q",
        "target": ["a"],
        "output": {"choices": []},
        "error": {"message": "boom"},
    }
    part = {"id": 2, "epoch": 2, "input": "q", "target": "attachment://h", "scores": {"s": {"value": "P"}}}
    part["output"] = {"choices": [{"message": {"content": "attachment://h"}, "stop_reason": "stop"}]}
    part["attachments"] = {"h": "long text"}
    log = {"version": 2, "status": "error", "eval": {"task": "org/t"}, "samples": [sample, part]}
    got = read_text(json.dumps(log), "log.json")
    assert got.rows(
        "response", "finish_reason", "grade_reason", "gold", "correct", "reward", "sample", "benchmark"
    ) == [
        (None, "error", "boom", "a", None, None, 0, "t"),
        ("long text", "stop", "Inspect scorer s", "long text", None, 0.5, 1, "t"),
    ]


def test_lm_eval(read, formats):
    got = read(formats / "samples_sums_2026-01-01T00-00-00.000000.jsonl")
    assert got.rows("benchmark", "sample", "response", "prompt", "gold") == [
        ("sums", 0, "<think>Six sevens. Wait, 42.</think> The answer is 42", f"Question: {SIX}\nAnswer:", "42"),
        ("sums", 1, "Perhaps 41. The answer is 41", f"Question: {SIX}\nAnswer:", "42"),
        ("sums", 0, "Nine nines are 81. The answer is 81", f"Question: {NINE}\nAnswer:", "81"),
        ("sums", 1, "Hmm, the answer is 81", f"Question: {NINE}\nAnswer:", "81"),
    ]
    assert got.n_records == 4  # both filters' rows are read, the second one's hold nothing new
    assert "'strict'; 'loose' is left out" in got.notes
    assert got.frame["correct"].null_count() == 4  # one number for two repeats


def lm_eval_row(**changes):
    row = {
        "doc_id": 3,
        "doc": {"q": "q"},
        "target": "42",
        "arguments": [["p", {}]],
        "resps": [["a 42"]],
        "filtered_resps": ["42"],
        "filter": "none",
        "metrics": ["math_verify"],
        "math_verify": 1.0,
        "doc_hash": "h",
    }
    return json.dumps({**row, **changes}) + "\n"


def test_lm_eval_grades_single_responses_and_lists(read_text):
    several = lm_eval_row(resps=[["a", "b"]], filtered_resps=[["x", "y"]], math_verify=[0, 1])
    got = read_text(lm_eval_row() + several, "samples_t.jsonl")
    assert got.rows("problem_id", "answer", "correct", "reward", "prompt") == [
        ("h", "42", True, 1.0, "p"),
        ("h", "x", False, 0.0, "p"),
        ("h", "y", True, 1.0, "p"),
    ]


def test_lm_eval_prompt_as_json_text_in_a_list(read_text):
    chat = json.dumps([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "q"}])
    got = read_text(lm_eval_row(arguments={"gen_args_0": {"arg_0": [chat], "arg_1": {}}}))
    assert got.rows("prompt") == [("system: Be brief.\n\nuser: q",)]


def test_lm_eval_loglikelihood_rows_hold_no_text(read_text):
    got = read_text(lm_eval_row() + lm_eval_row(resps=[[["-1.2", "False"]]]))
    assert got.n_records == 1
    assert [(skip.line, "log-likelihood" in skip.reason) for skip in got.skipped] == [(2, True)]


def test_lm_eval_says_when_the_reasoning_was_cut(read_text, tmp_path):
    (tmp_path / "Qwen__QwQ-32B").mkdir()
    got = read_text(lm_eval_row(), "Qwen__QwQ-32B/samples_t.jsonl")
    assert "think_end_token" in got.notes
    shown = read_text(lm_eval_row(resps=[["<think>x</think> 42"]]), "Qwen__QwQ-32B/samples_t.jsonl")
    assert shown.notes == ""
    (tmp_path / "Qwen__Qwen3-8B-Base").mkdir()
    assert read_text(lm_eval_row(), "Qwen__Qwen3-8B-Base/samples_t.jsonl").notes == ""


def test_a_folder_that_speaks_of_reasoning_is_no_model(read_text, tmp_path):
    (tmp_path / "my-reasoning-project" / "runs" / "Llama-3").mkdir(parents=True)
    assert read_text(lm_eval_row(), "my-reasoning-project/runs/Llama-3/samples_t.jsonl").notes == ""


def test_lighteval(read, formats):
    got = read(formats / "details_sums.parquet")
    columns = ("problem_id", "sample", "response", "thinking_end", "answer", "gold", "correct", "n_tokens", "benchmark")
    assert got.rows(*columns) == [
        ("0", 0, "<think>Six sevens. Wait, 42.</think>42", None, "42", "42", True, 3, "sums"),
        ("1", 0, "Maybe 80?\n\nIt is 80", 9, None, "81", False, 2, "sums"),
        ("2", 0, "Four", None, None, "4", None, 1, "sums"),
        ("2", 1, "4", None, None, "4", None, 2, "sums"),
    ]


def test_lighteval_before_0_10(read, formats):
    got = read(formats / "details_old.parquet")
    assert got.rows("response", "gold", "correct", "prompt") == [(THOUGHT, "42", True, f"Question: {SIX}")]


@pytest.mark.parametrize("name", ["completions_00001.parquet", "completions_chat_00001.parquet"])
def test_trl(read, formats, name):
    got = read(formats / name)
    assert got.rows("step", "sample", "prompt", "correct", "reward") == [
        (1, 0, "What 6 x 7 ?", False, 0.0),
        (1, 1, "What 6 x 7 ?", False, 0.0),
        (1, 0, "What 7 x 6 ?", False, 0.0),
        (1, 1, "What 7 x 6 ?", False, 0.0),
    ]
    assert got.frame["response"].to_list()[2] == "41"
    assert "accuracy_reward == 1" in got.notes
    assert "left out: format_reward" in got.notes


def test_trl_without_an_accuracy_reward(read_text):
    got = read_text('{"prompt": "p", "completion": "c", "advantage": 0.1, "length_reward": 0.25, "step": 3}')
    assert got.rows("correct", "reward", "step") == [(None, 0.25, 3)]
    assert "correct is unknown" in got.notes


@pytest.mark.parametrize("name", ["verl/20.jsonl", "verl_20.jsonl.gz", "verl_20.jsonl.zst"])
def test_verl(read, formats, name):
    got = read(formats / name)
    assert got.rows("response", "correct", "reward", "answer", "gold", "step", "sample") == [
        (THOUGHT, True, 1.0, "42", "42", 20, 0),
        (WRONG, False, -0.5, "41", "42", 20, 1),
    ]
    assert got.frame["problem_id"].n_unique() == 1


def test_verl_without_acc_goes_by_the_score(read_text):
    lines = '{"input":"i","output":"o","score":0.5,"gts":"1"}\n{"input":"i","output":"o","score":-1,"gts":"1"}\n'
    got = read_text(lines, "30.jsonl")
    assert got.rows("correct", "reward", "step") == [(True, 0.5, 30), (False, -1.0, 30)]
    assert "score > 0" in got.notes


def test_limo(read, formats):
    got = read(formats / "limo_Qwen3-8B_aime_t0.6_k2.jsonl")
    assert got.rows("problem_id", "benchmark", "sample", "response", "answer", "gold", "correct", "prompt", "line") == [
        ("60", "aime", 0, THOUGHT, "42", "42", True, SIX, 1),
        ("60", "aime", 1, WRONG, "41", "42", False, SIX, 1),
        ("61", "aime", 0, "It seems to be 80.", "80", "81", False, NINE, 2),
        ("61", "aime", 1, "Hmm. 81.", "81", "81", True, NINE, 2),
    ]


def test_limo_as_parquet_reads_the_same(read, formats):
    columns = ("problem_id", "sample", "response", "answer", "gold", "correct", "prompt", "line")
    assert read(formats / "limo.parquet").rows(*columns) == read(formats / "limo_Qwen3-8B_aime_t0.6_k2.jsonl").rows(
        *columns
    )


def test_paper_eval(read, formats):
    got = read(formats / "paper_eval.jsonl")
    assert got.rows("problem_id", "benchmark", "correct", "n_tokens") == [
        (SIX_ID, "aime24", True, 17),
        (SIX_ID, "aime24", False, 9),
    ]


def test_qwen_math(read, formats):
    got = read(formats / "qwen_math_cot.jsonl")
    assert got.rows("problem_id", "response", "answer", "gold", "correct", "finish_reason", "benchmark") == [
        ("0", THOUGHT, "42", "42", True, "stop", "math"),
        ("0", WRONG, "41", "42", False, "length", "math"),
    ]


def test_evalchemy(read, formats):
    got = read(formats / "evalchemy.json")
    assert got.rows("problem_id", "benchmark", "sample", "answer", "correct", "grade_reason") == [
        ("60", "AIME24", 0, "42", True, "equals expected_answer as text"),
        ("60", "AIME24", 1, "41", False, "equals expected_answer as text"),
    ]


def test_skythought(read, formats):
    got = read(formats / "skythought.json")
    assert got.rows("problem_id", "sample", "condition", "prompt", "correct", "n_tokens", "gold") == [
        ("0", 0, None, f"Solve: {SIX}", True, 17, "42"),
        ("0", 1, None, f"Solve: {SIX}", False, 9, "42"),
    ]
    old = read(formats / "skythought_old.json")
    assert old.rows("problem_id", "sample", "condition", "correct", "n_tokens") == [
        (SIX, 0, "t0.0", True, 17),
        (SIX, 0, "t0.7", False, 9),
    ]


def test_openai_batch(read, formats):
    got = read(formats / "batch_output.jsonl")
    assert got.rows("problem_id", "sample", "response", "thinking_end", "finish_reason", "n_tokens") == [
        ("six", 0, "Six sevens. Wait.\n\n42", 17, "stop", 7),
        ("nine", 0, "Nine nines.\n\n81", 11, "stop", None),
        ("nine", 1, "Maybe", None, "length", None),
        ("ten", 0, None, None, "error", None),
        ("hidden", 0, "100", None, "stop", 90),
    ]
    assert "1 traces spent tokens on reasoning" in got.notes


def test_openai_responses_api(read, formats):
    got = read(formats / "responses_api.jsonl")
    assert got.rows("response", "thinking_end", "n_tokens", "finish_reason") == [("Multiplying.\n\n42", 12, 5, "stop")]


def test_vllm_outputs(read, formats):
    got = read(formats / "vllm_outputs.jsonl")
    assert got.rows("problem_id", "sample", "response", "n_tokens", "finish_reason") == [
        (SIX_ID, 0, THOUGHT, 3, "stop"),
        (SIX_ID, 1, WRONG, 2, "length"),
    ]


def test_chat(read, formats):
    got = read(formats / "chat.jsonl")
    assert got.rows("problem_id", "prompt", "response", "thinking_end", "correct", "reward") == [
        ("six", f"system: Be brief.\n\nuser: {SIX}", "Six sevens.\n\n42", 11, True, None),
        (problem_hash(NINE), NINE, "Maybe 81.\n\n81", 9, None, 0.5),
    ]


def test_chat_uses_the_last_assistant_message(read_text):
    turns = [("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")]
    messages = [{"role": role, "content": content} for role, content in turns]
    prompts_only = {"messages": messages[:1]}
    got = read_text(json.dumps({"messages": messages}) + "\n" + json.dumps(prompts_only) + "\n")
    assert got.rows("response", "prompt") == [("d", "user: a\n\nassistant: b\n\nuser: c")]
    assert [tuple(skip) for skip in got.skipped] == [(2, "no text: no assistant message")]


def test_sharegpt_and_alpaca(read, formats):
    share = read(formats / "sharegpt.json").rows("prompt", "response")
    assert share == [(f"system: Be brief.\n\nuser: {SIX}\n\nassistant: Is that times?\n\nuser: Yes.", THOUGHT)]
    alpaca = read(formats / "alpaca.json").rows("problem_id", "prompt", "response")
    assert alpaca == [(SIX_ID, f"system: Be brief.\n\nuser: {SIX}", THOUGHT)]


def test_olmo(read, formats):
    got = read(formats / "sums-predictions.jsonl")
    assert got.rows("problem_id", "benchmark", "sample", "response", "correct", "n_tokens", "gold") == [
        ("six", "sums", 0, THOUGHT, True, 17, "42"),
        ("six", "sums", 1, "41", False, None, "42"),
    ]


@pytest.mark.parametrize("name", ["collect.jsonl", "collect_json_columns.parquet"])
def test_collect(read, formats, name):
    got = read(formats / name)
    assert got.rows("problem_id", "benchmark", "sample", "response", "correct", "prompt") == [
        ("17", "math_dapo", 0, THOUGHT, True, f"{SIX}\nPlease reason step by step."),
        ("17", "math_dapo", 1, "So 42.", True, f"{SIX}\nPlease reason step by step."),
    ]
    assert "accuracy cannot be estimated" in got.notes


def test_chained(read, formats):
    got = read(formats / "chained_results_all.jsonl")
    assert got.rows("condition", "sample", "context", "response", "answer", "correct") == [
        ("round1", 0, THOUGHT, "42 it is.", "42", True),
        ("round1", 1, THOUGHT, WRONG, "41", False),
        ("round2", 0, "42 it is.", "42.", "42", True),
    ]
    assert got.frame["trace_id"].n_unique() == 3
    one = read(formats / "round1_results.jsonl")
    assert one.rows("condition", "sample", "correct") == [("round1", 0, True), ("round1", 1, False)]


def test_a_label_names_the_condition_and_keeps_rounds_apart(read, formats):
    assert set(read(formats / "own.jsonl", label="base").frame["condition"]) == {"base"}
    labelled = read(formats / "chained_results_all.jsonl", label="base").frame["condition"]
    assert labelled.to_list() == ["base/round1", "base/round1", "base/round2"]


def test_own_traces_round_trip_through_parquet(read, formats, tmp_path):
    got = read(formats / "own.jsonl")
    got.frame.write_parquet(tmp_path / "traces.parquet")
    again = read(tmp_path / "traces.parquet")
    assert again.opened.format == "epiverb"
    drop = ["trace_id", "source"]
    assert again.frame.drop(drop).equals(got.frame.drop(drop))


def test_rollouts_of_a_training(read, formats):
    got = read(formats / "training" / "rollouts" / "step-000012-rank-0.parquet")
    assert got.rows(
        "problem_id", "sample", "step", "condition", "domain", "correct", "reward", "finish_reason", "gold"
    ) == [
        ("six", 0, 12, "rollout", "id", True, 1.0, "stop", "42"),
        ("six", 1, 12, "rollout", "id", False, 0.0, "stop", "42"),
    ]
    assert got.rows("response", "benchmark", "grade_reason") == [(THOUGHT, "sums", "boxed"), (WRONG, "sums", "boxed")]


def test_generic(read, formats):
    got = read(formats / "generic.jsonl")
    assert got.rows("problem_id", "response", "thinking_start", "thinking_end", "correct", "reward", "gold") == [
        ("six", "Six sevens.\n\n42", 0, 11, True, 1.0, "42"),
        ("nine", "80", None, None, False, 0.0, "81"),
    ]


def test_real_traces(shared, read):
    expected = {"aime": 30, "amc": 40, "math": 500}
    for path in sorted((shared / "traces").glob("*.jsonl")):
        got = read(path)
        benchmark = got.frame["benchmark"][0]
        assert got.opened.format == "limo"
        assert len(got.frame) == expected[benchmark]
        assert got.skipped == []
        assert got.frame["problem_id"].n_unique() == expected[benchmark]


def test_problem_sets_are_told_from_traces(shared):
    for name in ("evaluation/aime24.parquet", "evaluation/amc23.parquet", "chemistry/test.json"):
        with pytest.raises(Exception, match=r"prompt.*--map response=KEY"):
            open_source(str(shared / "data" / name))
