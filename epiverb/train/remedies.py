"""What a specification of token weights asks for: a weight of tokens, terms of the reward, and what both need."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from epiverb.errors import ConfigError
from epiverb.train.chunked import Seen
from epiverb.train.weights import parse
from epiverb.train.weights.base import Product, RewardTerm, Tokens, TokenWeight, Weights, factors

POLICY_KNOWS = ("marker", "position", "length", "reward", "advantage", "student_logp", "entropy")
"""What GRPO knows of a token; the rest wants a teacher."""


@dataclass(frozen=True)
class Remedy:
    """A specification taken apart."""

    spec: str
    weight: TokenWeight | None
    """None: all tokens alike."""
    terms: tuple[RewardTerm, ...]

    @property
    def losses(self) -> tuple[str, ...]:
        """Losses that it asks for."""
        return self.weight.losses if self.weight is not None else ()

    def needs(self, name: str) -> bool:
        """Whether the token weight needs this of each token."""
        return self.weight is not None and name in self.weight.needs

    @property
    def marks(self) -> bool:
        """Whether markers must be found."""
        return self.needs("marker") or bool(self.terms)


def remedy(spec: str, *, teacher: bool) -> Remedy:
    """The remedy that `spec` says.

    Args:
        teacher: whether the run has one.

    Raises:
        ConfigError: it cannot be had in such a run, or would change nothing in it.
    """
    parts = [parse(part.strip()) for part in spec.split("+")]
    terms = tuple(part for part in parts if hasattr(part, "reward"))
    weights = [part for part in parts if not hasattr(part, "reward") and type(part).__name__ != "Nothing"]
    weight: Any = None if not weights else weights[0] if len(weights) == 1 else Product(tuple(weights))
    if weight is not None and not teacher:
        beyond = [name for name in weight.needs if name not in POLICY_KNOWS]
        if beyond or "distill" in weight.losses:
            what = beyond[0] if beyond else "a distillation loss"
            raise ConfigError(f"token weight {spec!r} needs {what}, which only SDPO has: use it there.")
        if factors(weight, _ones()).policy is None:
            raise ConfigError(f"token weight {spec!r} weighs the divergence only, and GRPO has none: use it in SDPO.")
    return Remedy(spec, weight, terms)


def _ones() -> Tokens:
    return Tokens(**{field.name: torch.ones(1) for field in fields(Tokens)})


def of_policy(remedy: Remedy, tokens: Tokens) -> Tensor | None:
    """The factor of the policy loss at each token; None: 1."""
    return None if remedy.weight is None else factors(remedy.weight, tokens).policy


class InChunks:
    """Asks a token weight once a chunk, and gives its two factors to the two losses of the chunk.

    Where a response has no teacher the student is its own: its divergence is 0, its log-probabilities are the student's.
    So weights that compare the two leave the policy loss of such a response as it is.

    Args:
        tokens: what is known before the logits are, (B, T) each.
    """

    def __init__(self, weight: TokenWeight, tokens: Tokens) -> None:
        self._weight = weight
        known = {field.name: getattr(tokens, field.name) for field in fields(Tokens)}
        self._known = {name: tensor.reshape(-1) for name, tensor in known.items() if tensor is not None}
        self._late = [name for name in known if name in Seen._fields]
        self._factors = Weights()

    def distill(self, seen: Seen) -> Tensor:
        """The factor of the divergence, (n,); `chunked_divergence` asks for it first."""
        here = {name: tensor[seen.at] for name, tensor in self._known.items()}
        here |= {name: getattr(seen, name) for name in self._late if getattr(seen, name) is not None}
        taught, student = here["has_teacher"].bool(), seen.student_logp
        alone = {"teacher_logp": student, "contrast_logp": student, "teacher_entropy": seen.entropy}
        alone["divergence"] = torch.zeros_like(seen.divergence)
        for name, value in alone.items():
            if name in here and value is not None:
                here[name] = torch.where(taught, here[name].to(value.dtype), value)
        self._factors = factors(self._weight, Tokens(**here))
        one = torch.ones_like(seen.divergence)
        return one if self._factors.distill is None else self._factors.distill

    @property
    def policy(self) -> Tensor | None:
        """The factor of the policy loss of the same tokens; None: 1."""
        return self._factors.policy
