"""Sets for fine-tuning, from runs whose counts are known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from epiverb.verbs.sampling.match import by_length, by_tokens, paired


def trace(problem, sample, condition, words, *, correct=True, finish="stop", context=None):
    """A response of as many tokens as words; each has one "maybe", the unguided two."""
    marks = "maybe maybe " if context is None else "maybe "
    text = f"{condition} {sample} {marks}" + "so " * (words - 3 - marks.count("maybe")) + "4."
    return {
        "problem_id": problem, "benchmark": "sums", "sample": sample, "condition": condition, "response": text, "context": context,
        "prompt": f"<user>{problem}?{' Solution: ' + context if context else ''}<assistant><think>\n", "gold": "4", "correct": correct,
        "n_tokens": words, "finish_reason": finish,
    }  # fmt: skip


@pytest.fixture
def run(epiverb):
    """Problem a: 3 and 2 right; b: 1 and 2; c: only unguided; one is wrong, one cut off, one said twice."""
    rows = [
        *(trace("a", i, "unguided", 40 + 10 * i) for i in range(3)),
        trace("a", 3, "unguided", 30, correct=False),
        trace("b", 0, "unguided", 20),
        trace("b", 1, "unguided", 20, finish="length"),
        trace("c", 0, "unguided", 25),
        *(trace("a", i, "solution", 10, context="S") for i in range(2)),
        *(trace("b", i, "solution", 19, context="S") for i in range(2)),
    ]
    rows.append({**rows[0], "sample": 4})
    Path("t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert epiverb("analyze", "t.jsonl", "-o", "run", "--no-report").code == 0
    questions = [
        {
            "benchmark": "sums",
            "problem_id": name,
            "messages": [{"role": "system", "content": "Think."}, {"role": "user", "content": f"{name}?"}],
        }
        for name in "abc"
    ]
    Path("run/problems.jsonl").write_text("".join(json.dumps(row) + "\n" for row in questions))
    return "run"


def lines(path):
    return [json.loads(line) for line in Path(path).read_text("utf-8").splitlines()]


def test_sets_are_paired_by_problem(epiverb, run):
    result = epiverb("sft-data", run, "-o", "sft", "--json")
    assert result.code == 0, result.err
    arms = result.json["arms"]
    for side in ("unguided", "guided"):
        rows = lines(f"sft/as-is/{side}.traces.jsonl")
        assert sorted(row["problem_id"] for row in rows) == ["a", "a", "b"]
        assert arms["as-is"][side]["n"] == 3
        assert arms["as-is"][side]["tokens"] == sum(row["n_tokens"] for row in rows)
    assert arms["as-is"]["unguided"]["markers"]["kim2026"]["hits"] == 6
    assert arms["as-is"]["guided"]["markers"]["kim2026"]["hits"] == 3
    left = result.json["excluded"]["unguided"]
    assert left == {
        "not_graded": 0, "wrong": 1, "right_but_unfinished": 1, "repeated": 1, "of_problems_without_a_pair": 1
    }  # fmt: skip
    assert "unguided: left out 1 wrong" in result.err
    assert "sets for fine-tuning" in epiverb("sft-data", run, "-o", "sft", "--overwrite").out.lower()


def test_matched_sets_are_matched(epiverb, run):
    arms = epiverb("sft-data", run, "-o", "sft", "--json").json["arms"]
    tokens = arms["token-matched"]
    assert tokens["guided"]["tokens"] == arms["as-is"]["guided"]["tokens"] == 39
    assert tokens["unguided"]["tokens"] <= 39
    length = arms["length-matched"]
    assert length["unguided"]["n"] == length["guided"]["n"] == 1  # 20 and 19 tokens; no other two are so close
    assert (length["unguided"]["tokens"], length["guided"]["tokens"]) == (20, 19)


def test_forms_load_and_hide_the_context(epiverb, run):
    datasets = pytest.importorskip("datasets")
    epiverb("sft-data", run, "-o", "sft")
    for form in ("chat", "prompt-completion", "alpaca"):
        data = datasets.load_dataset(
            "json", data_files=f"sft/as-is/guided.{form}.jsonl", split="train", cache_dir="cache"
        )
        assert len(data) == 3
        assert "Solution" not in json.dumps(data.to_list())
    chat = lines("sft/as-is/guided.chat.jsonl")[0]["messages"]
    assert [turn["role"] for turn in chat] == ["system", "user", "assistant"]
    assert chat[2]["content"].startswith("<think>\nsolution ")
    alpaca = lines("sft/as-is/guided.alpaca.jsonl")[0]
    assert list(alpaca) == ["instruction", "input", "output", "system"]
    assert (alpaca["instruction"], alpaca["system"]) == (chat[1]["content"], "Think.")
    pair = lines("sft/as-is/guided.prompt-completion.jsonl")[0]
    assert pair["prompt"] == f"<user>{alpaca['instruction']}<assistant><think>\n"
    assert pair["completion"].startswith("solution ")


def test_the_same_seed_writes_the_same_sets(epiverb, run):
    for out, seed in (("one", 0), ("two", 0)):
        epiverb("sft-data", run, "-o", out, "--seed", seed)
    for file in sorted(Path("one").rglob("*.jsonl")):
        assert file.read_bytes() == (Path("two") / file.relative_to("one")).read_bytes()


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--guided", "solutoin"), "Did you mean 'solution'?"),
        (("--guided", "unguided"), "both arms are 'unguided'"),
        (("--lexicon", "nowait"), "was not matched"),
        (("--caliper", "2"), "--caliper 2"),
        (("--form", "csv"), "unknown value 'csv'"),
        (("--size", "0"), "--size 0"),
    ],
)
def test_mistakes(epiverb, run, flags, told):
    result = epiverb("sft-data", run, "-o", "sft", *flags)
    assert result.code == 2
    assert told in result.message
    assert not Path("sft").exists()


def pool(rng, n, low, high):
    rows = {
        "benchmark": ["b"] * n,
        "problem_id": [str(i % 7) for i in range(n)],
        "n_tokens": rng.integers(low, high, n),
    }
    return pl.DataFrame({**rows, "trace_id": [str(i) for i in range(n)]})


def test_matching_keeps_its_promises(rng):
    for _ in range(20):
        one, other = pool(rng, int(rng.integers(1, 60)), 50, 400), pool(rng, int(rng.integers(1, 60)), 20, 200)
        a, b = paired(one, other, per_problem=3, size=None, rng=rng)
        counts = [dict(frame.group_by("problem_id").len().iter_rows()) for frame in (a, b)]
        assert counts[0] == counts[1]
        assert max(counts[0].values(), default=0) <= 3
        c, d = by_tokens(one, other, rng=rng)
        budget = min(one["n_tokens"].sum(), other["n_tokens"].sum())
        assert max(c["n_tokens"].sum(), d["n_tokens"].sum()) == budget
        for kept, frame in ((c, one), (d, other)):
            rest = frame.join(kept, on="trace_id", how="anti")["n_tokens"]
            assert all(kept["n_tokens"].sum() + tokens > budget for tokens in rest)
        e, f = by_length(one, other, caliper=0.1, size=None, rng=rng)
        assert len(e) == len(f) == _most_pairs(one["n_tokens"].to_list(), other["n_tokens"].to_list(), 0.1)
        assert all(abs(x - y) <= 0.1 * max(x, y) for x, y in zip(e["n_tokens"], f["n_tokens"], strict=True))
        assert e["trace_id"].n_unique() == len(e)


def _most_pairs(one, other, caliper):
    """The most pairs, by an algorithm for assignments instead of ours."""
    from scipy.optimize import linear_sum_assignment

    near = np.array([[abs(a - b) <= caliper * max(a, b) for b in other] for a in one])
    rows, columns = linear_sum_assignment(near, maximize=True)
    return int(near[rows, columns].sum())
