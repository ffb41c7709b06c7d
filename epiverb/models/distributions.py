"""What is read off the logits of a few positions; nothing that is as wide as the vocabulary is kept.

All in nats. Logits come in float32 and are overwritten. A row that holds NaN gives NaN, and no other row does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

BANNED = -1e4
"""Stands for a logit of minus infinity where it is multiplied with a probability of zero."""
BLOCK = 128
"""Entries of a row that `largest` looks at together."""
Sets = Mapping[str, "Tensor"]


def single(logits: Tensor, ids: Tensor, sets: Sets, k: int) -> dict[str, Tensor]:
    """Columns by name: `logprob` of `ids`, `entropy`, `self_certainty`, `mass/SET`, and with `k` `top_ids`, `top_logprobs`.

    Self-certainty is the divergence of the model's distribution from the uniform one: -mean of log(V p).
    """
    import torch

    logits -= logits.amax(-1, keepdim=True)  # where one token has it all, entropy is then a sum of small terms
    weights = logits.exp()
    total = weights.sum(-1)
    lse, mean = total.log(), logits.mean(-1)
    found = {"logprob": _at(logits, ids) - lse, "self_certainty": lse - mean - math.log(logits.shape[1])}
    if k:
        values, top = largest(logits, min(k, logits.shape[1]))
        found |= {"top_ids": top, "top_logprobs": values - lse[:, None]}
    if bool(torch.isinf(mean).any()):
        logits.clamp_(min=BANNED)
    found |= {f"mass/{name}": weights[:, chosen].sum(-1) / total for name, chosen in sets.items()}
    return found | {"entropy": (lse - weights.mul_(logits).sum(-1) / total).clamp_(min=0)}


def pair(student: Tensor, teacher: Tensor, ids: Tensor, sets: Sets) -> dict[str, Tensor]:
    """Columns that compare two distributions over the same positions.

    `kl`: of the student's from the teacher's, sum p_s (log p_s - log p_t), as in arXiv 2603.24472 eq. 1; `reverse_kl`: of
    the teacher's from the student's; `jsd`: Jensen and Shannon's, with halves; `log_ratio`: log p_t - log p_s of `ids`;
    `student_logprob`, `student_entropy`, `student_mass/SET`, and the same of the teacher.
    """
    import torch

    dot = torch.linalg.vecdot
    log_s, log_t = (logits.sub_(logits.logsumexp(-1, keepdim=True)).clamp_(min=BANNED) for logits in (student, teacher))
    p_s, p_t = log_s.exp(), log_t.exp()
    found = {"student_logprob": _at(log_s, ids), "teacher_logprob": _at(log_t, ids)}
    found["log_ratio"] = found["teacher_logprob"] - found["student_logprob"]
    found["student_entropy"], found["teacher_entropy"] = -dot(p_s, log_s), -dot(p_t, log_t)
    for name, chosen in sets.items():
        found[f"student_mass/{name}"] = p_s[:, chosen].sum(-1)
        found[f"teacher_mass/{name}"] = p_t[:, chosen].sum(-1)
    mixed = torch.logaddexp(log_s, log_t).sub_(math.log(2))
    from_mixed = dot(p_s, log_s - mixed) + dot(p_t, mixed.neg_().add_(log_t))
    gap = log_s.sub_(log_t)
    found |= {"kl": dot(p_s, gap), "reverse_kl": -dot(p_t, gap), "jsd": from_mixed / 2}
    for name in ("kl", "reverse_kl", "jsd", "student_entropy", "teacher_entropy"):
        found[name].clamp_(min=0)  # below zero they are rounding
    return found


def ratio(student: Tensor, teacher: Tensor, ids: Tensor) -> dict[str, Tensor]:
    """Only `student_logprob`, `teacher_logprob` and `log_ratio` of `pair`."""
    own, other = (_at(logits, ids) - logits.logsumexp(-1) for logits in (student, teacher))
    return {"student_logprob": own, "teacher_logprob": other, "log_ratio": other - own}


def largest(logits: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The `k` largest of each row and where they stand, as `topk` gives them, several times faster for a wide row.

    Blocks of a row are ordered by their largest entry; what is among the k largest lies in one of the first k blocks.
    """
    import torch

    rows, width = logits.shape
    blocks = width // BLOCK
    if blocks <= 2 * k:
        values, ids = logits.topk(k, -1)
        return values, ids
    whole = logits[:, : blocks * BLOCK].unflatten(1, (blocks, BLOCK))
    chosen = whole.amax(-1).topk(k, -1).indices
    inside = whole.gather(1, chosen[:, :, None].expand(rows, k, BLOCK)).flatten(1)
    ids = (chosen[:, :, None] * BLOCK + torch.arange(BLOCK, device=logits.device)).flatten(1)
    rest = torch.arange(blocks * BLOCK, width, device=logits.device).expand(rows, -1)
    values, at = torch.cat([inside, logits[:, blocks * BLOCK :]], 1).topk(k, -1)
    return values, torch.cat([ids, rest], 1).gather(1, at)


def _at(values: Tensor, ids: Tensor) -> Tensor:
    return values.gather(1, ids[:, None])[:, 0]
