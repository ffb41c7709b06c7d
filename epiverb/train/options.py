"""The settings as arguments of TRL's trainer; what is said there and here and differs is refused, never dropped."""

from __future__ import annotations

import copy
from dataclasses import MISSING, fields
from typing import Any

from epiverb.errors import ConfigError
from epiverb.train.settings import Policy

UNUSED = (
    "top_entropy_quantile",
    "entropy_coef",
    "use_adaptive_entropy",
    "off_policy_mask_threshold",
    "importance_sampling_level",
    "multi_objective_aggregation",
    "use_bias_correction_kl",
    "sync_ref_model",
)
"""Options of TRL's loss that ours does not have."""


def arguments(args: Any, policy: Policy, rollout_is_clip: float | None) -> Any:
    """A copy of TRL's arguments that says what the settings say.

    Raises:
        ConfigError: an argument that TRL would heed and these trainers do not, or that contradicts the settings.
    """
    ours = {
        "scale_rewards": ("scale", policy.scale),
        "epsilon": ("clip_low", policy.clip_low),
        "epsilon_high": ("clip_high", policy.clip_high),
        "delta": ("dual_clip", policy.dual_clip),
        "beta": ("beta", policy.beta),
        "loss_type": ("aggregate", "grpo"),
        "mask_truncated_completions": ("mask_truncated", policy.mask_truncated),
        "vllm_importance_sampling_correction": ("rollout_is_clip", rollout_is_clip is not None),
        "vllm_importance_sampling_mode": ("rollout_is_clip", "token_truncate"),
        "vllm_importance_sampling_clip_max": ("rollout_is_clip", rollout_is_clip or 2.0),
    }
    defaults = {field.name: field.default for field in fields(args) if field.default is not MISSING}
    for name in UNUSED:
        if getattr(args, name, None) != defaults.get(name):
            raise ConfigError(f"{name}={getattr(args, name)!r} is an option of TRL's own loss, which is not used here.")
    changed = copy.copy(args)
    for name, (setting, value) in ours.items():
        given = getattr(args, name)
        if given not in (defaults.get(name), value):
            raise ConfigError(
                f"{name}={given!r} in the trainer's arguments contradicts the settings: set {setting} there instead."
            )
        setattr(changed, name, value)
    return changed
