"""Advantages of GRPO: rewards relative to those of the other responses to the same problem."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Literal

import torch
from torch import Tensor

from epiverb.errors import ConfigError, nearest

SCALES = ("group", "batch")


def advantages(
    rewards: Tensor | Sequence[float],
    group_size: int | None = None,
    scale: Literal["group", "batch"] | None = None,
    *,
    groups: Sequence[Hashable] | None = None,
    eps: float = 1e-6,
) -> Tensor:
    """Each response's reward less the mean of its group (N,), in units of the reward or of its deviation.

    A reward that is NaN is unknown: it counts in no mean, and its advantage is 0. A group of size one keeps its reward.

    Args:
        rewards: (N,), the groups one behind the other, or in any order with `groups`.
        group_size: responses a problem.
        scale: None leaves it there, as Dr. GRPO and the published runs do; `group` and `batch` divide by the standard
            deviation (n - 1) of the rewards in the group, or of all, plus `eps`.
        groups: the problem of each response, where groups differ in size.
        eps: 1e-6 in verl, 1e-4 in TRL.

    Source: lasgroup/SDPO@0e6d510 core_algos.py `compute_grpo_outcome_advantage`; arXiv 2503.20783 (no deviation).
    Ours differs: unknown rewards.
    """
    rewards = torch.as_tensor(rewards)
    rewards = rewards if rewards.is_floating_point() else rewards.float()
    if scale is not None and scale not in SCALES:
        raise ConfigError(f"unknown scale {scale!r} of advantages.{nearest(scale, SCALES)} None: no scale.")
    group = _numbered(len(rewards), group_size, groups).to(rewards.device)
    known = ~rewards.isnan()
    values = rewards.nan_to_num(0)

    def total(of: Tensor) -> Tensor:
        return torch.zeros(int(group.max()) + 1 if len(group) else 0, dtype=of.dtype, device=of.device).index_add(
            0, group, of
        )

    counts, alone = total(known.to(values.dtype)), total(torch.ones_like(values)) == 1
    means = (total(values) / counts.clamp(min=1)).masked_fill(alone, 0)
    gaps = (values - means[group]).masked_fill(~known, 0)
    if scale is None:
        return gaps
    if scale == "batch":
        return gaps / ((values[known].std() if known.sum() > 1 else values.new_ones(())) + eps)
    deviations = (total(gaps.square()) / (counts - 1).clamp(min=1)).sqrt().masked_fill(alone, 1)
    return gaps / (deviations[group] + eps)


def _numbered(n: int, group_size: int | None, groups: Sequence[Hashable] | None) -> Tensor:
    """The group of each of `n` responses as a number from 0."""
    if (group_size is None) == (groups is None):
        raise ConfigError("advantages need the size of the groups or the group of each response, one of both.")
    if groups is not None:
        if len(groups) != n:
            raise ConfigError(f"{n} rewards and {len(groups)} groups; give a group for each reward.")
        numbers: dict[Hashable, int] = {}
        return torch.tensor([numbers.setdefault(name, len(numbers)) for name in groups], dtype=torch.long)
    if group_size is None or group_size < 1 or n % group_size:
        raise ConfigError(f"{n} rewards cannot be divided into groups of {group_size}.")
    return torch.arange(n) // group_size
