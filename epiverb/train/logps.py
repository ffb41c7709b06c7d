"""Log-probabilities of sampled tokens from hidden states, a chunk at a time, without gradient."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from epiverb.train.chunked import TILE_MB
from epiverb.train.projection import Head, Projection, low_type


class Logps(NamedTuple):
    """Of the tokens' shape, NaN where masked."""

    logp: Tensor
    entropy: Tensor


@torch.no_grad()
def chunked_logps(
    h: Tensor,
    W: Tensor,
    ids: Tensor,
    *,
    mask: Tensor | None = None,
    b: Tensor | None = None,
    temperature: float = 1.0,
    softcap: float | None = None,
    chunk: int | None = None,
) -> Logps:
    """Log-probability of each sampled token and entropy there, in nats: of a second teacher, or an old policy.

    Args:
        h: hidden states (..., H) at the positions that predict the tokens.
        W, b: the head (V, H) and its bias.
        ids: sampled tokens (...).
        mask, softcap, chunk: see `chunked_divergence`.
    """
    exact = torch.float64 if torch.float64 in (h.dtype, W.dtype) else torch.float32
    low = low_type(h, W)
    states, flat = h.reshape(-1, h.shape[-1]), ids.reshape(-1)
    found = Logps(*(h.new_full(flat.shape, torch.nan, dtype=exact) for _ in Logps._fields))
    keep = (torch.ones_like(flat) if mask is None else mask.reshape(-1)).nonzero().squeeze(1)
    with torch.autocast(h.device.type, enabled=False):
        head = Projection(Head(W, b), h, exact, low)
        for at in keep.split(chunk or max(1, TILE_MB.get(h.device.type, 64) * 2**20 // (4 * len(W)))):
            logp = torch.log_softmax(head.logits(states[at], softcap).div_(temperature), -1)
            found.logp[at] = logp.gather(1, flat[at].unsqueeze(1)).squeeze(1)
            found.entropy[at] = torch.exp(logp).mul_(logp).sum(-1).neg_()
    return Logps(*(values.reshape(ids.shape) for values in found))
