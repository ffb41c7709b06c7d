"""A run that was stopped and continued gives the same numbers as one that was not; the teacher is what it should be."""

from __future__ import annotations

import json

import pytest
import torch
from transformers import TrainerCallback

from epiverb.train.grpo import GRPO
from epiverb.train.resume import TEACHER, last_checkpoint
from epiverb.train.sdpo import SDPO
from epiverb.train.settings import Distillation
from tests.train.runs import SCRIPT, Kept, gap, load, logged, made, problems, ran, weights

SAMPLED = {
    "script": None,
    "reward_funcs": lambda completions, **_: [float(len(each[0]["content"]) % 2) for each in completions],
    "per_device_train_batch_size": 4,
    "num_generations": 4,
    "steps_per_generation": 4,
    "gradient_accumulation_steps": 2,
    "shuffle_dataset": True,
    "optim": "adamw_torch",
    "learning_rate": 1e-3,
    "lr_scheduler_type": "linear",
    "max_grad_norm": 1.0,
    "max_completion_length": 8,
    "max_steps": 7,
}
"""Responses are sampled, two optimizer steps use each generation, and seven steps see four problems nearly twice."""


class Stop(TrainerCallback):
    """Writes a checkpoint behind a step, and ends the run there."""

    def __init__(self, at: int) -> None:
        self.at = at

    def on_step_end(self, args, state, control, **_):
        control.should_training_stop = control.should_save = state.global_step == self.at
        return control


@pytest.mark.parametrize(("cls", "stops"), [(SDPO, (1, 4)), (GRPO, (5,))], ids=["sdpo", "grpo"])
def test_stopped_and_continued_is_the_same(tmp_path, cls, stops):
    """Stopped in the middle of a generation (1), between epochs (4), in the second epoch and midway (5)."""
    more = {"settings": Distillation(teacher="ema", rate=0.3, blend=0.3)} if cls is SDPO else {}
    whole = ran(cls, tmp_path, out=tmp_path / "whole", **SAMPLED, **more)
    for at in stops:
        parts = tmp_path / f"parts-{at}"
        ran(cls, tmp_path, out=parts, callbacks=[Stop(at)], **SAMPLED, **more)
        torch.manual_seed(at)  # another process has other random numbers
        rest = made(cls, tmp_path, out=parts, **SAMPLED, **more)
        rest.train(resume_from_checkpoint=str(last_checkpoint(parts)))
        assert gap(weights(rest), weights(whole)) == 0
        for name in ("loss", "reward", "grad_norm", "entropy"):
            assert logged(rest, name) == logged(whole, name)
        if cls is SDPO:
            assert gap(*(dict(each.teacher.model.named_parameters()) for each in (rest, whole))) == 0
            assert rest.teacher.updates == whole.teacher.updates == 3


def test_numbers_that_were_not_logged_yet_are_kept(tmp_path):
    shape = SAMPLED | {"logging_steps": 3, "max_steps": 3}
    whole = ran(GRPO, tmp_path, out=tmp_path / "whole", **shape)
    ran(GRPO, tmp_path, out=tmp_path / "parts", callbacks=[Stop(2)], **shape)
    rest = made(GRPO, tmp_path, out=tmp_path / "parts", **shape)
    rest.train(resume_from_checkpoint=str(last_checkpoint(tmp_path / "parts")))
    for name in ("reward", "entropy", "policy/loss", "completions/mean_length"):
        assert logged(rest, name) == pytest.approx(logged(whole, name))


def test_a_fixed_teacher_is_written_once(tmp_path):
    """It is the model that the run began with, also in a run that continues with another one at hand."""
    shape = SAMPLED | {"max_steps": 2, "save_strategy": "steps", "save_steps": 1}
    ran(SDPO, tmp_path, **shape)
    files = [tmp_path / "out" / f"checkpoint-{step}" / TEACHER for step in (1, 2)]
    assert files[0].samefile(files[1])
    other, _ = load()
    with torch.no_grad():
        other.lm_head.weight.mul_(2)
    rest = made(SDPO, tmp_path, model=other, **SAMPLED | {"max_steps": 3})
    rest.train(resume_from_checkpoint=str(last_checkpoint(tmp_path / "out")))
    assert torch.equal(rest.teacher.model.lm_head.weight, load()[0].lm_head.weight)


def test_a_checkpoint_that_was_being_written_is_none(tmp_path):
    for step, state in ((10, '{"global_step": 10}'), (9, '{"global_step": 9}'), (20, '{"global'), (30, None)):
        (tmp_path / f"checkpoint-{step}").mkdir()
        if state:
            (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text(state)
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-10"
    assert last_checkpoint(tmp_path / "nowhere") is None
    assert json.loads((last_checkpoint(tmp_path) / "trainer_state.json").read_text())["global_step"] == 10


def test_the_teacher_follows_once_a_generation(tmp_path):
    """theta_T <- (1 - rho) theta_T + rho theta_S, behind both optimizer steps on a generation."""
    kept, rate = Kept(), 0.25
    shape = {"steps_per_generation": 2, "per_device_train_batch_size": 8, "max_steps": 4}
    trainer = ran(SDPO, tmp_path, settings=Distillation(teacher="ema", rate=rate), callbacks=[kept], **shape)
    expected = {name: p.detach().double() for name, p in load()[0].named_parameters()}
    for student in kept.steps[1::2]:
        expected = {name: (1 - rate) * p + rate * student[name].double() for name, p in expected.items()}
    found = {name: p.double() for name, p in trainer.teacher.model.named_parameters()}
    assert trainer.teacher.updates == 2
    assert gap(found, expected) < 1e-6
    assert gap(found, {name: p.double() for name, p in kept.steps[-1].items()}) > 1e-4


def test_a_lora_teacher_is_right_at_step_one(tmp_path):
    """After one step it has rho of what the student's adapter adds to the weights; averaging A and B would give rho^2."""
    peft = pytest.importorskip("peft")
    adapter = peft.LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    rate = 0.25
    shape = {"script": SCRIPT, "learning_rate": 5.0, "max_steps": 1}
    trainer = ran(SDPO, tmp_path, settings=Distillation(teacher="ema", rate=rate), peft_config=adapter, **shape)
    student = trainer.model
    ids = torch.arange(20, 40)[None]
    plain, _ = load()
    with torch.no_grad():
        for name, module in student.named_modules():
            if hasattr(module, "get_delta_weight"):
                target = plain.get_submodule(name.removeprefix("base_model.model."))
                target.weight += rate * module.get_delta_weight("default")
        expected, start = plain(ids).logits, load()[0](ids).logits
        found = trainer.teacher.run(student, lambda model: model(ids).logits)[0][1]
    assert (expected - start).abs().max() > 1e-3
    assert (found - expected).abs().max() < 1e-4 * (expected - start).abs().max()


def test_lora_continues_too(tmp_path):
    peft = pytest.importorskip("peft")
    adapter = peft.LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    shape = SAMPLED | {"peft_config": adapter, "settings": Distillation(teacher="ema"), "max_steps": 5}
    whole = ran(SDPO, tmp_path, out=tmp_path / "whole", **shape)
    ran(SDPO, tmp_path, out=tmp_path / "parts", callbacks=[Stop(3)], **shape)
    rest = made(SDPO, tmp_path, out=tmp_path / "parts", **shape)
    rest.train(resume_from_checkpoint=str(last_checkpoint(tmp_path / "parts")))
    assert gap(weights(rest), weights(whole)) == 0
    assert gap(rest.teacher.weights, whole.teacher.weights) == 0


def test_the_order_of_later_epochs_is_that_of_trl(tmp_path):
    from trl import GRPOTrainer

    def order(trainer):
        sampler, seen = trainer._get_train_sampler(trainer.train_dataset), []
        for epoch in range(3):
            trainer.state.epoch = float(epoch)
            seen.append(list(sampler))
        return seen

    shape = {"shuffle_dataset": True, "per_device_train_batch_size": 4, "data": problems(8)}
    ours, theirs = (order(made(cls, tmp_path, **shape)) for cls in (GRPO, GRPOTrainer))
    assert ours == theirs
    assert ours[0] != ours[1]
