"""GRPO and SDPO against TRL's own trainers, step by step, on the same responses."""

from __future__ import annotations

import pytest

pytest.importorskip("trl", minversion="1.16", reason="needs TRL as second implementation")

from trl import GRPOTrainer

from epiverb.train.grpo import GRPO
from epiverb.train.sdpo import SDPO
from epiverb.train.settings import Distillation, Policy
from tests.train.runs import arguments, gap, grade, load, made, moved, problems, ran, weights


@pytest.mark.parametrize(
    ("ours", "theirs", "shape"),
    [
        (Policy(), {"loss_type": "grpo"}, {}),
        (Policy(aggregate="token-mean"), {"loss_type": "dapo"}, {"gradient_accumulation_steps": 2}),
        (
            Policy(aggregate="seq-mean-token-sum-norm", dual_clip=None, clip_high=0.2),
            {"loss_type": "dr_grpo", "delta": None, "epsilon_high": 0.2},
            {},
        ),
        (
            Policy(),
            {"loss_type": "grpo"},
            {"per_device_train_batch_size": 4, "steps_per_generation": 4, "max_steps": 4, "learning_rate": 4.0},
        ),
    ],
    ids=["grpo", "token-mean", "dr-grpo", "several steps a generation"],
)
def test_grpo_is_trls(tmp_path, ours, theirs, shape):
    shape = {"per_device_train_batch_size": 16 // shape.get("gradient_accumulation_steps", 1)} | shape
    mine = ran(GRPO, tmp_path, settings=ours, **shape)
    published = {"scale_rewards": "none", "epsilon": 0.2, "epsilon_high": 0.28, "delta": 3.0}
    other = ran(GRPOTrainer, tmp_path, **published | theirs | shape)
    assert moved(other) > 1e-3
    assert gap(weights(mine), weights(other)) < 1e-5 * moved(other) + 1e-6


@pytest.mark.parametrize(("topk", "alpha"), [(20, 0.5), (None, 1.0)])
def test_sdpo_is_trls(tmp_path, topk, alpha):
    sdpo = pytest.importorskip("trl.experimental.sdpo", reason="needs this TRL's SDPO")
    model, tokenizer = load()
    mine = made(
        SDPO, tmp_path, settings=Distillation(alpha=alpha, topk=topk, context="solution@sdpo-dataclass"), max_steps=3
    )
    written = mine.rollout_func

    class Theirs(sdpo.SDPOTrainer):
        def _generate(self, prompt_ids):
            prompts = [[{"role": "user", "content": f"What is {i} + 2?"}] for i in range(4) for _ in range(4)]
            done = written(prompts, self)
            return done["prompt_ids"], done["completion_ids"]

    usual = {name: getattr(arguments(tmp_path), name) for name in (
        "per_device_train_batch_size", "num_generations", "max_completion_length", "learning_rate", "lr_scheduler_type",
        "optim", "max_grad_norm", "shuffle_dataset",
    )}  # fmt: skip
    mode = (
        {"distillation_mode": "topk_logits", "distillation_topk": topk, "distillation_add_tail": True}
        if topk
        else {"distillation_mode": "full_logits"}
    )
    args = sdpo.SDPOConfig(
        str(tmp_path / "theirs"), **usual, **mode, max_steps=3, distillation_alpha=alpha, distillation_weight=1.0, teacher_model_kind="base",
        success_reward_threshold=0.5, dont_reprompt_on_self_success=True, use_successful_as_teacher=True,
        remove_thinking_from_demonstration=False, logging_steps=1, save_strategy="no", report_to="none", use_cpu=True, bf16=False,
        gradient_checkpointing=False, disable_tqdm=True,
    )  # fmt: skip
    other = Theirs(model, grade, args=args, train_dataset=problems(), processing_class=tokenizer)
    mine.train()
    other.train()
    assert moved(other) > 1e-3
    assert gap(weights(mine), weights(other)) < 1e-4 * moved(other)
