"""The loss of GRPO on log-probabilities of sampled tokens, and what every loss of a step is divided by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from epiverb.train.losses import clip_loss, shares
from epiverb.train.settings import Policy


@dataclass(frozen=True)
class Sampling:
    """What is known of sampled tokens before the loss is taken; all of one shape, (B, T) or flattened."""

    advantages: Tensor
    old_logp: Tensor | None
    """None: the policy that sampled is the present one."""
    is_weight: Tensor | None
    """For what the engine and the trainer disagree on."""
    ref_logp: Tensor | None
    """Of the model as it was; None: no divergence from it."""

    @classmethod
    def of(cls, batch: dict[str, Any]) -> Sampling:
        """From a micro-batch."""
        like = batch["completion_mask"]
        advantages = batch["advantages"]
        advantages = advantages.unsqueeze(1) if advantages.dim() == 1 else advantages
        weight = batch.get("importance_sampling_ratio")
        weight = None if weight is None else weight.expand(like.shape)
        known = batch.get("old_per_token_logps"), weight, batch.get("ref_per_token_logps")
        return cls(advantages.expand(like.shape), *known)

    def at(self, places: Tensor) -> Sampling:
        """At some tokens, (n,)."""
        known = (self.advantages, self.old_logp, self.is_weight, self.ref_logp)
        return Sampling(*(None if of is None else of.reshape(-1)[places] for of in known))  # type: ignore[arg-type]


def policy_loss(logp: Tensor, sampling: Sampling, settings: Policy) -> Tensor:
    """The loss at each token, of the shape of `logp`.

    The divergence from the model as it was is exp(d) - d - 1 with d = log ref - log p, as in TRL.
    """
    old = logp.detach() if sampling.old_logp is None else sampling.old_logp
    low, high, dual = settings.clip_low, settings.clip_high, settings.dual_clip
    each = clip_loss(logp, old, sampling.advantages, low=low, high=high, dual=dual)
    if sampling.is_weight is not None:
        each = each * sampling.is_weight
    if settings.beta and sampling.ref_logp is not None:
        gap = sampling.ref_logp - logp
        each = each + settings.beta * (gap.exp() - gap - 1)
    return each


@dataclass(frozen=True)
class Step:
    """The optimizer step that a micro-batch is a part of."""

    processes: int = 1
    rows: int | None = None
    """Responses of all of its micro-batches and processes; None: those of this batch (evaluation)."""
    tokens: Tensor | None = None
    """Tokens that count."""
    sequences: Tensor | None = None
    """Responses with tokens that count."""
    length: int = 1
    """Most tokens that a response may have."""

    def shares(self, mask: Tensor, mode: str, samples: Tensor) -> Tensor:
        """What each token counts for, (B, T): summed over micro-batches and averaged over processes it is the step's."""
        if self.rows is None:
            return shares(mask, mode, samples=samples)
        whole = {
            "token-mean": self.tokens,
            "verl-effective": self.rows,
            "seq-mean-token-sum-norm": self.rows * self.length,
        }.get(mode, self.sequences)
        return shares(mask, mode, samples=samples, denominator=whole) * self.processes


def counted(mask: Tensor, samples: Tensor) -> Tensor:
    """Tokens and sequences of a micro-batch that count, (2,)."""
    own = (mask * samples.unsqueeze(1)).sum(1)
    return torch.stack([own.sum(), (own > 0).sum()]).float()
