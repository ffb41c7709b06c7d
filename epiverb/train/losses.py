"""The losses of SDPO and GRPO on log-probabilities and logits: per token first, summed by `aggregate`.

They know no algorithm: a loss has one value a token, weights multiply it, shares sum it. Shapes: B sequences, T response
tokens (right-padded), V vocabulary, K support. `divergence` holds B x T x V tensors and is what `chunked_divergence` is
checked against; training uses the latter.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from epiverb.errors import ConfigError, nearest

LARGEST = 20.0
"""Log ratios are clamped to plus and minus this before `exp`, as in the published code."""
LEAST_TAIL = 1e-7
"""Log mass that is kept for the tail, so that a support with all of the mass has a finite one."""

Mode = Literal["token-mean", "seq-mean-token-mean", "seq-mean-token-sum", "seq-mean-token-sum-norm", "verl-effective"]
MODES = ("token-mean", "seq-mean-token-mean", "seq-mean-token-sum", "seq-mean-token-sum-norm", "verl-effective")


def divergence(
    student_logits: Tensor,
    teacher_logits: Tensor,
    alpha: float,
    *,
    temperature: float = 1.0,
    topk: int | None = None,
    tail: bool = True,
    support: Tensor | None = None,
    entry_clip: float | None = None,
) -> Tensor:
    """Divergence of teacher and student at each token, in nats (B, T); the gradient goes to the student only.

    alpha 0 is KL(teacher || student), 1 is KL(student || teacher), between them the generalised Jensen-Shannon divergence
    alpha KL(T || M) + (1 - alpha) KL(S || M) with M = (1 - alpha) S + alpha T, whose gradient also goes through M.

    Args:
        student_logits, teacher_logits: (B, T, V).
        temperature: divides both; the result is not multiplied by its square.
        topk: only on the student's K most likely tokens.
        tail: with `topk`, all other tokens are one more outcome; without, both are renormalised.
        support: token ids (B, T, K) in place of the student's own top K.
        entry_clip: most that a single outcome may add; its gradient ends there.

    Source: lasgroup/SDPO@0e6d510 verl/trainer/ppo/core_algos.py `compute_self_distillation_loss`; `entry_clip` is the
    pointwise clip of OPSD (arXiv 2601.18734), siyan-zhao/OPSD@8ae338d `generalized_jsd_loss`.
    """
    check(alpha, temperature, topk, student_logits.shape[-1])
    logp_s = torch.log_softmax(_exact(student_logits) / temperature, -1)
    logp_t = torch.log_softmax(_exact(teacher_logits.detach()) / temperature, -1)
    if support is None and topk is not None:
        support = logp_s.detach().topk(topk, -1).indices
    if support is not None:
        logp_s, logp_t = (on_support(logp.gather(-1, support), tail) for logp in (logp_s, logp_t))
    return between(logp_s, logp_t, alpha, entry_clip)


def check(alpha: float, temperature: float, topk: int | None, vocabulary: int) -> None:
    """Raise `ConfigError` for settings of a divergence that mean nothing."""
    if not 0 <= alpha <= 1:
        raise ConfigError(f"alpha is {alpha}; it lies between 0 (teacher || student) and 1 (student || teacher).")
    if not temperature > 0:
        raise ConfigError(f"temperature is {temperature}; the temperature of a divergence is above 0.")
    if topk is not None and not 0 < topk <= vocabulary:
        raise ConfigError(f"topk is {topk}; it lies between 1 and the {vocabulary} tokens of the vocabulary.")


def on_support(logp_K: Tensor, tail: bool) -> Tensor:
    """Log-probabilities on a support made a distribution: with one entry for the tail (..., K + 1), or renormalised."""
    total = logp_K.logsumexp(-1, keepdim=True)
    if not tail:
        return logp_K - total
    return torch.cat([logp_K, torch.log(-torch.expm1(total.clamp(max=-LEAST_TAIL)))], -1)


def between(logp_s: Tensor, logp_t: Tensor, alpha: float, entry_clip: float | None = None) -> Tensor:
    """Divergence of two tables of log-probabilities along the last axis; see `divergence`."""
    if alpha == 0:
        terms = logp_t.exp() * (logp_t - logp_s)
    elif alpha == 1:
        terms = logp_s.exp() * (logp_s - logp_t)
    else:
        logp_m = torch.logaddexp(logp_s + math.log1p(-alpha), logp_t + math.log(alpha))
        terms = alpha * logp_t.exp() * (logp_t - logp_m) + (1 - alpha) * logp_s.exp() * (logp_s - logp_m)
    return (terms if entry_clip is None else terms.clamp(max=entry_clip)).sum(-1)


def _exact(logits: Tensor) -> Tensor:
    return logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits


def token_logps(logits: Tensor, ids: Tensor, *, temperature: float = 1.0) -> Tensor:
    """Log-probability of each sampled token (B, T), of logits (B, T, V) and ids (B, T)."""
    logits = _exact(logits) / temperature
    return logits.gather(-1, ids.unsqueeze(-1)).squeeze(-1) - logits.logsumexp(-1)


def sampled_token_loss(student_logp: Tensor, teacher_logp: Tensor) -> Tensor:
    """Reverse KL on the sampled token alone in score-function form (B, T): its value is no KL, its mean gradient is one's.

    Args:
        student_logp, teacher_logp: log-probabilities of the sampled tokens (B, T).

    Source: lasgroup/SDPO@0e6d510 core_algos.py, `full_logit_distillation=False`.
    """
    return (student_logp - teacher_logp).detach() * student_logp


def importance_weights(
    logp: Tensor,
    other_logp: Tensor,
    *,
    clip: float = 2.0,
    mask: Tensor | None = None,
    level: Literal["token", "sequence"] = "token",
) -> Tensor:
    """Detached weights min(exp(logp - other_logp), clip) at each token (B, T); the lower side is not clipped.

    Student against the policy that sampled: `importance_weights(logp, old_logp)`. What the trainer computes against what
    the engine said while sampling: `importance_weights(old_logp, rollout_logp, mask=mask)`. Weights multiply a loss.

    Args:
        mask: (B, T), 0 where there is no token; needed for `sequence`, where a whole response has one weight.

    Source: lasgroup/SDPO@0e6d510 core_algos.py (`is_clip`) and rollout_corr_helper.py.
    """
    log_ratio = (logp - other_logp).detach()
    if level == "sequence":
        if mask is None:
            raise ConfigError("importance weights of whole sequences need a mask of their tokens.")
        log_ratio = (log_ratio.masked_fill(mask == 0, 0)).sum(-1, keepdim=True).expand_as(log_ratio)
    elif level != "token":
        raise ConfigError(f"unknown level {level!r} of importance weights.{nearest(level, ('token', 'sequence'))}")
    weights = log_ratio.clamp(-LARGEST, LARGEST).exp().clamp(max=clip)
    return weights if mask is None else weights.masked_fill(mask == 0, 0)


def clip_loss(
    logp: Tensor,
    old_logp: Tensor,
    advantages: Tensor,
    *,
    low: float = 0.2,
    high: float = 0.28,
    dual: float | None = 3.0,
) -> Tensor:
    """The clipped policy loss of GRPO at each token (B, T).

    Args:
        logp, old_logp: log-probabilities of the sampled tokens, now and when they were sampled (B, T).
        advantages: (B,), or (B, T) where tokens have their own.
        low, high: the ratio is clipped to [1 - low, 1 + high]; a higher `high` lets rare tokens grow.
        dual: largest ratio that counts where the advantage is negative; None: no such limit.

    Source: lasgroup/SDPO@0e6d510 core_algos.py `compute_policy_loss_vanilla`; TRL calls `dual` delta.
    """
    ratio, advantages = _ratio(logp, old_logp, advantages)
    loss = torch.maximum(-advantages * ratio, -advantages * ratio.clamp(1 - low, 1 + high))
    if dual is None:
        return loss
    return torch.where(advantages < 0, torch.minimum(loss, -advantages * dual), loss)


def clipped(
    logp: Tensor,
    old_logp: Tensor,
    advantages: Tensor,
    *,
    low: float = 0.2,
    high: float = 0.28,
    dual: float | None = 3.0,
) -> tuple[Tensor, Tensor]:
    """Where `clip_loss` holds a token back (B, T): by the range of the ratio, and by `dual`. Both have no gradient."""
    ratio, advantages = (tensor.detach() for tensor in _ratio(logp, old_logp, advantages))
    plain, kept = -advantages * ratio, -advantages * ratio.clamp(1 - low, 1 + high)
    ranged, negative = kept > plain, advantages < 0
    limited = negative & (torch.maximum(plain, kept) > -advantages * (dual if dual is not None else math.inf))
    return ranged, limited


def _ratio(logp: Tensor, old_logp: Tensor, advantages: Tensor) -> tuple[Tensor, Tensor]:
    if advantages.dim() == logp.dim() - 1:
        advantages = advantages.unsqueeze(-1)
    return (logp - old_logp).clamp(-LARGEST, LARGEST).exp(), advantages.expand_as(logp)


def shares(
    mask: Tensor,
    mode: str = "token-mean",
    *,
    samples: Tensor | None = None,
    denominator: float | Tensor | None = None,
) -> Tensor:
    """What each token counts for in the loss of a batch (B, T): the loss is the sum of shares times token losses.

    - `token-mean`: a token's share is one over the tokens.
    - `seq-mean-token-mean`, `seq-mean-token-sum`: mean over the sequences that have tokens of their mean, or sum.
    - `seq-mean-token-sum-norm`: sum over the length that the sequences are padded to.
    - `verl-effective`: mean over *all* sequences of their token means; one without a teacher counts as 0. This is what
      `token-mean` becomes in the published runs, which sum micro-batches of one sequence.

    Args:
        mask: 1 where a token counts (B, T).
        samples: 1 where a sequence counts (B,): whether it has a teacher context.
        denominator: tokens (`token-mean`), sequences (`seq-mean-...`, `verl-effective`) or length (`...-norm`) of the
            whole optimizer step; give it where the batch is one of several micro-batches or processes, so that their
            losses sum to that of one big batch. None: those of this batch.

    Source: lasgroup/SDPO@0e6d510 core_algos.py `agg_loss`.
    Ours differs: no 1e-8 in denominators; they are at least 1.
    """
    if mode not in MODES:
        raise ConfigError(f"unknown aggregation {mode!r}.{nearest(mode, MODES)}")
    counted = mask.to(torch.get_default_dtype() if not mask.is_floating_point() else mask.dtype)
    if samples is not None:
        counted = counted * samples.to(counted.dtype).unsqueeze(-1)
    lengths = counted.sum(-1, keepdim=True)
    own = {
        "token-mean": lengths.sum(),
        "verl-effective": counted.new_tensor(len(mask)),
        "seq-mean-token-sum-norm": counted.new_tensor(mask.shape[-1]),
    }.get(mode, (lengths > 0).sum())
    if mode in ("seq-mean-token-mean", "verl-effective"):
        counted = counted / lengths.clamp(min=1)
    whole = torch.as_tensor(own if denominator is None else denominator, dtype=counted.dtype, device=counted.device)
    return counted / whole.clamp(min=1)


def aggregate(
    loss: Tensor,
    mask: Tensor,
    mode: str = "token-mean",
    *,
    samples: Tensor | None = None,
    denominator: float | Tensor | None = None,
) -> Tensor:
    """The loss of a batch: token losses (B, T) summed by their `shares`. What is masked may be anything, NaN too."""
    share = shares(mask, mode, samples=samples, denominator=denominator).to(loss.dtype)
    return (loss.masked_fill(share == 0, 0) * share).sum()
