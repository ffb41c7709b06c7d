"""`epiverb sample` with a real model in this process."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from epiverb.run import Run

HOT = ("--temperature", 1, "--top-k", 0, "--top-p", 1, "--max-tokens", 48)
CONTEXTS = (
    "none", "solution", "solution-no-think", "regenerated", "answer", "fraction:0.5", "unrelated", "wrong", "uncertain",
    "concise", "direct", "solution@sdpo-yaml",
)  # fmt: skip


@pytest.fixture(scope="module")
def plain(model, problems, tmp_path_factory) -> Path:
    """A run of every problem, four samples each, without context."""
    from epiverb.config import build
    from epiverb.configs.sample import SampleConfig
    from epiverb.verbs.sample import sample

    out = tmp_path_factory.mktemp("runs") / "plain"
    hot = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "max_tokens": 48, "logprobs": 2}
    settings = {"model": str(model), "data": [str(problems)], "samples": 4, "out": str(out), "decoding": hot}
    sample(build(SampleConfig, settings))
    return out


def test_every_column_of_a_sampled_trace_is_filled(plain, problems):
    run = Run(plain)
    traces = run.scan("traces").collect()
    assert len(traces) == 48
    filled = traces.drop(
        "domain", "step", "context", "loop_start", "reward", "answer", "thinking_start", "thinking_end"
    )
    assert filled.null_count().sum_horizontal()[0] == 0
    assert set(traces["condition"]) == {"none"}
    assert set(traces["gold"]) == {"4"}
    assert traces.select("problem_id", "sample").n_unique() == 48
    finished = traces.filter(pl.col("status") == "complete")
    boxed = finished["response"].str.extract(r"\\boxed\{(\d)\}")
    assert finished["correct"].to_list() == [answer == "4" for answer in boxed]
    assert 0 < traces["correct"].sum() < 48
    assert traces["prompt"][0].startswith("<|im_start|>user\nWhat is 0 + 4?")
    assert traces["prompt"][0].endswith("<|im_start|>assistant\n")
    assert {"hits.parquet", "values.parquet", "points.parquet", "summary.json", "report.html"} <= {
        path.name for path in plain.iterdir()
    }
    assert not (plain / "parts").exists()


def test_run_json_says_what_was_really_used(plain):
    manifest = Run(plain).manifest
    assert manifest["decoding"]["temperature"] == 1.0
    assert manifest["decoding"]["max_tokens"] == 48
    assert manifest["engine"]["dtype"] == "float32"
    assert manifest["published"]["family"] == "Qwen3, thinking"
    assert len(next(iter(manifest["inputs"].values()))) == 64
    assert set(manifest["lexicons"]) >= {"epiverb-en", "kim2026"}


def test_tokens_spell_the_response(plain, model):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    run = Run(plain)
    texts = dict(run.scan("traces").select("trace_id", "response").collect().iter_rows())
    tokens = run.scan("tokens").collect()
    assert tokens.group_by("trace_id").len().height == 48
    assert tokens["start"].null_count() == 0
    for (trace,), rows in tokens.group_by(["trace_id"], maintain_order=True):
        assert rows["position"].to_list() == list(range(len(rows)))
        assert tokenizer.decode(rows["token_id"].to_list(), skip_special_tokens=False) == texts[trace]
        for token, start, end in rows.select("token_id", "start", "end").iter_rows():
            piece = tokenizer.decode([token])
            if "\ufffd" not in piece:
                assert texts[trace][start:end] == piece
    assert (tokens["logprob"] <= 0).all()
    alternatives = run.scan("alternatives").collect()
    assert set(alternatives["rank"]) == {0, 1}
    assert len(alternatives) == 2 * len(tokens)


def test_other_commands_take_the_folder(epiverb, plain):
    assert "traces   48 of 12 problems" in epiverb("analyze", plain, "--no-report").out
    assert epiverb("show", plain, 1).code == 0
    result = epiverb("compare", plain, plain.parent / "plain@none", "--draws", 100, "--no-specificity", "--json").json
    assert result["accuracy"]["delta"] == 0
    assert "has no arm 'nine'. Did you mean 'none'?" in epiverb("compare", plain, f"{plain}@nine").message


def test_every_context_end_to_end(epiverb, model, problems, plain):
    flags = [flag for context in CONTEXTS for flag in ("--context", context)]
    result = epiverb(
        "sample", "-m", model, "-d", problems, "--limit", 6, *flags, "-n", 1, *HOT, "-o", "all", "--from", plain, "--no-report", "--json",
        "--draws", 100,
    )  # fmt: skip
    assert result.code == 0, result.err
    arms = {arm["condition"]: arm for arm in result.json["arms"]}
    assert list(arms) == list(CONTEXTS)
    source = result.json["sources"][0]
    assert source["records"] == sum(arm["n_problems"] + arm["n_skipped"] for arm in arms.values()) == 6 * len(CONTEXTS)
    assert source["traces"] + source["n_skipped"] == source["records"]
    traces = Run("all").scan("traces").collect()
    earlier = Run(plain).scan("traces").collect()
    right = earlier.filter(pl.col("correct")).unique("problem_id", keep="first", maintain_order=True)
    peers = dict(right.select("problem_id", "response").iter_rows())
    shown = dict(traces.filter(pl.col("condition") == "solution").select("problem_id", "context").iter_rows())
    assert shown == {problem: peers[problem] for problem in shown}
    for problem, context in shown.items():
        prompt = traces.filter((pl.col("condition") == "solution") & (pl.col("problem_id") == problem))["prompt"][0]
        assert f"Correct solution: {context}" in prompt
    wrong = traces.filter(pl.col("condition") == "wrong")
    assert set(wrong["context"]) <= set(earlier.filter(~pl.col("correct"))["response"])
    unrelated = traces.filter(pl.col("condition") == "unrelated")
    assert set(unrelated["context"]) <= set(peers.values())
    assert traces.filter(pl.col("condition") == "none")["context"].null_count() == 6
    assert set(traces.filter(pl.col("condition") == "answer")["context"]) == {"4"}


def test_arms_before_are_material_for_those_behind(epiverb, model, problems):
    result = epiverb(
        "sample", "-m", model, "-d", problems, "--limit", 4, "--context", "none", "--context", "solution", "-n", 4, *HOT, "-o", "two",
        "--no-report", "--json", "--draws", 100,
    )  # fmt: skip
    traces = Run("two").scan("traces").collect()
    right = traces.filter((pl.col("condition") == "none") & pl.col("correct")).sort("sample")
    peers = dict(
        right.unique("problem_id", keep="first", maintain_order=True).select("problem_id", "response").iter_rows()
    )
    shown = traces.filter(pl.col("condition") == "solution")
    assert dict(shown.select("problem_id", "context").iter_rows()) == peers
    arm = result.json["arms"][1]
    assert arm["n_problems"] == len(peers)
    assert arm["n_skipped"] == 4 - len(peers)


def test_without_material_nothing_is_left_behind(epiverb, model, problems):
    result = epiverb("sample", "-m", model, "-d", problems, "--context", "solution", "-o", "none", *HOT)
    assert result.code == 2
    assert "nothing to sample: solution: no correct solution" in result.message
    assert "--from RUN" in result.message
    assert not Path("none").exists()


def test_shards_make_the_whole(epiverb, model, problems, plain):
    for shard in ("1/2", "2/2"):
        epiverb(
            "sample",
            "-m",
            model,
            "-d",
            problems,
            "-n",
            4,
            *HOT,
            "--shard",
            shard,
            "-o",
            shard[0],
            "--no-report",
            "--draws",
            100,
        )
    assert epiverb("analyze", "1", "2", "-o", "joined", "--no-report", "--draws", 100).code == 0
    key = ["problem_id", "sample", "response", "correct", "n_tokens"]
    halves, whole = (Run(path).scan("traces").select(key).sort(key).collect() for path in ("joined", plain))
    assert halves.equals(whole)
    assert Run("joined").manifest["decoding"] == Run("1").manifest["decoding"]


def test_a_dry_run_asks_nothing(epiverb, model, problems, plain):
    flags = ("-m", model, "-d", problems, "--context", "none", "--context", "solution", "--from", plain, *HOT)
    result = epiverb("sample", *flags, "-o", "dry", "--dry-run", "--json")
    document = result.json
    assert not Path("dry").exists()
    assert document["n_requests"] == sum(arm["n_requests"] for arm in document["arms"])
    none, solution = document["arms"]
    assert none["n_requests"] == 12
    assert solution["prompt_tokens"] > none["prompt_tokens"]
    assert solution["prompt"].startswith("<|im_start|>user\nWhat is ")
    assert document["decoding"]["temperature"] == 1.0
    text = epiverb("sample", *flags, "--dry-run").out
    assert "temperature: 1.0" in text
    assert "solution: " in text


def test_a_long_solution_is_trimmed_and_counted(epiverb, model, problems, tmp_path):
    rows = [{"problem_id": "p0", "question": "What is 0 + 4?", "gold": "4", "solution": "It is 4. " * 2000}]
    (tmp_path / "long.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = epiverb(
        "sample", "-m", model, "-d", "long.jsonl", "--context", "solution", "-n", 1, *HOT, "-o", "t", "--no-report"
    )
    assert result.code == 0, result.err
    assert "the context of 1 of 1 problems was cut to fit the window" in result.err
    trace = Run("t").scan("traces").collect().to_dicts()[0]
    assert trace["prompt"].endswith("Correctly solve the original question.<|im_end|>\n<|im_start|>assistant\n")
    assert len(trace["context"]) < 18_000
    values = Run("t").scan("values").filter(pl.col("measure") == "context/trimmed-tokens").collect()
    assert values["value"][0] > 1000


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("-m", "./nowhere"), "nowhere"),
        (("-d", "aime42"), "aime42"),
        (("--context", "solutoin"), "Did you mean 'solution'?"),
        (("--max-tokens", "5000"), "the model's window is 2048 tokens"),
        (("--shard", "3/2"), "--shard 3/2"),
        (("-n", "0"), "at least one sample"),
        (("--temperature", "-1"), "below 0"),
        (("--engine", "hff"), "Did you mean 'hf'?"),
        (("--engine-option", "batch=3"), "no option 'batch'"),
        (("--lexicon", "kim2027"), "kim2026"),
        (("--ladder", "--context", "answer"), "--ladder has its own"),
        (("--min-correct", "1"), "--from RUN"),
        (("--from", "nowhere"), "nowhere"),
        (("--ban", "kim2026", "--boost", "kim2026"), "one at a time"),
        (("--boost", "kim2026"), "needs an amount"),
        (("--lenient", "percnt"), "percent"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(epiverb, model, problems, flags, told):
    base = {"-m": str(model), "-d": str(problems)} | ({flags[0]: flags[1]} if flags[0] in ("-m", "-d") else {})
    rest = () if flags[0] in ("-m", "-d") else flags
    result = epiverb("sample", *[item for pair in base.items() for item in pair], "-o", "out", *rest)
    assert result.code == 2, result.err
    assert told in result.message
    assert len(result.err.strip().splitlines()) == 1
    assert not Path("out").exists()


def test_a_question_longer_than_the_window_is_skipped_with_its_reason(epiverb, model, tmp_path):
    rows = [{"problem_id": str(i), "question": "What is 4? " * (4000 * i + 1), "gold": "4"} for i in range(2)]
    (tmp_path / "long.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = epiverb("sample", "-m", model, "-d", "long.jsonl", "-n", 2, *HOT, "-o", "t", "--no-report", "--json")
    assert result.code == 0, result.err
    source = result.json["sources"][0]
    assert (source["records"], source["traces"], source["n_skipped"]) == (2, 2, 1)
    assert "the prompt has" in source["skipped"][0]["reason"]
    assert "1 of 2 records skipped" in result.err
