"""Interventions through the front door, with the hf engine."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from epiverb.run import Run

HOT = ("--temperature", 1, "--top-k", 0, "--top-p", 1, "--max-tokens", 48, "--no-report", "--draws", 100)


@pytest.fixture(scope="module")
def base(model, problems, tmp_path_factory):
    from epiverb.config import build
    from epiverb.configs.sample import SampleConfig
    from epiverb.verbs.sample import sample

    out = tmp_path_factory.mktemp("runs") / "base"
    hot = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "max_tokens": 48}
    settings = {"model": str(model), "data": [str(problems)], "samples": 4, "out": str(out), "decoding": hot}
    sample(build(SampleConfig, {**settings, "report": False, "draws": 100}))
    return out


def markers(path) -> int:
    return Run(path).scan("hits").filter(pl.col("lexicon") == "kim2026").select(pl.len()).collect().item()


def test_banned_markers_do_not_come(epiverb, model, problems, base):
    result = epiverb("sample", "-m", model, "-d", problems, "-n", 4, *HOT, "--ban", "kim2026", "-o", "ban")
    assert result.code == 0, result.err
    assert markers(base) > 20
    assert markers("ban") == 0
    manifest = Run("ban").manifest
    assert manifest["decoding"]["intervention"] == "ban kim2026"
    [done] = manifest["interventions"]["none"]
    assert done["lexicon_sha256"] == manifest["lexicons"]["kim2026"]
    acted = Run("ban").scan("values").filter(pl.col("measure") == "intervention/n_steered").collect()
    assert len(acted) == 48
    mass = Run("ban").scan("values").filter(pl.col("measure") == "intervention/steered_mass").collect()
    assert mass["value"].min() > 0
    compared = epiverb("compare", base, "ban", "--draws", 100, "--no-specificity")
    assert "intervention none against ban kim2026" in compared.err


def test_a_control_bans_other_words(epiverb, model, problems, base):
    flags = ("sample", "-m", model, "-d", problems, "-n", 2, *HOT, "--ban", "kim2026", "--control", "-o", "control")
    assert "--reference" in epiverb(*flags).message
    result = epiverb(*flags, "--reference", base)
    assert result.code in (0, 2)
    if result.code == 2:  # so small a vocabulary has not as many other words
        assert "other words" in result.message
        return
    assert Run("control").manifest["decoding"]["intervention"].startswith("ban matched-kim2026")
    assert markers("control") > 0


def test_thinking_is_stopped(epiverb, model, problems):
    result = epiverb("sample", "-m", model, "-d", problems, "-n", 2, *HOT, "--stop-thinking", 4, "-o", "stop")
    assert result.code == 0, result.err
    traces = Run("stop").scan("traces").collect()
    thought = traces.filter(pl.col("thinking_end").is_not_null())
    assert len(thought) > 10
    assert (thought["thinking_end"] - thought["thinking_start"]).max() < 30
    done = [json.loads(line) for line in Path("stop/interventions.jsonl").read_text().splitlines()]
    assert len(done) == 24
    assert any(row["n_stop_thinking"] == 1 and row["stop_thinking_at"] == 4 for row in done)


def test_phrases_are_put_into_wrong_responses(epiverb, model, problems, base):
    result = epiverb(
        "sample", "-m", model, "-d", problems, "-n", 2, *HOT, "--from", base, "--insert", "wait-check", "--control", "--at", 0.5, "-o", "cut",
        "--json",
    )  # fmt: skip
    assert result.code == 0, result.err
    earlier = Run(base).scan("traces").collect()
    wrong = earlier.filter(~pl.col("correct"))
    traces = Run("cut").scan("traces").collect()
    assert set(traces["condition"]) == {"insert-wait-check@0.5", "insert-neutral-wait-check@0.5"}
    assert len(traces) == 2 * 2 * len(wrong)
    assert traces["trace_id"].is_unique().all()
    assert (
        traces.filter(pl.col("condition") == "insert-wait-check@0.5")["response"]
        .str.contains("let me double-check", literal=True)
        .all()
    )
    rows = result.json["recovery"]["rows"]
    assert {row["phrase"] for row in rows} == {"wait-check", "neutral-wait-check"}
    assert all(row["n_traces"] == len(wrong) for row in rows)
    mean = traces.group_by("condition").agg(pl.col("correct").mean())
    assert set(dict(mean.iter_rows())) == set(traces["condition"])
    assert (
        "came out right"
        in epiverb(
            "sample",
            "-m",
            model,
            "-d",
            problems,
            "-n",
            2,
            *HOT,
            "--from",
            base,
            "--insert",
            "wait-check",
            "--control",
            "--at",
            0.5,
            "-o",
            "cut",
        ).out
    )


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--insert", "wait"), "Give them with --from RUN"),
        (("--control",), "--control goes with"),
        (("--amount", 2), "--amount goes with"),
        (("--ban", "kim2026", "--engine", "replay"), "decodes nothing"),
        (("--stop-thinking", 4, "--engine", "server"), "Use --engine hf"),
    ],
)
def test_mistakes(epiverb, problems, flags, told):
    result = epiverb("sample", "-m", "x", "-d", problems, "-o", "out", *flags)
    assert result.code == 2
    assert told in result.message
    assert not Path("out").exists()
