"""What a wrong or unrelated context does as well is style, not content, and weighs little."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from epiverb.errors import ConfigError
from epiverb.train.weights.base import Tokens, Weights


@dataclass(frozen=True)
class Contrast:
    """By e, the log-probability of the token under the right context less that under the wrong one.

    The divergence is weighted by tanh(|e| / scale): 0 where both contexts say the same. The policy's advantage is multiplied
    by 1 + bound tanh(sign(A) e / scale), which never turns it round.
    """

    scale: float = 1.0
    bound: float = 0.5
    losses: ClassVar[tuple[str, ...]] = ()
    about: ClassVar[str] = "by how much a right context differs from a wrong or unrelated one"
    source: ClassVar[str] = (
        "arXiv 2606.11709 (RLCSD), THU-BPM/RLCSD: the contrast and its bounded, sign-preserving use; arXiv 2607.02234 and "
        "2608.09228 for other controls. Ours: the factor of the divergence, one wrong context, no threshold."
    )
    needs: ClassVar[tuple[str, ...]] = ("teacher_logp", "contrast_logp")

    def __post_init__(self) -> None:
        if not self.scale > 0 or not 0 <= self.bound < 1:
            raise ConfigError(f"scale is {self.scale} and bound {self.bound}; they are above 0, and from 0 to below 1.")

    def __call__(self, tokens: Tokens) -> Weights:
        contrast = (tokens["teacher_logp"] - tokens["contrast_logp"]) / self.scale
        distill = contrast.abs().tanh()
        if tokens.advantage is None:
            return Weights(distill)
        return Weights(distill, 1 + self.bound * torch.tanh(tokens.advantage.sign() * contrast))


CONTRAST = Contrast()
