"""`compare --fail-on`: a gate that ends with 3, says which condition held, and writes a summary for GitHub Actions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from epiverb.errors import ConfigError
from epiverb.stats.gate import judge, parse

ROOT = Path(__file__).parent.parent.parent
BEFORE, AFTER = (ROOT / "data" / "traces" / f"{arm}.jsonl" for arm in ("before", "after"))


@pytest.fixture
def gate(epiverb):
    def call(expression: str, *more: object, base: object = BEFORE, run: object = AFTER):
        return epiverb("compare", base, run, "--no-specificity", "--draws", 1000, "--fail-on", expression, *more)

    return call


@pytest.mark.parametrize(
    ("expression", "code"),
    [
        ("markers<0.7x", 3),
        ("markers>0.7x", 0),
        ("markers>1.5x or accuracy<-0.03", 3),
        ("markers>1.5x and accuracy<-0.03", 0),
        ("markers>1.5x and accuracy<-0.03 or length<0.9x", 3),  # `and` binds before `or`
        ("accuracy<-0.15", 3),
        ("significantly accuracy<-0.15", 0),  # -0.20, interval -0.31 to -0.09
        ("significantly accuracy<0", 3),
        ("length<-20", 3),
        ("countdown-4/accuracy<-0.2", 3),
        ("countdown-3/accuracy<-0.2", 0),
        ("kim2026/markers_per_trace<.1x", 3),
        ("reconsideration<0.5x", 3),
        ("finished<-0.01", 0),
        ("markers>1.2x", 0),
    ],
)
def test_exit_code(gate, expression, code):
    assert gate(expression).code == code


def test_the_line_names_the_condition_and_the_document_has_all(gate, tmp_path, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    (tmp_path / "summary.md").write_text("before\n")
    outcome = gate("accuracy<-0.03 or markers>2x", "--json", "--quiet", "--out", "cmp", "--no-report")
    assert outcome.code == 3
    assert outcome.message.startswith("epiverb: gate failed: accuracy<-0.03 holds: -0.2 [-0.31")
    found = outcome.json["gate"]
    assert found["failed"] is True
    assert [row["holds"] for row in found["conditions"]] == [True, False]
    assert found["conditions"][0]["value"] == pytest.approx(-0.2)
    assert found["conditions"][0]["lo"] == outcome.json["accuracy"]["lo"]
    assert json.loads((tmp_path / "cmp" / "comparison.json").read_text())["gate"] == found
    summary = (tmp_path / "summary.md").read_text()
    assert summary.startswith("before\n### ❌ Gate failed: accuracy&#60;-0.03 or markers&#62;2x")
    assert "| accuracy&#60;-0.03 | after.jsonl | yes |" in summary


def test_a_passed_gate_says_so_unless_quiet(gate):
    assert "gate passed: accuracy<-0.5 does not hold: -0.2" in gate("accuracy<-0.5").err
    assert gate("accuracy<-0.5", "--quiet").err == ""


def test_of_several_runs_any_may_fail(gate, tmp_path):
    (tmp_path / "same.jsonl").write_text(BEFORE.read_text())
    outcome = gate("markers<0.7x", "same.jsonl", "--json", "--quiet")
    assert outcome.code == 3
    assert "after.jsonl: markers<0.7x holds" in outcome.err
    assert [row["holds"] for row in outcome.json["gate"]["conditions"]] == [True, False]


def test_unknown_is_neither_passed_nor_failed(gate, tmp_path):
    rows = [{"problem_id": str(i), "response": f"It is {i}."} for i in range(6)]
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    outcome = gate("accuracy<-0.03", base="a.jsonl", run="b.jsonl")
    assert outcome.code == 2
    assert "gate not judged: accuracy<-0.03: unknown in base: no trace has this figure" in outcome.err
    assert "length" in outcome.err or outcome.out  # the results are printed all the same
    assert gate("accuracy<-0.03 or length>-1", base="a.jsonl", run="b.jsonl").code == 3


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("acuracy<-0.1", "Did you mean 'accuracy'"),
        ("accuracy<0.8", "0.8x for a ratio"),
        ("markers<-0.7x", "a ratio has no sign"),
        ("markers<0.7x or", "not FIGURE<BOUND"),
        ("(markers<0.7x)", "not FIGURE<BOUND"),
        ("__import__('os')<1x", "not FIGURE<BOUND"),
        ("", "not FIGURE<BOUND"),
        ("nowhere/accuracy<-0.1", "no lexicon, benchmark or domain 'nowhere'"),
        ("kim2026/accuracy<-0.1", "accuracy is of no lexicon"),
    ],
)
def test_mistakes_are_said_in_a_line(gate, expression, said):
    if not expression:
        with pytest.raises(ConfigError, match=said):
            parse(expression)
        return
    outcome = gate(expression)
    assert outcome.code == 2
    assert said in outcome.message


def test_a_zero_in_a_ratio_is_judged_by_its_bound():
    block = {
        "base": 5.0,
        "run": 0.0,
        "delta": -5.0,
        "lo": None,
        "hi": None,
        "ratio": {"value": 0.0, "lo": None, "hi": 0.2},
    }
    document = {"run": "r", "markers": {"x": {"per_1k_words": block}}}

    def verdict(text):
        return judge(parse(text), text, document)["failed"]

    assert verdict("significantly markers<0.7x") is True
    assert verdict("significantly markers<0.1x") is False
    assert verdict("markers<0.1x") is True
    none = {**block, "base": 0.0, "run": 5.0, "ratio": {"value": None, "lo": 3.0, "hi": None}}
    document["markers"]["x"]["per_1k_words"] = none
    assert verdict("markers>2x") is True
    assert verdict("markers<2x") is False
    assert verdict("markers>4x") is None


def test_differences_at_the_bound_are_not_beyond_it():
    block = {"base": 0.78, "run": 0.75, "delta": 0.75 - 0.78, "lo": None, "hi": None, "ratio": {}}
    assert 0.75 - 0.78 < -0.03
    assert judge(parse("accuracy<-0.03"), "", {"run": "r", "markers": {}, "accuracy": block})["failed"] is False
