"""No token may add more than so much divergence: tokens of style have many times that of others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from epiverb.errors import ConfigError
from epiverb.train.weights.base import Tokens, Weights


@dataclass(frozen=True)
class KLClip:
    """A token whose divergence is above `at` nats is scaled down to it, its gradient with it."""

    at: float = 0.1
    losses: ClassVar[tuple[str, ...]] = ()
    about: ClassVar[str] = "a token adds at most `at` nats"
    source: ClassVar[str] = (
        "arXiv 2601.18734 (OPSD), siyan-zhao/OPSD@8ae338d generalized_jsd_loss. Ours differs: that clips each outcome of the "
        "vocabulary, as `entry_clip` of chunked_divergence does; here a token as a whole."
    )
    needs: ClassVar[tuple[str, ...]] = ("divergence",)

    def __post_init__(self) -> None:
        if not self.at > 0:
            raise ConfigError(f"at is {self.at}; the most that a token may add is above 0.")

    def __call__(self, tokens: Tokens) -> Weights:
        return Weights(self.at / tokens["divergence"].clamp(min=self.at))


KL_CLIP = KLClip()
