"""The demo, whole, at the smallest sizes: its commands run, its page tells what its runs hold, and it goes on where it was."""

from __future__ import annotations

import json

import pytest

from epiverb.resources import folder

pytest.importorskip("trl")
FAMILIES = ("countdown-3", "countdown-3-high", "countdown-3-division", "countdown-4")
SMALL = {
    "test-id": "lab:countdown-3?split=test&n=6&seed=0",
    "tests": " ".join(f"-b lab:{name}?split=test&n=6&seed=0" for name in FAMILIES),
    "eval": "{tests} -n 1 {decoding} {written}",
    "ladder": "-d lab:countdown-3?split=test&n=12&seed=1 --ladder --problems 4 -n 2 {decoding} {written}",
    "rollouts": "--questions 4 -n 4 --max-tokens 128 --micro-batch 16 --warmup 1",
    "fit": "--no-checkpointing --attention eager -l kim2026 --save-every 9 --probe id=lab:countdown-3?split=test:4 "
    "--probe ood=lab:countdown-4?split=test:4 --probe-every 2 {written}",
    "steps": "--steps 2",
}


def test_a_demo_from_end_to_end(epiverb, tmp_path):
    settings = [word for name, text in SMALL.items() for word in ("--setting", f"{name}={text}")]
    out = tmp_path / "demo"
    called = epiverb("demo", "--out", out, "--json", "-q", *settings)
    assert called.code == 0, called.err
    told = called.json
    assert {(row["model"], row["benchmark"]) for row in told["outcomes"]} == {
        (model, f"lab:{name}") for model in ("base", "SDPO", "GRPO") for name in FAMILIES
    }
    for row in told["outcomes"]:
        arm = row["model"].lower()
        summary = json.loads((out / arm / "seed0" / "eval" / "summary.json").read_text())
        own = next(line for line in summary["table"]["rows"] if line["benchmark"] == row["benchmark"])
        assert row["score"] == own["score"]
        assert row["markers"] == own["markers"]["kim2026"]["per_trace"]
    page = (out / "report.html").read_text()
    for said in ("The ladder of contexts", "Accuracy before and after", "Rollouts", "epiverb train sdpo", "After SDPO"):
        assert said in page

    marks = {path: path.stat().st_mtime_ns for path in out.glob("*/seed0/*/run.json")}
    again = epiverb("demo", "--out", out, "--json", "-q", *settings)
    assert again.json["outcomes"] == told["outcomes"]
    assert marks == {path: path.stat().st_mtime_ns for path in out.glob("*/seed0/*/run.json")}


def test_a_folder_of_something_else_and_a_missing_base_are_refused(epiverb, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    called = epiverb("demo", "--out", tmp_path)
    assert called.code == 2
    assert "is not a demo's folder" in called.err
    called = epiverb("demo", "--out", tmp_path / "new", "--model", tmp_path)
    assert called.code == 2
    assert "no base of the lab" in called.err


def test_a_dry_run_prints_commands_with_the_shipped_base(epiverb, tmp_path):
    assert (folder("data") / "lab" / "base" / "model.safetensors").is_file()
    called = epiverb("demo", "--dry-run", "--quick", "--out", tmp_path / "new")
    assert called.code == 0
    assert "epiverb train sdpo -m data/lab/base" in called.out
    assert not (tmp_path / "new").exists()
