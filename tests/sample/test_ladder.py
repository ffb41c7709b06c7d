"""The ladder, evaluation and sets for fine-tuning: figures worked by hand from recorded responses, and a real model."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from epiverb.run import Run

BENCHMARKS = ("aime24", "aime25", "amc23", "math500")
ROWS = ["unguided", "solution-no-think", "regenerated", "solution"]


@pytest.fixture(scope="module")
def climbed(model, problems, tmp_path_factory) -> Path:
    """A ladder with the tiny model: eight problems, four samples each."""
    from epiverb.config import build
    from epiverb.configs.sample import SampleConfig
    from epiverb.verbs.sample import sample

    out = tmp_path_factory.mktemp("runs") / "ladder"
    hot = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "max_tokens": 48}
    settings = {
        "model": str(model),
        "data": [str(problems)],
        "samples": 4,
        "out": str(out),
        "decoding": hot,
        "ladder": True,
    }
    choice = {"problems": 8, "min_correct": 1, "max_correct": 6}
    sample(build(SampleConfig, {**settings, "selection": choice, "draws": 200}))
    return out


def test_the_ladder_ends_with_four_rows(climbed):
    run = Run(climbed)
    rows = run.summary["table"]["rows"]
    assert [row["condition"] for row in rows] == ROWS
    for row in rows:
        assert row["n_problems"] == 8
        assert row["n_traces"] == 32
        for figure in (row["score"], row["finished"], row["tokens"], *row["markers"]["kim2026"].values()):
            assert figure["lo"] <= figure["value"] <= figure["hi"]
        assert row["markers"]["epiverb-en"]["per_1k_tokens"]["value"] > 0


def test_every_sample_is_kept_and_the_unguided_arm_is_fresh(climbed):
    traces = Run(climbed).scan("traces").collect()
    counts = dict(traces.group_by("condition").len().iter_rows())
    assert counts == {"selection": 96, **dict.fromkeys(ROWS, 32)}
    solved = traces.filter(pl.col("condition") == "selection").group_by("problem_id").agg(pl.col("correct").sum())
    within = solved.filter(pl.col("correct").is_between(1, 6))["problem_id"].to_list()
    assert set(traces.filter(pl.col("condition") == "unguided")["problem_id"]) <= set(within)
    key = ["problem_id", "sample"]
    old, new = (traces.filter(pl.col("condition") == arm).select(*key, "response") for arm in ("selection", "unguided"))
    both = old.join(new, on=key, suffix="_new")
    assert (both["response"] != both["response_new"]).mean() > 0.5


def test_each_rung_is_conditioned_on_the_one_it_should_be(climbed):
    traces = Run(climbed).scan("traces").sort("sample").collect()

    def first_right(arm: str) -> dict[str, str]:
        rows = traces.filter((pl.col("condition") == arm) & pl.col("correct"))
        return dict(
            rows.unique("problem_id", keep="first", maintain_order=True).select("problem_id", "response").iter_rows()
        )

    def shown(arm: str) -> dict[str, str]:
        return dict(traces.filter(pl.col("condition") == arm).select("problem_id", "context").iter_rows())

    peers = first_right("selection")
    assert shown("solution") == {problem: peers[problem] for problem in shown("solution")}
    for problem, context in shown("solution-no-think").items():
        assert peers[problem].endswith(context)
        assert "<think>" not in context
    regenerated = first_right("solution")
    assert all(shown("regenerated")[problem] == text for problem, text in regenerated.items())


def test_arms_are_compared_by_name(epiverb, climbed):
    result = epiverb("compare", f"{climbed}@unguided", f"{climbed}@solution", "--draws", 200, "--json").json
    assert result["n_problems"] == 8
    assert result["n_traces"] == {"base": 32, "run": 32}
    right = Run(climbed).scan("traces").group_by("condition").agg(pl.col("correct").mean()).collect()
    means = dict(right.iter_rows())
    assert result["accuracy"]["base"] == pytest.approx(means["unguided"])
    assert result["accuracy"]["run"] == pytest.approx(means["solution"])
    pooled = epiverb("compare", f"{climbed}@unguided", climbed, "--draws", 100, "--no-specificity")
    assert "holds several arms, which are taken together here" in pooled.err


def test_a_ladder_without_a_rung_keeps_its_samples_and_says_how_to_go_on(epiverb, model, problems):
    flags = (
        "sample",
        "-m",
        model,
        "-d",
        problems,
        "--limit",
        2,
        "--ladder",
        "-n",
        2,
        "--max-tokens",
        48,
        "--no-report",
        "--draws",
        100,
    )
    none = epiverb(*flags, "--min-correct", 8, "--max-correct", 8, "-o", "first")
    assert none.code == 2
    assert "none of 2 problems was solved 8 to 8 times of 8" in none.message
    assert "--ladder --from first --min-correct N --max-correct N" in none.message
    assert len(Run("first").scan("traces").collect()) == 16
    again = epiverb(*flags, "--from", "first", "--min-correct", 0, "--max-correct", 8, "-o", "second", "--json")
    assert again.code == 0, again.err
    assert again.json["table"]["rows"][0]["condition"] == "unguided"
    assert "selection" not in set(Run("second").scan("traces").collect()["condition"])


def test_rates_and_bounds():
    from epiverb.configs.sample import Selection
    from epiverb.errors import ConfigError
    from epiverb.verbs.sampling.ladder import bounds, rungs

    assert bounds(Selection(), 8) == (1, 4)
    assert bounds(Selection(min_correct=0, max_correct=0), 8) == (0, 0)
    with pytest.raises(ConfigError, match="no number is between"):
        bounds(Selection(min_correct=5, max_correct=4), 8)
    assert rungs(2) == ["unguided", "solution-no-think", "regenerated:2", "regenerated", "solution"]


def recorded(path: Path, problems: dict[str, list[tuple[str, str]]]) -> Path:
    """A file of recorded responses: problem -> (response, finish reason)."""
    rows = [
        {"problem_id": name, "benchmark": "sums", "sample": i, "response": text, "finish_reason": reason}
        for name, samples in problems.items()
        for i, (text, reason) in enumerate(samples)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_evaluation_worked_by_hand(epiverb, tmp_path):
    """Two problems, two samples: one right of two, and two right, one of which was cut off behind its answer."""
    questions = [{"problem_id": name, "question": f"{name}?", "gold": "4"} for name in "ab"]
    (tmp_path / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in questions))
    right, wrong = ("Wait, maybe so. \\boxed{4}.", "stop"), ("It is \\boxed{5}.", "stop")
    recorded(tmp_path / "said.jsonl", {"a": [right, wrong], "b": [right, ("\\boxed{4} and so on, and", "length")]})
    flags = (
        "eval",
        "-m",
        "said.jsonl",
        "--engine",
        "replay",
        "-b",
        "sums.jsonl",
        "-n",
        2,
        "-o",
        "e",
        "--domain",
        "sums=ood",
    )
    result = epiverb(*flags, "--no-report", "--json")
    assert result.code == 0, result.err
    [row] = result.json["table"]["rows"]
    assert row["benchmark"] == "sums"
    assert row["score"]["value"] == 0.75
    assert row["pass_at_k"][-1]["value"] == 1.0
    assert row["finished"]["value"] == 0.75
    assert row["given_finished"]["value"] == pytest.approx(2 / 3)
    assert row["markers"]["kim2026"]["per_trace"]["value"] == 1.0
    assert set(Run("e").scan("traces").collect()["domain"]) == {"ood"}
    text = epiverb(*flags).out
    assert "avg@2" in text
    assert "75.0%" in text


def test_what_was_not_recorded_is_counted_and_not_wrong(epiverb, tmp_path):
    (tmp_path / "sums.jsonl").write_text(json.dumps({"problem_id": "a", "question": "a?", "gold": "4"}) + "\n")
    recorded(tmp_path / "said.jsonl", {"a": [("\\boxed{4}.", "stop")]})
    result = epiverb(
        "eval",
        "-m",
        "said.jsonl",
        "--engine",
        "replay",
        "-b",
        "sums.jsonl",
        "-n",
        2,
        "-o",
        "e",
        "--no-report",
        "--json",
    )
    [row] = result.json["table"]["rows"]
    assert (row["n_traces"], row["n_failed"], row["score"]["value"]) == (1, 1, 1.0)
    assert "1 of 2 samples were not generated" in result.err
    failed = Run("e").scan("traces").filter(pl.col("status") == "missing").collect()
    assert failed["correct"].to_list() == [None]
    assert failed["grade_reason"][0].startswith("not generated: ")


def test_real_benchmark_files_end_to_end(epiverb, model, shared):
    """Every file of problems that there is goes through the model."""
    folder = shared / "data"
    files = sorted(path for path in folder.rglob("*") if path.suffix in (".parquet", ".json"))
    assert len(files) == 11
    flags = [flag for file in files for flag in ("-b", file)]
    result = epiverb(
        "eval",
        "-m",
        model,
        *flags,
        "--limit",
        2,
        "-n",
        1,
        "--max-tokens",
        24,
        "-o",
        "e",
        "--no-report",
        "--json",
        "--draws",
        100,
    )
    assert result.code == 0, result.err
    assert sum(source["traces"] for source in result.json["sources"]) == len(Run("e").scan("traces").collect())
    assert all(source["records"] == source["traces"] + source["n_skipped"] for source in result.json["sources"])
    assert set(BENCHMARKS) <= {row["benchmark"] for row in result.json["table"]["rows"]}


def test_families_have_their_published_parameters(tmp_path):
    from epiverb.models.published import published

    thinking, plain = (published("Qwen/Qwen3-8B", thinking=value) for value in (None, False))
    assert (thinking.temperature, thinking.top_p, thinking.top_k) == (0.6, 0.95, 20)
    assert (plain.temperature, plain.top_p, plain.top_k) == (0.7, 0.8, 20)
    assert published("deepseek-ai/DeepSeek-R1-Distill-Qwen-7B").family == "DeepSeek-R1-Distill"
    assert published("allenai/Olmo-3-7B-Think").family == "OLMo-3"
    assert published("some/model").temperature == 1.0
    folder = tmp_path / "step-100"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "qwen2"}')
    (folder / "chat_template.jinja").write_text("{{ '<｜User｜>' }}{{ '<｜Assistant｜><think>' }}")
    assert published(str(folder)).family == "DeepSeek-R1-Distill"
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    (folder / "generation_config.json").write_text('{"do_sample": true, "temperature": 0.3}')
    assert published(str(folder)).temperature == 0.3
