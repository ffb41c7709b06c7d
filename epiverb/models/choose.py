"""From logits to the next token, one uniform number a row.

The number picks a token by the inverse of the distribution's cumulative sum, in the order of token ids. So a row needs
nothing of its neighbours, and a change in the last bits of the logits moves the choice only where the number falls that
close to an edge. Truncation is in vLLM's order: temperature, min-p, top-k, top-p.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from epiverb.models.base import Sampling

if TYPE_CHECKING:
    from torch import Tensor


def choose(logits_R_V: Tensor, sampling: Sampling, uniforms: list[float]) -> Tensor:
    """The next token of each row, shape (R,). `uniforms` in [0, 1), one a row; not looked at when decoding greedily."""
    import torch

    if sampling.temperature == 0:
        return logits_R_V.argmax(-1)
    probs, ids = truncated(logits_R_V / sampling.temperature, sampling)
    cumulative = probs.cumsum(-1)
    at = torch.tensor(uniforms, dtype=cumulative.dtype, device=cumulative.device)[:, None] * cumulative[:, -1:]
    # `right`: a token without probability has the same sum as the one before it, and is passed over.
    place = torch.searchsorted(cumulative, at, right=True).clamp(max=cumulative.shape[1] - 1)
    return place[:, 0] if ids is None else ids.gather(1, place)[:, 0]


def truncated(logits_R_V: Tensor, sampling: Sampling) -> tuple[Tensor, Tensor | None]:
    """Probabilities, not normalised, in the order of token ids, and the ids where only some tokens are left."""
    import torch

    # Sums of 150,000 small numbers need the precision; Apple's GPUs do not have it.
    wide = torch.float32 if logits_R_V.device.type == "mps" else torch.float64
    size = logits_R_V.shape[-1]
    k = min(sampling.top_k, size) if sampling.top_k > 0 else size
    if k == size and sampling.top_p >= 1:
        probs = torch.softmax(logits_R_V, -1, dtype=wide)
        return _without_small(probs, sampling.min_p), None
    values, ids = logits_R_V.topk(k, dim=-1)
    probs = _without_small(torch.softmax(values, -1, dtype=wide), sampling.min_p)
    if sampling.top_p < 1:
        probs = probs / probs.sum(-1, keepdim=True)
        before = probs.cumsum(-1) - probs
        before[:, 0] = 0.0
        probs = probs.masked_fill(before >= sampling.top_p, 0.0)
        probs[:, 0].clamp_(min=torch.finfo(wide).tiny)
    order = ids.argsort(-1)
    return probs.gather(1, order), ids.gather(1, order)


def _without_small(probs: Tensor, min_p: float) -> Tensor:
    """`probs` with 0 for what has less than `min_p` of the largest."""
    if min_p <= 0:
        return probs
    return probs.masked_fill(probs < min_p * probs.amax(-1, keepdim=True), 0.0)
