"""Log-probabilities out of trace files: OpenAI's and vLLM's batches, vLLM's RequestOutput."""

from __future__ import annotations

import gzip
import json
import math

import polars as pl
import pytest

from epiverb.run import Run

PIECES = [b"Wait", b",", b" caf", b"\xc3", b"\xa9", b" is 4"]
P = [(0.5, 0.3), (0.9, 0.05), (0.6, 0.2), (1.0, 0.0), (0.7, 0.2), (0.4, 0.35)]


def _batch() -> dict:
    content = [
        {
            "token": piece.decode("utf-8", "replace"),
            "bytes": list(piece),
            "logprob": math.log(p),
            "top_logprobs": [{"token": "x", "logprob": math.log(v) if v else -9999.0} for v in (p, q)],
        }
        for piece, (p, q) in zip(PIECES, P, strict=True)
    ]
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": b"".join(PIECES).decode()},
        "logprobs": {"content": content},
        "finish_reason": "stop",
    }
    return {
        "custom_id": "q1",
        "response": {"status_code": 200, "body": {"model": "m", "choices": [choice]}},
        "error": None,
    }


def _outputs() -> dict:
    steps = [
        {
            "5": {"logprob": math.log(0.5), "rank": 1, "decoded_token": "Maybe"},
            "6": {"logprob": math.log(0.2), "rank": 2},
        },
        {  # the sampled token is not among the two most likely: it is no third
            "7": {"logprob": math.log(0.01), "rank": 40},
            "5": {"logprob": math.log(0.6), "rank": 1},
            "6": {"logprob": math.log(0.3), "rank": 2},
        },
    ]
    output = {"index": 0, "text": "Maybe 4", "token_ids": [5, 7], "logprobs": steps, "finish_reason": "stop"}
    return {"request_id": "0", "prompt": "q?", "prompt_token_ids": [1], "outputs": [output]}


def _points(folder, measure: str) -> list[float]:
    rows = Run(folder).scan("points").filter((pl.col("measure") == measure) & (pl.col("axis") == "token")).sort("x")
    return rows.collect()["value"].to_list()


@pytest.mark.parametrize("packed", [False, True])
def test_batch_of_an_api(epiverb, tmp_path, packed):
    file = tmp_path / ("batch_output.jsonl.gz" if packed else "batch_output.jsonl")
    text = "".join(
        json.dumps(row) + "\n" for row in ({**_batch(), "custom_id": "q0", "response": None, "error": "x"}, _batch())
    )
    file.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    assert epiverb("analyze", file, "--out", "run", "-q", "--no-report").code == 0
    done = epiverb("score", "run", "--vocabulary", 100, "--json", "-q")
    assert done.code == 0, done.err
    assert done.json["tokens"]["n_scored"] == 1
    assert done.json["tokens"]["unknown"] == {"no log-probabilities are stored": 1}
    assert done.json["tokens"]["alignment"] == {"n_hits": 1, "n_unaligned_hits": 0}
    assert _points("run", "surprisal") == pytest.approx([-math.log(p) for p, _ in P])
    low, high = _points("run", "entropy-lower"), _points("run", "entropy-upper")
    known = -0.5 * math.log(0.5) - 0.3 * math.log(0.3)
    assert low[0] == pytest.approx(known - 0.2 * math.log(0.2), abs=1e-5)
    assert high[0] == pytest.approx(known - 0.2 * math.log(0.2 / 98), abs=1e-5)
    assert low[3] == pytest.approx(0, abs=1e-6)


def test_request_outputs_of_vllm(epiverb, tmp_path):
    file = tmp_path / "outputs.jsonl"
    file.write_text(json.dumps(_outputs()) + "\n")
    assert epiverb("analyze", file, "--out", "run", "-q", "--no-report").code == 0
    done = epiverb("score", "run", "--json", "-q")
    assert done.code == 0, done.err
    assert _points("run", "surprisal") == pytest.approx([-math.log(0.5), -math.log(0.01)])
    assert _points("run", "confidence") == pytest.approx(
        [-(math.log(0.5) + math.log(0.2)) / 2, -(math.log(0.6) + math.log(0.3)) / 2], abs=1e-5
    )
    assert _points("run", "entropy-upper") == []  # the vocabulary is not known
    assert done.json["tokens"]["alignment"]["n_unaligned_hits"] == 1  # ids without text have no place


def test_a_file_without_any_says_so(epiverb, tmp_path):
    row = _outputs()
    del row["outputs"][0]["logprobs"]
    (tmp_path / "outputs.jsonl").write_text(json.dumps(row) + "\n")
    epiverb("analyze", "outputs.jsonl", "--out", "run", "-q", "--no-report")
    done = epiverb("score", "run")
    assert done.code == 2
    assert "holds no log-probabilities" in done.message
    assert not (tmp_path / "run" / "score.json").exists()
