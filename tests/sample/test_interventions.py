"""Interventions through the front door, with the hf engine."""

from __future__ import annotations

import json
import random
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
    assert done["n_inside_words"] == done["n_forms"] == 10  # as kim2026 counts
    acted = Run("ban").scan("values").filter(pl.col("measure") == "intervention/n_steered").collect()
    assert len(acted) == 48
    mass = Run("ban").scan("values").filter(pl.col("measure") == "intervention/steered_mass").collect()
    assert mass["value"].min() > 0
    compared = epiverb("compare", base, "ban", "--draws", 100, "--no-specificity")
    assert "intervention none against ban kim2026" in compared.err


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """Traces of a real size: 300 texts, in which the model's other words are as frequent as its markers, and many are rarer."""
    rng = random.Random(0)
    frequent = ["wait", "it", "maybe", "is", "hmm", "think", "perhaps", "boxed"]
    rare = ["".join(rng.choice("bcdfglmnrst") + rng.choice("aeiou") for _ in range(3)) for _ in range(200)]
    file = tmp_path_factory.mktemp("reference") / "traces.jsonl"
    with file.open("w", encoding="utf-8") as out:
        for i in range(300):
            words = frequent + rng.choices(rare, k=40)
            rng.shuffle(words)
            text = " ".join(word.capitalize() if rng.random() < 0.1 else word for word in words)
            out.write(json.dumps({"problem_id": f"r{i}", "response": f"{text}.", "n_tokens": 50}) + "\n")
    return file


def test_a_control_bans_other_words_as_frequent_as_the_markers(epiverb, model, problems, base, reference):
    flags = (
        "sample",
        "-m",
        model,
        "-d",
        problems,
        "-n",
        2,
        *HOT,
        "--ban",
        "kim2026-words",
        "--control",
        "-o",
        "control",
    )
    assert "--reference" in epiverb(*flags).message
    result = epiverb(*flags, "--reference", reference)
    assert result.code == 0, result.err
    manifest = Run("control").manifest
    assert manifest["decoding"]["intervention"] == "ban matched-kim2026-words"
    record, chosen = manifest["interventions"]["none"]
    assert (record["intervention"], record["n_inside_words"], chosen["inside_words"]) == ("ban", 0, False)
    assert {pair["form"] for pair in chosen["pairs"]} == {"wait", "maybe", "hmm", "perhaps"}
    assert {pair["control"] for pair in chosen["pairs"]} == {"it", "is", "think", "boxed"}
    assert chosen["max_abs_log_ratio"] < 0.1
    # The controls are gone, and the markers are not.
    said = r"(?i)\b(?:it|is|think|boxed)\b"
    texts = (Run(path).scan("traces").collect()["response"] for path in (base, "control"))
    before, after = (text.str.replace_all(r"</?think>", "") for text in texts)  # tags are no words
    assert before.str.contains(said).sum() > 40
    assert not after.str.contains(said).any()
    assert markers("control") > 0


def test_markers_become_rarer_and_likelier(epiverb, model, problems, base):
    """One nat moves some of them, five nearly all: always in the direction asked for."""
    counted = {0: markers(base)}
    for amount in (-5, -1, 1):
        flag = "--boost" if amount > 0 else "--penalise"
        flags = (flag, "kim2026", "--amount", abs(amount), "-o", f"by{amount}")
        result = epiverb("sample", "-m", model, "-d", problems, "-n", 4, *HOT, *flags)
        assert result.code == 0, result.err
        manifest = Run(f"by{amount}").manifest
        assert manifest["decoding"]["intervention"] == f"{flag[2:]} kim2026 by {abs(amount)}"
        counted[amount] = markers(f"by{amount}")
    assert counted[-5] < counted[-1] < counted[0] < counted[1]
    assert counted[-5] < counted[0] / 4


def test_thinking_is_forced_to_go_on(epiverb, model, problems, base):
    result = epiverb("sample", "-m", model, "-d", problems, "-n", 4, *HOT, "--force-thinking", 1, "-o", "force")
    assert result.code == 0, result.err
    traces = Run("force").scan("traces").collect()
    done = {row["trace_id"]: row for row in map(json.loads, Path("force/interventions.jsonl").read_text().splitlines())}
    acted = [trace for trace, row in done.items() if row["n_force_thinking"] == 1]
    assert len(acted) > 40
    texts = dict(traces.select("trace_id", "response").iter_rows())
    assert all("Wait" in texts[trace] for trace in acted)
    assert set(done[acted[0]]) >= {"force_thinking_at", "force_thinking_phrase"}
    assert markers("force") > markers(base)
    assert traces["n_tokens"].mean() > Run(base).scan("traces").collect()["n_tokens"].mean()
    manifest = Run("force").manifest
    assert manifest["decoding"]["intervention"] == "force thinking 1"
    assert manifest["interventions"]["none"][0]["n_acted"] == len(acted)


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
