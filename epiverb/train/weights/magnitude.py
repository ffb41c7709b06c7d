"""The reward says in which direction, the teacher says how far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from epiverb.errors import ConfigError
from epiverb.train.weights.base import Tokens, Weights


@dataclass(frozen=True)
class Magnitude:
    """GRPO whose advantage A is multiplied by 1 - mix + mix clip(exp(sign(A) (log t - log s)), 1 - clip, 1 + clip).

    t and s are the teacher's and the student's probability of the token. The teacher is not imitated: its loss weighs 0.
    """

    mix: float = 0.5
    clip: float = 0.2
    losses: ClassVar[tuple[str, ...]] = ("policy",)
    about: ClassVar[str] = "direction of the advantage, size from the teacher"
    source: ClassVar[str] = (
        "arXiv 2604.03128 (RLSD), siyan-zhao/OPSD@87d7566 rlsd_trainer.py. Ours differs: `mix` does not decay by itself."
    )
    needs: ClassVar[tuple[str, ...]] = ("advantage", "student_logp", "teacher_logp")

    def __post_init__(self) -> None:
        if not 0 <= self.mix <= 1 or not 0 <= self.clip < 1:
            raise ConfigError(f"mix is {self.mix} and clip {self.clip}; they are from 0 to 1, and from 0 to below 1.")

    def __call__(self, tokens: Tokens) -> Weights:
        ratio = (tokens["advantage"].sign() * (tokens["teacher_logp"] - tokens["student_logp"])).clamp(-20, 20).exp()
        policy = 1 - self.mix + self.mix * ratio.clamp(1 - self.clip, 1 + self.clip)
        return Weights(policy.new_zeros(policy.shape), policy)


MAGNITUDE = Magnitude()
