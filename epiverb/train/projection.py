"""From hidden states to logits and back, without ever rounding a logit below float32.

A divergence of two nearly equal distributions is a difference of nearly equal numbers: from logits rounded to bfloat16 its
gradient is off by 2 to 32 %. A product of bfloat16 numbers that is *summed* in float32 is exact to float32, so only the
output must not be rounded. On CUDA that is one matrix product with `out_dtype`; elsewhere the inputs are widened.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from epiverb.errors import ConfigError


@dataclass(frozen=True)
class Head:
    """A head as a model has it."""

    weight: Tensor
    """(V, H)."""
    bias: Tensor | None = None
    """(V,)."""


class Projection:
    """A head made ready for chunks of hidden states.

    Args:
        head: whole; a sharded one is gathered before.
        hidden: the hidden states it is for; only their type, width and device matter.
        exact: float32, or float64 for tests.
        low: bfloat16 where the device multiplies it with float32 sums; None: everything in `exact`.
    """

    def __init__(self, head: Head, hidden: Tensor, exact: torch.dtype, low: torch.dtype | None = None) -> None:
        if hasattr(head.weight, "full_tensor") or not head.weight.numel():
            raise ConfigError(
                "the head is sharded over processes; gather it first (full_tensor, or GatheredParameters)."
            )
        if head.weight.shape[-1] != hidden.shape[-1]:
            raise ConfigError(f"hidden states have width {hidden.shape[-1]}, their head {head.weight.shape[-1]}.")
        self.exact, self.low = exact, low
        self.weight = head.weight.detach().to(low or exact)
        self.bias = None if head.bias is None else head.bias.detach().to(exact)

    def logits(self, states: Tensor, softcap: float | None = None) -> Tensor:
        """Logits (n, V) of hidden states (n, H), as a new tensor."""
        if self.low is None:
            logits = states.to(self.exact) @ self.weight.T
        else:
            logits = torch.mm(states.to(self.low), self.weight.T, out_dtype=self.exact)
        if self.bias is not None:
            logits += self.bias
        return logits if softcap is None else logits.div_(softcap).tanh_().mul_(softcap)

    def onto_hidden(self, gradient: Tensor) -> Tensor:
        """Gradient on hidden states (n, H) of one on logits (n, V)."""
        if self.low is None:
            return gradient @ self.weight
        return torch.mm(gradient.to(self.low), self.weight, out_dtype=self.exact)

    def onto_weight(self, total: Tensor, gradient: Tensor, states: Tensor) -> None:
        """Add the gradient on the head (V, H) to `total`, whose sum is kept in `exact`."""
        if self.low is None:
            total.addmm_(gradient.T, states.to(self.exact))
        else:
            torch.addmm(total, gradient.to(self.low).T, states.to(self.low), out_dtype=self.exact, out=total)


def low_type(*tensors: Tensor) -> torch.dtype | None:
    """bfloat16 where these are multiplied in it on a GPU anyway, and torch can sum in float32; else None."""
    if not tensors[0].is_cuda or tuple(map(int, torch.__version__.split(".")[:2])) < (2, 8):
        return None
    autocast = torch.get_autocast_dtype("cuda") if torch.is_autocast_enabled("cuda") else None
    return torch.bfloat16 if all((autocast or tensor.dtype) == torch.bfloat16 for tensor in tensors) else None


def mixed(logits: list[tuple[float, Tensor]]) -> Tensor:
    """The sum of logits (n, V) with their factors, in place of the first."""
    factor, total = logits[0]
    total = total if factor == 1 else total.mul_(factor)
    for factor, more in logits[1:]:
        total.add_(more, alpha=factor)
    return total
