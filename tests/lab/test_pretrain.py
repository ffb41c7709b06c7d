"""Pretraining: recorded, seeded, and after a stop the same as without one."""

from __future__ import annotations

import json

import pytest

from epiverb.configs.lab import LabPretrainConfig
from epiverb.errors import ConfigError, Stopped
from epiverb.lab import corpus, pretrain, words

torch = pytest.importorskip("torch")
SMALL = {"hidden": 16, "layers": 1, "heads": 2, "steps": 10, "batch": 8, "every": 2}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(pretrain, "BLOCK", 32)


def weights(folder):
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def test_a_stopped_training_goes_on_to_the_same_model(tmp_path):
    whole = pretrain.pretrain(LabPretrainConfig(out=str(tmp_path / "whole"), **SMALL))
    stopped = LabPretrainConfig(out=str(tmp_path / "stopped"), **SMALL)

    def stop(stage, done, total, tokens):
        if done == 7:
            raise KeyboardInterrupt

    with pytest.raises(Stopped, match=r"6 of 10 steps are kept"):
        pretrain.pretrain(stopped, progress=stop)
    assert not (tmp_path / "stopped" / "model.safetensors").exists()
    told = []
    again = pretrain.pretrain(stopped, progress=lambda stage, done, total, tokens: told.append(done))
    assert told == [7, 8, 9, 10]
    first, second = weights(tmp_path / "whole"), weights(tmp_path / "stopped")
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert (again["tokens"], again["loss"]) == (whole["tokens"], whole["loss"])
    assert not (tmp_path / "stopped" / "checkpoint.pt").exists()


def test_the_folder_is_a_model_with_its_record(tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    config = LabPretrainConfig(out=str(tmp_path / "m"), **{**SMALL, "steps": 2})
    record = pretrain.pretrain(config)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "m")
    assert record["parameters"] == sum(weight.numel() for weight in model.parameters())
    assert AutoTokenizer.from_pretrained(tmp_path / "m").eos_token == words.END
    assert json.loads((tmp_path / "m" / "training.json").read_text()) == record
    assert (tmp_path / "m" / "training.csv").read_text().splitlines()[0] == "step,tokens,loss,rate,seconds"
    before = (tmp_path / "m" / "model.safetensors").stat().st_mtime_ns
    assert pretrain.pretrain(config) == record
    assert (tmp_path / "m" / "model.safetensors").stat().st_mtime_ns == before
    with pytest.raises(ConfigError, match="holds another model"):
        pretrain.pretrain(LabPretrainConfig(out=str(tmp_path / "m"), **{**SMALL, "steps": 2, "seed": 1}))


def test_another_seed_is_another_model_and_the_loss_falls(tmp_path):
    settings = {**SMALL, "steps": 40, "every": 40, "hidden": 32}
    one = pretrain.pretrain(LabPretrainConfig(out=str(tmp_path / "one"), **settings))
    two = pretrain.pretrain(LabPretrainConfig(out=str(tmp_path / "two"), **settings, seed=1))
    assert one["loss"] != two["loss"]
    losses = [float(row.split(",")[2]) for row in (tmp_path / "one" / "training.csv").read_text().splitlines()[1:]]
    assert losses[-1] < losses[0] - 0.3


def test_a_base_may_start_from_another(tmp_path):
    one = LabPretrainConfig(out=str(tmp_path / "one"), **{**SMALL, "steps": 2})
    pretrain.pretrain(one)
    still = {**SMALL, "steps": 1, "rate": 1e-12, "habit": "terse", "start": one.out}
    record = pretrain.pretrain(LabPretrainConfig(out=str(tmp_path / "two"), **still))
    first, second = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert all(torch.allclose(first[name], second[name]) for name in first)
    assert record["config"]["start"] == one.out
    with pytest.raises(ConfigError, match="another size"):
        pretrain.pretrain(LabPretrainConfig(out=str(tmp_path / "three"), **{**still, "hidden": 32}))


def test_batches_learn_from_responses_only_and_begin_anywhere():
    habit = corpus.HABITS["base"]
    stream = pretrain.batches(habit, 3, 8)
    every = [next(stream) for _ in range(6)]
    later = pretrain.batches(habit, 3, 8, begin=5)
    assert all(torch.equal(a, b) for a, b in zip(every[5], next(later), strict=True))
    for ids, weights in every:
        for row, told in zip(ids.tolist(), weights.tolist(), strict=True):
            turns = [i for i, token in enumerate(row) if token == words.IDS["assistant\n"]]
            assert len(turns) == 1
            assert not any(told[: turns[0] + 1])
            assert set(told) <= {0.0, 1.0, corpus.VERDICT}
            end = max(i for i, weight in enumerate(told) if weight)
            assert row[end] == words.IDS[words.END]
            assert set(row[end + 1 :]) <= {words.IDS[words.PAD]}


def test_settings_that_cannot_be_are_told_before_anything_is_written(tmp_path):
    for wrong, said in (
        ({"heads": 3}, "not 3 heads"),
        ({"batch": 7}, "divisor"),
        ({"rate": 0.0}, "rate 0"),
        ({"steps": 0}, "at least 1"),
    ):
        with pytest.raises(ConfigError, match=said):
            pretrain.pretrain(LabPretrainConfig(out=str(tmp_path / "x"), **{**SMALL, **wrong}))
    assert not (tmp_path / "x").exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    with pytest.raises(ConfigError, match="holds no pretraining"):
        pretrain.pretrain(LabPretrainConfig(out=str(tmp_path / "full"), **SMALL))


def test_muon_turns_matrices_to_orthogonal_ones():
    from epiverb.lab.muon import Muon, orthogonal

    torch.manual_seed(0)
    for shape in ((2, 8, 24), (3, 24, 8), (1, 16, 16)):
        turned = orthogonal(torch.randn(shape))
        singular = torch.linalg.svdvals(turned)
        assert singular.min() > 0.3
        assert singular.max() < 1.3
    weight = torch.nn.Parameter(torch.randn(8, 24))
    target = torch.randn(8, 24)
    optimizer = Muon([weight], lr=0.2)
    losses = []
    for _ in range(60):
        loss = (weight - target).pow(2).mean()
        losses.append(float(loss.detach()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.1 * losses[0]


def test_the_command_trains_and_tells(tmp_path):
    from typer.testing import CliRunner

    from epiverb.cli.app import app

    small = [part for key, value in {**SMALL, "steps": 1}.items() for part in (f"--{key}", str(value))]
    command = ["lab", "pretrain", "--out", str(tmp_path / "m"), *small, "--json", "--quiet"]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    told = json.loads(result.stdout)
    assert (told["model"], told["config"]["steps"]) == (str(tmp_path / "m"), 1)
    again = CliRunner().invoke(app, command[:-2], catch_exceptions=False)
    assert "1 steps" in again.stdout
    assert f"model  {tmp_path / 'm'}" in again.stdout
