"""The running mean of what LoRA adds to a weight, kept as two factors.

LoRA adds s B A. The mean of several such products is no product of the means of their factors: with B = 0 at the start,
averaging A and B apart gives rho^2 B A after one step where rho B A is meant. The factors are stacked instead,
(1 - rho) B_T A_T + rho B_S A_S = [(1 - rho) B_T, rho B_S] [A_T; A_S], and brought back to a highest rank by a singular value
decomposition when they grow beyond it. What that leaves out is measured.
"""

from __future__ import annotations

import torch
from torch import Tensor

DOWN_UP = (("lora_A", "lora_B"), ("lora_embedding_A", "lora_embedding_B"))
"""Names of the two factors: onto the low rank, and back."""


def up_of(name: str) -> str | None:
    """The name of the factor B that belongs to a parameter that is a factor A; None where it is none."""
    for down, up in DOWN_UP:
        if f".{down}." in name:
            return name.replace(f".{down}.", f".{up}.")
    return None


def blend(
    up_T: Tensor, down_T: Tensor, up_S: Tensor, down_S: Tensor, *, rate: float, rank: int
) -> tuple[Tensor, Tensor, float]:
    """Factors of (1 - rate) B_T A_T + rate B_S A_S of at most `rank`, and the share that was left out.

    Args:
        up_T, up_S: B (out, r), which may differ in r.
        down_T, down_S: A (r, in).

    Returns:
        B, A, and the Frobenius norm of what was cut over that of the whole; 0 where nothing was.
    """
    if not up_T.any():  # a LoRA that starts at 0 need not be carried along
        up_T, down_T = up_T[:, :0], down_T[:0]
    up, down = torch.cat([(1 - rate) * up_T, rate * up_S], 1), torch.cat([down_T, down_S], 0)
    if up.shape[1] <= rank:
        return up, down, 0.0
    basis_up, small_up = torch.linalg.qr(up)
    basis_down, small_down = torch.linalg.qr(down.T)
    left, values, right = torch.linalg.svd(small_up @ small_down.T)
    root = values[:rank].sqrt()
    whole = values.norm()
    cut = float(values[rank:].norm() / whole) if whole > 0 else 0.0
    return basis_up @ (left[:, :rank] * root), (root.unsqueeze(1) * right[:rank]) @ basis_down.T, cut
