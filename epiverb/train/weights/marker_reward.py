"""A reward for keeping markers: responses with fewer of them than the model had lose some."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from epiverb.errors import ConfigError


@dataclass(frozen=True)
class MarkerReward:
    """Minus `scale` times the part of `target` markers per 1,000 words that a response lacks; never a bonus for more.

    A bonus would pay for writing "wait" without end. What a shortage costs lies between 0 and `scale`, so with 0 or 1 for
    correctness and a scale below 1 a right answer stays worth more than a wrong one.
    """

    target: float = 10.0
    """Markers per 1,000 words; measure the untrained model (`epiverb analyze`) and give its density."""
    scale: float = 0.1
    about: ClassVar[str] = "a term of the reward: fewer markers than `target` per 1,000 words cost up to `scale`"
    source: ClassVar[str] = "ours; after arXiv 2603.24472, whose GRPO keeps markers without one"
    needs: ClassVar[tuple[str, ...]] = ("n_markers", "n_words")

    def __post_init__(self) -> None:
        if not self.target > 0 or self.scale < 0:
            raise ConfigError(f"target is {self.target} and scale {self.scale}; they are above 0, and 0 or above.")

    def reward(self, n_markers: list[int], n_words: list[int]) -> list[float | None]:
        """What is added to the reward of each response, from -scale to 0; None for one without words."""
        return [
            -self.scale * max(0.0, 1 - 1000 * markers / words / self.target) if words else None
            for markers, words in zip(n_markers, n_words, strict=True)
        ]


MARKER_REWARD = MarkerReward()
