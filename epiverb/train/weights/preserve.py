"""Markers are not trained on, or less: what takes them away is the gradient at them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from epiverb.train.weights.base import Tokens, Weights


@dataclass(frozen=True)
class Preserve:
    """Tokens of markers weigh `keep`, all others 1, in both losses. With 0 no gradient comes from a marker, exactly.

    The other tokens keep their shares: the loss is not divided by fewer.
    """

    keep: float = 0.0
    losses: ClassVar[tuple[str, ...]] = ()
    about: ClassVar[str] = "markers are masked, or weigh `keep`"
    source: ClassVar[str] = (
        "the epistemic mask of yuanyueyao/verl (recipe RLSD); compare arXiv 2607.10805, which protects tokens of high entropy. "
        "Ours differs: all tokens of a marker, where that code takes the last one of 'Wait,', the comma."
    )
    needs: ClassVar[tuple[str, ...]] = ("marker",)

    def __call__(self, tokens: Tokens) -> Weights:
        weight = torch.ones_like(tokens["marker"], dtype=torch.float32).masked_fill(tokens["marker"].bool(), self.keep)
        return Weights(weight, weight)


PRESERVE = Preserve()
