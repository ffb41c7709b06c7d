"""`epiverb sample` over a real vLLM: the run is that of transformers, and steering works in its workers."""

from __future__ import annotations

import json
import sys

import polars as pl
import pytest

import epiverb as ev
from epiverb.cli import main
from tests.models.taught import taught_model

TEXTS = ("Wait, what is 2 + 2?", "What is 12 + 30?", "Using the numbers 3, 7 and 25, make 46.", "naïve café 😀")
VLLM = ("dtype=float32", "enforce_eager=true", "distributed_executor_backend=uni")


@pytest.fixture(scope="module")
def problems(tmp_path_factory):
    rows = [{"problem_id": f"p{i}", "question": text, "gold": "4"} for i, text in enumerate(TEXTS)]
    file = tmp_path_factory.mktemp("data") / "few.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return file


@pytest.fixture
def sample(monkeypatch, folder, problems, tmp_path):
    """Call `epiverb sample` over an engine; the run."""

    def call(engine, *flags):
        options = VLLM if engine == "vllm" else VLLM[:1]
        command = ["epiverb", "sample", "-m", folder, "-d", problems, "--no-report", "--draws", 100, "--quiet"]
        command += ["--engine", engine, *(item for option in options for item in ("--engine-option", option))]
        out = tmp_path / f"run{len(list(tmp_path.iterdir()))}"
        monkeypatch.setattr(sys, "argv", [str(item) for item in (*command, *flags, "-o", out)])
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code in (0, None)
        return ev.Run(out)

    return call


def test_the_run_is_that_of_transformers(sample):
    """Greedy, two arms, with log-probabilities: the same traces, hits and tokens."""
    flags = (
        "-n",
        1,
        "--temperature",
        0,
        "--max-tokens",
        48,
        "--context",
        "none",
        "--context",
        "answer",
        "--logprobs",
        0,
    )
    ours, theirs = sample("hf", *flags), sample("vllm", *flags)
    assert len(ours.traces) == 2 * len(TEXTS)
    for table in ("traces", "hits"):
        assert theirs.scan(table).collect().equals(ours.scan(table).collect()), table
    tokens = [run.scan("tokens").sort("trace_id", "position").collect() for run in (ours, theirs)]
    assert tokens[0].drop("logprob").equals(tokens[1].drop("logprob"))
    assert tokens[1]["logprob"].to_list() == pytest.approx(tokens[0]["logprob"].to_list(), abs=1e-3)
    assert theirs.manifest["engine"]["name"] == "vllm"
    assert theirs.manifest["decoding"] == ours.manifest["decoding"]


def test_banned_markers_do_not_come(sample, tmp_path_factory):
    """Of a model that says them in half of its responses."""
    model = taught_model(tmp_path_factory.mktemp("models") / "taught", hidden=128)
    flags = ("-m", model, "-n", 8, "--temperature", 1, "--top-k", 0, "--top-p", 1, "--max-tokens", 48)
    free, banned = sample("hf", *flags), sample("vllm", *flags, "--ban", "kim2026")

    def markers(run):
        return run.scan("hits").filter(pl.col("lexicon") == "kim2026").select(pl.len()).collect().item()

    assert len(free.traces) == len(banned.traces) == 8 * len(TEXTS)
    assert markers(free) > 20
    assert markers(banned) == 0
    assert banned.traces["n_tokens"].min() > 3
    assert banned.manifest["decoding"]["intervention"] == "ban kim2026"
    assert banned.manifest["interventions"]["none"][0]["lexicon_sha256"] == banned.manifest["lexicons"]["kim2026"]
