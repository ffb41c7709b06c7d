"""Responses that are right go to GRPO, those that failed and have a teacher to SDPO."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from epiverb.errors import ConfigError
from epiverb.train.weights.base import Tokens, Weights


@dataclass(frozen=True)
class Routing:
    """Each response has one loss: the policy's if its reward is at least `threshold` or it has no teacher, else the teacher's.

    Failed ones weigh exp(-beta H) of the teacher's entropy. An unknown reward trains nothing.
    """

    threshold: float = 0.5
    beta: float = 0.0
    losses: ClassVar[tuple[str, ...]] = ("distill", "policy")
    about: ClassVar[str] = "right responses to GRPO, failed ones to SDPO"
    source: ClassVar[str] = "arXiv 2604.02288 (SRPO)"

    @property
    def needs(self) -> tuple[str, ...]:
        """Entropy only where it weighs."""
        return ("reward", "has_teacher", *(("teacher_entropy",) if self.beta else ()))

    def __post_init__(self) -> None:
        if self.beta < 0:
            raise ConfigError(f"beta is {self.beta}; it is 0 or above.")

    def __call__(self, tokens: Tokens) -> Weights:
        known = ~tokens["reward"].isnan()
        taught = known & (tokens["reward"] < self.threshold) & tokens["has_teacher"].bool()
        distill = taught.to(tokens["reward"].dtype)
        if self.beta:
            distill = distill * (-self.beta * tokens["teacher_entropy"]).exp()
        return Weights(distill, (known & ~taught).to(tokens["reward"].dtype))


ROUTING = Routing()
