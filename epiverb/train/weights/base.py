"""What a token weight is: what is known of some tokens in, factors of their two losses out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Protocol

from torch import Tensor

from epiverb.errors import DataError

if TYPE_CHECKING:
    from epiverb.train.chunked import Seen


@dataclass(frozen=True)
class Tokens:
    """What is known of tokens, all of one shape, (B, T) or (n,); None where a run does not have it.

    What is said of a response stands at each of its tokens. The last five are known only once logits are.
    """

    marker: Tensor | None = None
    """Whether the token is part of a marker."""
    position: Tensor | None = None
    """Place in the response, from 0."""
    length: Tensor | None = None
    """Tokens of the response."""
    reward: Tensor | None = None
    """NaN: unknown."""
    advantage: Tensor | None = None
    has_teacher: Tensor | None = None
    """Whether the response has a demonstration or feedback."""
    contrast_logp: Tensor | None = None
    """Log-probability under a second teacher, who was shown something wrong or unrelated."""
    student_logp: Tensor | None = None
    teacher_logp: Tensor | None = None
    divergence: Tensor | None = None
    entropy: Tensor | None = None
    teacher_entropy: Tensor | None = None

    def __getitem__(self, name: str) -> Tensor:
        tensor: Tensor | None = getattr(self, name)
        if tensor is None:
            raise DataError(f"a token weight needs {name} of each token, which this run does not know.")
        return tensor


class Weights(NamedTuple):
    """Factors, of the tokens' shape and without gradient. None: 1."""

    distill: Tensor | None = None
    """Of the divergence from the teacher."""
    policy: Tensor | None = None
    """Of the clipped policy loss, that is of the advantage."""


class TokenWeight(Protocol):
    """A frozen dataclass in `epiverb.train.weights.WEIGHTS`, whose fields are numbers: its settings.

    It looks at each token by itself, so that it can be asked about a chunk as well as about a batch.
    """

    losses: ClassVar[tuple[str, ...]]
    """Losses that the run must have besides its own: `distill`, `policy`. With none its own is weighted."""
    about: ClassVar[str]
    source: ClassVar[str]

    @property
    def needs(self) -> tuple[str, ...]:
        """Fields of `Tokens` without which it cannot be had."""
        ...

    def __call__(self, tokens: Tokens) -> Weights:
        """The factors of these tokens."""
        ...


class RewardTerm(Protocol):
    """The other thing that `WEIGHTS` holds: a term of the reward of whole responses."""

    about: ClassVar[str]
    source: ClassVar[str]

    @property
    def needs(self) -> tuple[str, ...]:
        """Columns of a rollout without which it cannot be had."""
        ...

    def reward(self, n_markers: list[int], n_words: list[int]) -> list[float | None]:
        """What is added to the reward of each response; None where nothing can be said."""
        ...


def factors(weight: TokenWeight, tokens: Tokens) -> Weights:
    """`weight` of `tokens`, detached; raises `DataError` where something that it needs is not known."""
    distill, policy = weight(tokens)
    return Weights(distill if distill is None else distill.detach(), policy if policy is None else policy.detach())


def in_chunk(weight: TokenWeight, tokens: Tokens) -> Callable[[Seen], Tensor]:
    """The factor of the divergence as `weigh` of `chunked_divergence`: with what is known there and in `tokens` (B, T)."""
    known = {field.name: getattr(tokens, field.name) for field in fields(tokens)}
    flat = {name: tensor.reshape(-1) for name, tensor in known.items() if tensor is not None}

    def weigh(seen: Seen) -> Tensor:
        here = {name: tensor[seen.at] for name, tensor in flat.items()}
        late = {name: getattr(seen, name) for name in known if getattr(seen, name, None) is not None}
        distill = factors(weight, Tokens(**here | late)).distill
        return seen.divergence.new_ones(seen.divergence.shape) if distill is None else distill

    return weigh


@dataclass(frozen=True)
class Product:
    """Several token weights at once."""

    parts: tuple[TokenWeight, ...]
    about: ClassVar[str] = "several token weights, multiplied"
    source: ClassVar[str] = "of its parts"

    @property
    def losses(self) -> tuple[str, ...]:
        """All that its parts ask for."""
        return tuple(dict.fromkeys(name for part in self.parts for name in part.losses))

    @property
    def needs(self) -> tuple[str, ...]:
        """All that its parts need."""
        return tuple(dict.fromkeys(name for part in self.parts for name in part.needs))

    def __call__(self, tokens: Tokens) -> Weights:
        found = [part(tokens) for part in self.parts]
        return Weights(_times([each.distill for each in found]), _times([each.policy for each in found]))


def _times(several: list[Tensor | None]) -> Tensor | None:
    total: Tensor | None = None
    for tensor in several:
        if tensor is not None:
            total = tensor if total is None else total * tensor
    return total
