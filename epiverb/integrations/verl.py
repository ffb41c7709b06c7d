"""verl: the published SDPO and GRPO runs as lists of overrides, and where its rollouts are read.

    epiverb ls verl                                        # the presets
    python -m epiverb.integrations.verl sdpo-math          # one of them, a setting a line
    python -m epiverb.integrations.verl sdpo-math | xargs python -m verl.trainer.main_ppo --config-name sdpo

`trainer.rollout_data_dir` writes a file a step; `epiverb analyze DIR` reads the folder (format `verl`), by step.

Source: experiments/math/*.sh and verl/trainer/config/{user,sdpo,actor/actor}.yaml of beanie00/self-distillation-analysis@5c51051
(SDPO needs that fork, or lasgroup/SDPO: `self_distillation` is in no release of verl); Table 12 of arXiv 2603.24472.
Ours differs: what those files leave to a default that decides the result is written out.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from epiverb.errors import ConfigError, nearest

Overrides = dict[str, str]

_SHARED: Overrides = {
    "data.train_batch_size": "256",
    "data.max_prompt_length": "2048",
    "data.max_response_length": "20480",
    "data.filter_overlong_prompts": "True",
    "data.shuffle": "True",
    "++data.apply_chat_template_kwargs.enable_thinking": "true",
    "algorithm.adv_estimator": "grpo",
    "algorithm.norm_adv_by_std_in_grpo": "False",
    "algorithm.use_kl_in_reward": "False",
    "algorithm.rollout_correction.rollout_is": "token",
    "algorithm.rollout_correction.rollout_is_threshold": "2.0",
    "actor_rollout_ref.model.path": "Qwen/Qwen3-8B",
    "actor_rollout_ref.actor.ppo_mini_batch_size": "128",
    "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu": "1",
    "actor_rollout_ref.actor.use_dynamic_bsz": "False",
    "actor_rollout_ref.actor.ppo_epochs": "1",
    "actor_rollout_ref.actor.loss_agg_mode": "token-mean",
    "actor_rollout_ref.actor.clip_ratio_low": "0.2",
    "actor_rollout_ref.actor.clip_ratio_high": "0.28",
    "actor_rollout_ref.actor.clip_ratio_c": "3.0",
    "actor_rollout_ref.actor.use_kl_loss": "False",
    "actor_rollout_ref.actor.entropy_coeff": "0",
    "actor_rollout_ref.actor.optim.lr_warmup_steps": "10",
    "actor_rollout_ref.actor.optim.weight_decay": "0.01",
    "actor_rollout_ref.rollout.name": "vllm",
    "actor_rollout_ref.rollout.n": "8",
    "actor_rollout_ref.rollout.temperature": "1.0",
    "actor_rollout_ref.rollout.top_p": "1.0",
    "actor_rollout_ref.rollout.top_k": "-1",
    "actor_rollout_ref.rollout.calculate_log_probs": "True",
    "actor_rollout_ref.rollout.val_kwargs.do_sample": "True",
    "actor_rollout_ref.rollout.val_kwargs.temperature": "0.6",
    "actor_rollout_ref.rollout.val_kwargs.top_p": "0.95",
    "actor_rollout_ref.rollout.val_kwargs.n": "1",
    "trainer.total_training_steps": "100",
    "trainer.save_freq": "10",
    "trainer.test_freq": "10",
    "trainer.n_gpus_per_node": "4",
    "trainer.nnodes": "1",
}
_DISTILL = "actor_rollout_ref.actor.self_distillation"
_SDPO: Overrides = {
    **_SHARED,
    "actor_rollout_ref.actor.optim.lr": "1e-5",
    "actor_rollout_ref.actor.policy_loss.loss_mode": "sdpo",
    f"{_DISTILL}.full_logit_distillation": "True",
    f"{_DISTILL}.distillation_topk": "100",
    f"{_DISTILL}.distillation_add_tail": "True",
    f"{_DISTILL}.alpha": "0.5",
    f"{_DISTILL}.is_clip": "2.0",
    f"{_DISTILL}.success_reward_threshold": "0.5",
    f"{_DISTILL}.dont_reprompt_on_self_success": "True",
    f"{_DISTILL}.remove_thinking_from_demonstration": "False",
    f"{_DISTILL}.include_environment_feedback": "False",
    f"{_DISTILL}.teacher_regularization": "ema",
    f"{_DISTILL}.teacher_update_rate": "0.0",
    f"{_DISTILL}.max_reprompt_len": "22528",
    f"{_DISTILL}.reprompt_truncation": "right",
}
_GRPO: Overrides = {
    **_SHARED,
    "actor_rollout_ref.actor.optim.lr": "1e-6",
    "actor_rollout_ref.actor.policy_loss.loss_mode": "vanilla",
}
_NO_THINKING: Overrides = {"++data.apply_chat_template_kwargs.enable_thinking": "false"}


@dataclass(frozen=True)
class Preset:
    """The settings of one published run."""

    about: str
    overrides: Overrides


PRESETS: dict[str, Preset] = {
    "sdpo-math": Preset("SDPO of arXiv 2603.24472 on mathematics: c = s, fixed teacher", _SDPO),
    "sdpo-math-no-think": Preset(
        "the same with c = s without its thinking", {**_SDPO, f"{_DISTILL}.remove_thinking_from_demonstration": "True"}
    ),
    "sdpo-math-ema": Preset(
        "the same with a teacher that follows (0.05 a step), its ablation",
        {**_SDPO, f"{_DISTILL}.teacher_update_rate": "0.05"},
    ),
    "sdpo-math-think-off": Preset("the same with thinking off, for student and teacher", {**_SDPO, **_NO_THINKING}),
    "sdpo-math-small": Preset(
        "few questions (section 6.2): 64 a step, mini-batches of 32",
        {**_SDPO, "data.train_batch_size": "64", "actor_rollout_ref.actor.ppo_mini_batch_size": "32"},
    ),
    "grpo-math": Preset("GRPO of arXiv 2603.24472 on mathematics: no deviation, clip 0.2/0.28, no KL", _GRPO),
    "grpo-math-think-off": Preset("the same with thinking off", {**_GRPO, **_NO_THINKING}),
    "grpo-math-small": Preset(
        "few questions (section 6.2): 64 a step, mini-batches of 32",
        {**_GRPO, "data.train_batch_size": "64", "actor_rollout_ref.actor.ppo_mini_batch_size": "32"},
    ),
}


def overrides(name: str, *, rollouts: str | None = None, **changes: str) -> list[str]:
    """The run `name` as `key=value` lines for verl's command line.

    Args:
        rollouts: folder into which verl writes what is sampled at each step, for `epiverb analyze`.
        changes: other values, by key with `__` for the dots: `trainer__nnodes="2"`.

    Raises:
        ConfigError: there is no such preset.
    """
    if name not in PRESETS:
        raise ConfigError(f"unknown preset for verl {name!r}.{nearest(name, PRESETS)}")
    told = dict(PRESETS[name].overrides)
    if rollouts is not None:
        told["trainer.rollout_data_dir"] = rollouts
    told |= {key.replace("__", "."): value for key, value in changes.items()}
    return [f"{key}={value}" for key, value in told.items()]


def table() -> list[dict[str, str]]:
    """Every preset, for `epiverb ls verl`."""
    command = "python -m epiverb.integrations.verl"
    return [{"name": name, "about": preset.about, "prints it": f"{command} {name}"} for name, preset in PRESETS.items()]


if __name__ == "__main__":
    try:
        sys.stdout.write("\n".join(overrides(*sys.argv[1:2] or ["sdpo-math"])) + "\n")
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
