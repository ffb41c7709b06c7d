"""Tokens weigh by their place in the response: a privileged teacher is more reliable late than early."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from epiverb.train.weights.base import Tokens, Weights


@dataclass(frozen=True)
class Position:
    """A straight line from `start` to 2 - `start`, whose mean over a response is 1; nothing behind the first `first` tokens."""

    start: float = 0.5
    """Above 1 the line falls."""
    first: int = 0
    """0: all tokens."""
    losses: ClassVar[tuple[str, ...]] = ()
    about: ClassVar[str] = "from `start` at the beginning to 2 - `start` at the end; only the `first` tokens"
    source: ClassVar[str] = (
        "arXiv 2605.21606 (PW-OPSD) for weights that grow, arXiv 2606.22600 for ones that fall, arXiv 2601.18734 (OPSD) for a "
        "prefix of 1,024. Ours: the straight line."
    )
    needs: ClassVar[tuple[str, ...]] = ("position", "length")

    def __call__(self, tokens: Tokens) -> Weights:
        place = (tokens["position"] + 0.5) / tokens["length"].clamp(min=1)
        weight = self.start + 2 * (1 - self.start) * place
        return Weights(weight if not self.first else weight * (tokens["position"] < self.first))


POSITION = Position()
