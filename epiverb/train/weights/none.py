"""No token weight: every token counts alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from epiverb.train.weights.base import Tokens, Weights


@dataclass(frozen=True)
class Nothing:
    """The run as it is."""

    losses: ClassVar[tuple[str, ...]] = ()
    about: ClassVar[str] = "every token alike"
    source: ClassVar[str] = "arXiv 2601.20802 (SDPO), arXiv 2402.03300 (GRPO)"
    needs: ClassVar[tuple[str, ...]] = ()

    def __call__(self, tokens: Tokens) -> Weights:
        return Weights()


NONE = Nothing()
