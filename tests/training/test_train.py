"""`epiverb train` from the outside: three methods end to end, and what other commands make of the folder."""

from __future__ import annotations

import json

import polars as pl
import pytest

from epiverb.run import Run
from tests.training.conftest import SMALL

pytest.importorskip("trl")


@pytest.fixture(scope="module")
def trained(model, problems, tmp_path_factory):
    """One training by each method, with a probe and an alarm: method -> folder and what it printed."""
    import sys

    from epiverb.cli import main

    folder, found = tmp_path_factory.mktemp("trained"), {}
    examples = folder / "examples.jsonl"
    rows = [
        {"prompt": f"What is {i} + 2?", "completion": f"Wait, maybe {i + 2}. So \\boxed{{{i + 2}}}."} for i in range(10)
    ]
    rows.append({"prompt": "A long one.", "completion": "again " * 400})
    examples.write_text("".join(json.dumps(row) + "\n" for row in rows))
    probe = ("--probe", f"ood={problems}:2", "--probe-every", "2", "--save-every", "2")
    flags = {
        "sdpo": ("-d", problems, *SMALL, "--steps", "4", "--mini-batch", "2", *probe, "--alarm", "markers<100000"),
        "grpo": ("-d", problems, *SMALL, "--steps", "2", "--lora", "4", "--keep", "1", "--save-every", "1"),
        "sft": ("-d", examples, "--steps", "4", "--batch", "4", "--max-length", "200", "--lr", "1e-3", "--draws", "50",
                "--no-report", "-l", "epiverb-en", *probe, "--probe-tokens", "24"),
    }  # fmt: skip
    capture = pytest.MonkeyPatch()
    import contextlib
    import io

    for method, more in flags.items():
        out = folder / method
        capture.setattr(
            sys, "argv", ["epiverb", "train", method, "-m", str(model), "-o", str(out), *map(str, more), "--json"]
        )
        said, wrote = io.StringIO(), io.StringIO()
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(wrote), pytest.raises(SystemExit) as end:
            main()
        assert end.value.code in (0, None), said.getvalue()
        found[method] = out, json.loads(wrote.getvalue()), said.getvalue()
    capture.undo()
    return found


def test_the_document_keeps_its_contract(trained):
    for method, (out, document, _) in trained.items():
        assert {"schema", "run", "method", "steps", "last", "checkpoints"} <= set(document)
        assert document["method"] == method
        assert document["run"] == str(out)
        assert {"reward", "length", "markers_per_1k_words", "divergence"} == set(document["last"])
    out, document, _ = trained["sdpo"]
    assert document["steps"] == 4
    assert [path.rpartition("/")[2] for path in document["checkpoints"]] == ["checkpoint-2", "checkpoint-4"]
    assert document["last"]["divergence"] > 0
    assert 0 <= document["last"]["reward"] <= 1
    assert trained["grpo"][1]["last"]["divergence"] is None
    assert trained["sft"][1]["last"]["reward"] is None


def test_every_rollout_is_a_trace(trained, problems):
    out, document, _ = trained["sdpo"]
    traces = Run(out).scan("traces").collect()
    rollouts = traces.filter(pl.col("condition") == "rollout")
    # Two batches of four questions with four responses each; a batch makes two steps.
    assert rollouts.group_by("step").len().sort("step").rows() == [(0, 16), (2, 16)]
    assert rollouts["trace_id"].is_unique().all()
    assert set(rollouts["benchmark"]) == {"sums"}
    assert set(rollouts["domain"]) == {"id"}
    assert set(rollouts["gold"]) == {"4"}
    assert rollouts["correct"].cast(pl.Float64).equals(rollouts["reward"])
    assert rollouts.group_by("step", "problem_id").len()["len"].to_list() == [4] * 8
    assert rollouts.filter(pl.col("context").is_not_null())["context"].str.contains("boxed{4}", literal=True).all()
    probes = traces.filter(pl.col("condition") == "probe/ood")
    assert probes.group_by("step").len().sort("step").rows() == [(0, 2), (2, 2), (4, 2)]
    assert set(probes["domain"]) == {"ood"}
    assert probes["correct"].null_count() == 0
    course = {(row["condition"], row["step"]): row for row in document["course"]}
    assert course["rollout", 2]["reward"] == pytest.approx(rollouts.filter(pl.col("step") == 2)["reward"].mean())
    assert ("probe/ood", 4) in course


def test_what_the_loss_saw_is_in_the_run(trained):
    out, _, said = trained["sdpo"]
    values = Run(out).scan("values").collect()
    assert {"train/advantage", "train/has_demo", "train/divergence/others", "density/epiverb-en"} <= set(
        values["measure"]
    )
    points = Run(out).scan("points").filter(pl.col("axis") == "train_step").collect()
    assert sorted(points.filter(pl.col("measure") == "train/log/loss")["x"]) == [1, 2, 3, 4]
    metrics = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in metrics if "loss" in line] == [1, 2, 3, 4]
    assert "step 4/4" in said
    assert "Traceback" not in said


def test_run_json_says_how(trained, model):
    out, _, _ = trained["sdpo"]
    manifest = Run(out).manifest
    assert manifest["command"] == "train sdpo"
    assert manifest["model"] == str(model)
    assert manifest["decoding"]["temperature"] == 1.0
    assert manifest["config"]["distillation"]["topk"] == 100
    assert set(manifest["lexicons"]) == {"epiverb-en", "kim2026"}


def test_other_commands_take_the_folder(epiverb, trained, model, problems):
    sdpo, grpo = str(trained["sdpo"][0]), str(trained["grpo"][0])
    document = epiverb("analyze", sdpo, "--json", "--no-report", "--draws", 50, "-l", "epiverb-en").json
    assert document["n_traces"] == 38
    compared = epiverb("compare", grpo, f"{sdpo}@rollout", "--json", "--draws", 200)
    assert compared.code == 0, compared.err
    assert compared.json["n_problems"] > 0
    flags = ("-n", 2, "--max-tokens", 24, "--no-report", "--draws", 50)
    assert epiverb("eval", "-m", model, "-b", problems, *flags, "-o", "base").code == 0
    linked = epiverb("link", "base", sdpo, "--json", "--draws", 200)
    assert linked.code == 0, linked.err
    assert {row["run"] for row in linked.json["rows"]} != set()
    shown = epiverb("show", sdpo, 1)
    assert shown.code == 0
    assert "boxed" in shown.out or "it" in shown.out.lower()


def test_lora_and_the_last_checkpoint(trained):
    out, document, _ = trained["grpo"]
    assert [path.rpartition("/")[2] for path in document["checkpoints"]] == ["checkpoint-2"]
    assert [path.name for path in (out / "checkpoints").glob("checkpoint-*")] == ["checkpoint-2"]
    assert (out / "checkpoints" / "checkpoint-2" / "adapter_model.safetensors").is_file()


def test_fine_tuning_counts_what_it_leaves_out(trained):
    out, _, said = trained["sft"]
    assert "1 of 11 examples left out: longer than 200 tokens" in said
    traces = Run(out).scan("traces").collect()
    # Ten examples in fours: the third step of the epoch has two.
    by_step = traces.filter(pl.col("condition") == "rollout").group_by("step").len().sort("step")
    assert by_step.rows() == [(0, 4), (1, 4), (2, 2), (3, 4)]
    assert len(traces.filter(pl.col("condition") == "probe/ood")) == 6
    losses = [json.loads(line)["loss"] for line in (out / "metrics.jsonl").read_text().splitlines() if '"loss"' in line]
    assert losses[-1] < losses[0]


def test_a_checkpoint_is_a_model(epiverb, trained, problems):
    checkpoint = trained["sdpo"][1]["checkpoints"][-1]
    outcome = epiverb(
        "eval", "-m", checkpoint, "-b", problems, "-n", 1, "--limit", 2, "--max-tokens", 24, "--no-report", "--json"
    )
    assert outcome.code == 0, outcome.err
    assert outcome.json["n_traces"] == 2


def test_a_finished_training_is_refused(epiverb, trained, model, problems):
    out = trained["grpo"][0]
    flags = ("-m", model, "-d", problems, *SMALL, "--steps", 2, "--lora", 4, "--keep", 1, "--save-every", 1, "-o", out)
    before = (out / "run.json").stat().st_mtime_ns
    refused = epiverb("train", "grpo", *flags)
    assert refused.code == 2
    assert "this training is finished" in refused.message
    assert "--overwrite" in refused.message
    other = epiverb("train", "grpo", *flags, "--seed", 3)
    assert "holds another run (seed 0, now 3)" in other.message
    assert (out / "run.json").stat().st_mtime_ns == before


def test_nothing_of_others_is_overwritten(epiverb, tmp_path, model, problems):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    refused = epiverb("train", "grpo", "-m", model, "-d", problems, *SMALL, "-o", "mine", "--overwrite")
    assert refused.code == 2
    assert "not the folder of a training" in refused.message
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("-d", "nowhere.jsonl"), "nowhere.jsonl"),
        (("-d", "bad.jsonl"), "bad.jsonl, line 2"),
        (("-d", "bare.jsonl"), "no problem has a gold answer"),
        (("-d", "sums.jsonl", "-m", "no/such/model"), "there is no model folder no/such/model"),
        (("-d", "sums.jsonl", "--max-prompt", "5"), "all 1 prompts are longer than --max-prompt 5 tokens"),
        (("-d", "sums.jsonl", "--vllm", "server"), "vllm is not installed"),
        (("-d", "sums.jsonl", "--lora", "4", "--qlora"), "--qlora: "),
        (("-d", "sums.jsonl", "--lenient", "no"), "no lenient option 'no'"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(epiverb, tmp_path, model, flags, said):
    (tmp_path / "sums.jsonl").write_text('{"question": "What is 2 + 2?", "gold": "4"}\n')
    (tmp_path / "bad.jsonl").write_text('{"question": "What is 2 + 2?", "gold": "4"}\n{"question": \n')
    (tmp_path / "bare.jsonl").write_text('{"question": "What is 2 + 2?"}\n')
    outcome = epiverb(
        "train", "sdpo", "-m", model, *flags, *(f for f in SMALL if f != "--max-prompt" and f != "300"), "-o", "run"
    )
    assert outcome.code == 2
    assert said in outcome.message
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("[1]", "line 1: a list, not an object"),
        ('{"prompt": "a"}', "line 1: has neither prompt and completion"),
        ('{"prompt": "a", "completion": " "}', "line 1: its completion is empty"),
        ('{"messages": [{"role": "user", "content": "a"}]}', "do not end with an assistant's answer"),
        ('{"messages": 3}', "line 1: not a chat"),
        ("", "no example in it"),
    ],
)
def test_bad_examples_are_one_line(epiverb, tmp_path, model, line, said):
    (tmp_path / "x.jsonl").write_text(line + "\n")
    outcome = epiverb("train", "sft", "-m", model, "-d", "x.jsonl", "-o", "run")
    assert outcome.code == 2
    assert said in outcome.message
    assert not (tmp_path / "run").exists()
