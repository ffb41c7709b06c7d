"""The divergence of a few tokens over the whole vocabulary, with its gradient by formula, in as few tiles as it takes.

A tile is a tensor of tokens by vocabulary. With g[v] the derivative of the divergence in the student's log-probability of
v, taken alone, the gradient in the logits is g - p sum(g): a log-softmax lies between them.

| divergence | term of an outcome | g |
|---|---|---|
| alpha 0 | t (log t - log s) | -t |
| alpha 1 | s (log s - log t) | s (log s - log t) + s |
| between | alpha t (log t - log m) + (1 - alpha) s (log s - log m) | (1 - alpha) s (log s - log m) |

In the last row what flows through m cancels. log s - log m is taken as -log1p(alpha expm1(log t - log s)), which does not
round away where teacher and student are nearly equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from epiverb.train.losses import between, on_support

WIDEST = 80.0
"""Log ratios beyond this are cut: what they belong to has no mass that single precision can tell from 0."""


@dataclass(frozen=True)
class Form:
    """Which divergence; see `losses.divergence`."""

    alpha: float
    temperature: float = 1.0
    topk: int | None = None
    tail: bool = True
    entry_clip: float | None = None
    softcap: float | None = None


class Tile(NamedTuple):
    """What is known of n tokens."""

    divergence: Tensor
    """(n,), as all but the last four."""
    entropy: Tensor
    teacher_entropy: Tensor
    logp_s: Tensor
    """Log-probabilities (n, V)."""
    logp_t: Tensor
    gradient: Tensor
    """Of the divergence in the student's logits behind temperature and cap (n, V)."""
    cap_slope: Tensor | None
    """Derivative of the cap (n, V), where there is one."""


def measure(logits_s: Tensor, logits_t: Tensor, form: Form) -> Tile:
    """The tile of logits (n, V), both already capped. Overwrites them."""
    cap_slope = 1 - (logits_s / form.softcap).square_() if form.softcap else None
    logp_s = torch.log_softmax(logits_s.div_(form.temperature), -1)
    logp_t = torch.log_softmax(logits_t.div_(form.temperature), -1)
    s, scratch = logp_s.exp(), logits_t
    entropy = torch.mul(s, logp_s, out=scratch).sum(-1).neg_()
    t = torch.exp(logp_t, out=logits_s)
    teacher_entropy = torch.mul(t, logp_t, out=scratch).sum(-1).neg_()
    if form.topk is not None:
        values, support, small = _on_topk(logp_s, logp_t, form)
        g = s.mul_(-small.sum(-1, keepdim=True)).scatter_add_(-1, support, small)
    else:
        values, g, total = _everywhere(logp_s, logp_t, s, t, form, scratch)
        g.addcmul_(s, total.unsqueeze(-1), value=-1)
    return Tile(values, entropy, teacher_entropy, logp_s, logp_t, g, cap_slope)


def _everywhere(
    logp_s: Tensor, logp_t: Tensor, s: Tensor, t: Tensor, form: Form, scratch: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Divergence (n,), g (n, V) and its sum (n,) over the whole vocabulary. Overwrites `t` and `scratch`."""
    alpha, clip = form.alpha, form.entry_clip
    if alpha in (0, 1):
        first, second, mass, sign = (logp_t, logp_s, t, 1) if alpha == 0 else (logp_s, logp_t, s, -1)
        terms = torch.sub(first, second, out=scratch).mul_(mass)
        # A rounded log-sum-exp shifts all log ratios of a row, and so this sum, by as much; what it does to the mass tells.
        shift = torch.sub(t, s).sum(-1).mul_(sign) if clip is None else 0.0
        g = t.neg_() if alpha == 0 else torch.add(terms, s, out=t)
    else:
        gap = torch.sub(logp_t, logp_s, out=scratch).clamp_(-WIDEST, WIDEST)
        to_mixture = torch.expm1(gap).mul_(alpha).log1p_().neg_()
        terms = gap.add_(to_mixture).mul_(t).mul_(alpha)
        g = torch.mul(to_mixture.mul_(s), 1 - alpha, out=t)
        terms.add_(g)
        shift = 0.0
    if clip is not None:
        g.masked_fill_(terms > clip, 0)
        terms.clamp_(max=clip)
    values = terms.sum(-1)
    if clip is None and alpha in (0, 1):  # the mass of a distribution, which is 1, rather than its rounded sum
        return values - shift, g, torch.full_like(values, -1) if alpha == 0 else values + 1
    return values, g, g.sum(-1)


def _on_topk(logp_s: Tensor, logp_t: Tensor, form: Form) -> tuple[Tensor, Tensor, Tensor]:
    """Divergence (n,), the student's top K ids and g there (n, K); K is small, so autograd may have it."""
    top_s, support = logp_s.topk(form.topk or 1, -1)
    top_t = logp_t.gather(-1, support)
    with torch.enable_grad():
        top_s.requires_grad_()
        values = between(on_support(top_s, form.tail), on_support(top_t, form.tail), form.alpha, form.entry_clip)
        (small,) = torch.autograd.grad(values.sum(), top_s)
    return values.detach(), support, small
