"""A teacher who is not sure is followed less."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from epiverb.train.weights.base import Tokens, Weights


@dataclass(frozen=True)
class TeacherEntropy:
    """Weight exp(-beta H), H the teacher's entropy in nats, but at least `floor`."""

    beta: float = 1.0
    floor: float = 0.0
    losses: ClassVar[tuple[str, ...]] = ()
    about: ClassVar[str] = "exp(-beta x the teacher's entropy), at least `floor`"
    source: ClassVar[str] = (
        "arXiv 2604.02288 (SRPO) for exp(-beta H), arXiv 2605.13255 (EGRSD) for a lower bound. "
        "Ours differs: weights are not normalised over the batch."
    )
    needs: ClassVar[tuple[str, ...]] = ("teacher_entropy",)

    def __call__(self, tokens: Tokens) -> Weights:
        return Weights((-self.beta * tokens["teacher_entropy"]).exp().clamp(min=self.floor))


TEACHER_ENTROPY = TeacherEntropy()
