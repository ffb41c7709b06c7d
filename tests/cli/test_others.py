"""The other commands from the outside."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
BEFORE, AFTER = (ROOT / "data" / "traces" / f"{arm}.jsonl" for arm in ("before", "after"))


def test_config_prints_yaml_that_reads_back(epiverb, tmp_path):
    text = epiverb("config", "analyze").out
    (tmp_path / "a.yaml").write_text(
        text.replace("# sources:", f"sources: [{BEFORE}]").replace("draws: 2000", "draws: 1.0e+2")
    )
    document = epiverb("analyze", "-c", "a.yaml", "--json", "--no-report").json
    assert document["n_traces"] == 120
    assert "100 draws" in document["lexicons"]["epiverb-en"]["per_trace"].get("method", "100 draws")
    (tmp_path / "b.yaml").write_text("drawz: 3\n")
    assert "b.yaml: unknown key 'drawz'" in epiverb("analyze", BEFORE, "-c", "b.yaml").message


def test_validate_worked_by_hand(epiverb, tmp_path):
    texts = [
        ("Wait, no.", 0, 4, "reconsideration"),
        ("The wait time is 3.", 4, 8, "none"),
        ("Maybe so.", 0, 5, "verification"),
        ("It holds.", 3, 8, "uncertainty"),
    ]
    rows = [{"id": str(i), "text": t, "start": a, "end": b, "label": label} for i, (t, a, b, label) in enumerate(texts)]
    (tmp_path / "gold.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    document = epiverb("validate", "--gold", "gold.jsonl", "--json").json
    assert {"schema", "lexicon", "sha256", "n", "binary", "macro_f1", "per_category", "per_marker", "errors"} <= set(
        document
    )
    assert document["binary"]["precision"] == 1.0
    assert document["binary"]["recall"] == pytest.approx(2 / 3)
    assert document["errors"] == ["2", "3"]
    (tmp_path / "bad.jsonl").write_text('{"id": 1}\n')
    assert "bad.jsonl:1" in epiverb("validate", "--gold", "bad.jsonl").message
    assert "precision" in epiverb("validate", "--gold", "gold.jsonl").out


def test_show_by_number_id_and_end(epiverb):
    epiverb("analyze", BEFORE, "-o", "run", "--no-report")
    first = epiverb("show", "run", 1)
    assert "I need to reach 24" in first.out
    assert epiverb("show", "run", f"{BEFORE}:1:0").out == first.out
    assert "several traces end in" in epiverb("show", "run", ":0").message
    assert "no trace 'zzz'" in epiverb("show", "run", "zzz").message
    assert "not a run folder" in epiverb("show", "elsewhere").message


def test_show_makes_terminal_escapes_visible(epiverb, tmp_path):
    hostile = "Wait \x1b[31mred\x07 \u202eevil"
    (tmp_path / "t.jsonl").write_text(json.dumps({"problem_id": "1", "response": hostile}) + "\n")
    epiverb("analyze", "t.jsonl", "-o", "run", "--no-report")
    out = epiverb("show", "run").out
    assert "\x1b[31m" not in out
    assert "\u202e" not in out
    assert "\\u202e" in out


@pytest.mark.parametrize("kind", ["lexicons", "formats", "measures", "tables"])
def test_listings(epiverb, kind):
    rows = epiverb("ls", kind, "--json").json["rows"]
    assert len({row["name"] for row in rows}) == len(rows) >= 4
    assert rows[0]["name"] in epiverb("ls", kind).out


def test_lexicon_check(epiverb, tmp_path):
    good = 'name = "m"\ntitle = "t"\nsource = "s"\nmatch = "words"\n[categories]\nuncertainty = ["perchance"]\n'
    (tmp_path / "m.toml").write_text(good)
    assert epiverb("lexicon", "check", "m.toml").code == 0
    (tmp_path / "m.toml").write_text(good.replace("words", "wordz").replace("uncertainty", "uncertain"))
    message = epiverb("lexicon", "check", "m.toml").message
    assert "Did you mean 'words'?" in message
    assert "Did you mean 'uncertainty'?" in message
    (tmp_path / "m.toml").write_text(good)
    (tmp_path / "t.jsonl").write_text(json.dumps({"problem_id": "1", "response": "Perchance."}) + "\n")
    assert epiverb("analyze", "t.jsonl", "-l", "m.toml", "--json", "--no-report").json["lexicons"]["m"]["hits"] == 1


def test_compare_contract_and_truth(epiverb):
    document = epiverb("compare", BEFORE, AFTER, "--json", "--draws", 2000).json
    keys = {
        "schema",
        "base",
        "run",
        "n_problems",
        "accuracy",
        "finished",
        "given_finished",
        "length",
        "markers",
        "specificity",
        "warnings",
    }
    assert keys <= set(document)
    assert {"base", "run", "delta", "lo", "hi", "p"} <= set(document["accuracy"])
    assert document["accuracy"]["hi"] < 0
    assert document["markers"]["epiverb-en"]["per_1k_words"]["ratio"]["hi"] < 1
    assert "findings" in document
    assert "30 common problems" in epiverb("compare", BEFORE, AFTER, "--draws", 500).out


def test_compare_without_common_problems(epiverb, tmp_path):
    (tmp_path / "t.jsonl").write_text(json.dumps({"problem_id": "z", "response": "Wait."}) + "\n")
    outcome = epiverb("compare", BEFORE, "t.jsonl")
    assert outcome.code == 2
    assert "common" in outcome.message


def test_runs_of_different_problems_are_compared_when_asked(epiverb, tmp_path):
    for name, response in (("a", "Wait, maybe so."), ("b", "So it is.")):
        lines = [{"problem_id": f"{name}{i}", "response": response, "correct": i % 2 == 0} for i in range(6)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    refused = epiverb("compare", "a.jsonl", "b.jsonl")
    assert refused.code == 2
    assert "--no-paired" in refused.message
    document = epiverb("compare", "a.jsonl", "b.jsonl", "--no-paired", "--json", "--draws", 1000).json
    assert document["paired"] is False
    assert any("unpaired" in line for line in document["warnings"])


def test_an_out_that_is_taken_is_refused_before_the_work(epiverb, tmp_path):
    (tmp_path / "taken").mkdir()
    for command in ("compare", "link"):
        outcome = epiverb(command, BEFORE, "not-there.jsonl", "--out", "taken")
        assert outcome.code == 2
        assert "taken: exists already" in outcome.message


def test_link_pairs_a_run_that_names_no_benchmark(epiverb, tmp_path):
    for name, more in (("a", {"benchmark": "x"}), ("b", {})):
        lines = [{"problem_id": str(i), "response": "Wait.", "correct": i % 2 == 0, **more} for i in range(6)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    document = epiverb("link", "a.jsonl", "b.jsonl", "--json", "--draws", 200).json
    assert [(row["benchmark"], row["n_problems"]) for row in document["rows"]] == [("x", 6)]


def test_link_contract(epiverb):
    document = epiverb(
        "link", BEFORE, AFTER, "--domain", "countdown-3=id,countdown-4=ood", "--json", "--draws", 500
    ).json
    assert {"schema", "rows", "within_problem", "mediation", "warnings"} <= set(document)
    assert {(row["benchmark"], row["domain"]) for row in document["rows"]} == {
        ("countdown-3", "id"),
        ("countdown-4", "ood"),
    }
    for row in document["rows"]:
        assert {"base", "run", "delta_accuracy", "log_ratio_markers", "log_ratio_length"} <= set(row)
    assert "log_odds" in document["within_problem"]
    assert "countdown-4" in epiverb("link", BEFORE, AFTER, "--draws", 200).out


def test_plan(epiverb):
    assert "needs" in epiverb("plan", "--difference", 0.05, "-n", 8).out
    assert epiverb("plan", BEFORE, AFTER, "--json").json["smallest_difference"] > 0
    assert epiverb("plan").code == 2
    assert "five points are 0.05" in epiverb("plan", "--difference", 5).message
