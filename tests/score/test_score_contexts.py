"""Pressure and richness of real runs: zero where they must be, and equal to what full logits say."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest

from epiverb.run import Run

torch = pytest.importorskip("torch")


@pytest.fixture
def net(model):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    return AutoModelForCausalLM.from_pretrained(model).eval(), AutoTokenizer.from_pretrained(model)


def _logp(net, prompt: str, ids: list[int]):
    model, tokenizer = net
    head = tokenizer.encode(prompt)
    with torch.no_grad():
        return model(torch.tensor([head + ids])).logits[0, len(head) - 1 : -1].double().log_softmax(-1)


def test_no_context_is_no_pressure_and_others_are_ranked(epiverb, armed, model):
    done = epiverb(
        "score", armed, "-m", model, "--pressure", "--contexts", "none,s,answer", "--draws", 200, "--json", "-q"
    )
    assert done.code == 0, done.err
    block = done.json["pressure"]
    by_context = {one["context"]: one for one in block["contexts"]}
    for row in by_context["none"]["classes"]:
        for name in ("kl", "reverse_kl", "jsd", "log_ratio"):
            assert row[name]["value"] == pytest.approx(0, abs=1e-6)
    ranked = [row["relative_change"]["value"] for row in block["ranking"]]
    assert ranked == sorted(ranked)
    assert {row["context"] for row in block["ranking"]} == {"none", "solution", "answer"}
    none = next(row for row in block["ranking"] if row["context"] == "none")
    assert none["relative_change"]["value"] == pytest.approx(0, abs=1e-9)
    assert none["student_mass"]["value"] == pytest.approx(none["teacher_mass"]["value"])
    for one in block["contexts"]:
        rows = {row["class"]: row for row in one["classes"]}
        shares = [row["token_share"]["value"] for name, row in rows.items() if name not in ("all", "epistemic")]
        assert sum(shares) == pytest.approx(1)
        if one["context"] != "none":
            assert rows["all"]["ratio"]["value"] == pytest.approx(1)
            kl = [row["kl_share"]["value"] for name, row in rows.items() if name not in ("all", "epistemic")]
            assert sum(kl) == pytest.approx(1)
            assert rows["all"]["kl"]["lo"] < rows["all"]["kl"]["value"] < rows["all"]["kl"]["hi"]
    assert block["sentence"].startswith("A teacher shown ")
    assert "36 traces of 12 problems" in block["sentence"] or block["unknown"]


def test_pressure_of_one_trace_by_hand(epiverb, armed, model, net):
    epiverb("score", armed, "-m", model, "--pressure", "--contexts", "answer", "--draws", 50, "-q")
    traces = Run(armed).scan("traces").filter(pl.col("condition") == "none").collect()
    row = traces.row(0, named=True)
    ids = Run(armed).scan("tokens").filter(pl.col("trace_id") == row["trace_id"]).sort("position").collect()["token_id"]
    told = Run(armed).scan("traces").filter(
        (pl.col("condition") == "answer") & (pl.col("problem_id") == row["problem_id"])
    ).collect()["prompt"][0]  # fmt: skip
    s, t = _logp(net, row["prompt"], ids.to_list()), _logp(net, told, ids.to_list())
    values = dict(
        Run(armed)
        .scan("values")
        .filter(pl.col("trace_id") == row["trace_id"])
        .select("measure", "value")
        .collect()
        .iter_rows()
    )
    at = (torch.arange(len(ids)), torch.tensor(ids.to_list()))
    m = torch.logaddexp(s, t) - math.log(2)
    jsd = ((s.exp() * (s - m)).sum(-1) + (t.exp() * (t - m)).sum(-1)) / 2
    assert values["pressure/answer/kl"] == pytest.approx(float((s.exp() * (s - t)).sum(-1).mean()), abs=1e-4)
    assert values["pressure/answer/reverse-kl"] == pytest.approx(float((t.exp() * (t - s)).sum(-1).mean()), abs=1e-4)
    assert values["pressure/answer/jsd"] == pytest.approx(float(jsd.mean()), abs=1e-4)
    assert values["pressure/answer/log-ratio"] == pytest.approx(float((t[at] - s[at]).mean()), abs=1e-4)
    from epiverb.models.tokensets import resolve
    from epiverb.text import lexicon

    lex = lexicon.load(next(iter(Run(armed).manifest["lexicons"])))
    singles = sorted(resolve(lex, net[1]).singles)
    shift = (t.exp() - s.exp())[:, singles].sum(-1).mean()
    assert values["pressure/answer/mass-shift"] == pytest.approx(float(shift), abs=1e-5)


def test_a_solution_is_never_the_trace_itself(armed, model):
    """Of a peer's success, as in SDPO: the first correct response reads the second one, all others the first."""
    from epiverb.models.hf import HF
    from epiverb.verbs.scoring.source import Source
    from epiverb.verbs.scoring.teachers import Teachers, named, students

    run = Run(armed)
    source = Source(run, HF(str(model), device="cpu").chat)
    teachers = Teachers(run, source, named(("s",)), 0)
    shown = 0
    for one in source.read(source.traces(students(run))):
        prompts = teachers.prompts(one)
        if "solution" in prompts:
            text = teachers.material(one).solution
            rows = run.scan("traces").filter((pl.col("condition") == "none") & (pl.col("response") == text)).collect()
            assert (rows["problem_id"] == one.row["problem_id"]).any()
            others = rows.filter((pl.col("problem_id") == one.row["problem_id"]) & (pl.col("trace_id") != one.key))
            assert others["correct"].any()
            shown += 1
    assert shown
    assert shown + sum(teachers.skipped.values()) == 36


def test_richness_equals_full_logits_and_orders_the_ladder(epiverb, armed, model, net):
    done = epiverb("score", armed, "-m", model, "--richness", "--draws", 200, "--json", "-q")
    assert done.code == 0, done.err
    rows = {row["condition"]: row for row in done.json["richness"]["rows"]}
    assert set(rows) == {"answer", "solution"}
    traces = Run(armed).scan("traces").collect()
    bare = dict(traces.filter(pl.col("condition") == "none").select("problem_id", "prompt").iter_rows())
    tokens = Run(armed).scan("tokens").sort("trace_id", "position").collect()
    gains: dict[str, list[float]] = {}
    for row in traces.filter(pl.col("condition") == "answer").iter_rows(named=True):
        ids = tokens.filter(pl.col("trace_id") == row["trace_id"])["token_id"].to_list()
        at = (torch.arange(len(ids)), torch.tensor(ids))
        gain = _logp(net, row["prompt"], ids)[at].sum() - _logp(net, bare[row["problem_id"]], ids)[at].sum()
        gains.setdefault(row["problem_id"], []).append(float(gain))
    flat = [gain for own in gains.values() for gain in own]
    assert rows["answer"]["guided"]["per_trace"]["value"] == pytest.approx(np.mean(flat), abs=1e-3)
    assert rows["answer"]["guided"]["n_traces"] == len(flat)
    found = [row["guided"]["per_trace"]["value"] for row in done.json["richness"]["rows"]]
    assert found == sorted(found)
    assert rows["answer"]["guided"]["per_token"]["value"] > 0 > rows["answer"]["unguided"]["per_token"]["value"]
    values = Run(armed).scan("values").filter(pl.col("measure") == "richness/answer").collect()
    assert len(values) == 72  # traces of the arm itself, and those without context
