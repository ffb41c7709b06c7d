"""What a context is: a rule that shows a model more than the question, from material about the problem."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from epiverb.errors import EpiverbError

Message = dict[str, str]
Count = Callable[[Sequence[Message]], int]
"""Tokens of the prompt that messages are rendered to, generation header included."""


class NoMaterial(EpiverbError, LookupError):
    """A context that cannot be built for a problem: no correct peer, no reference answer, no feedback."""


class PromptTooLong(EpiverbError, ValueError):
    """A prompt that does not fit into the room although all of the privileged part has been cut."""


@dataclass(frozen=True)
class Material:
    """What is known of one problem."""

    messages: tuple[Message, ...]
    """The chat without context; its last turn is the user's."""
    gold: str | None = None
    solution: str | None = None
    """A correct solution, thinking included: a peer's response, or the data set's own."""
    wrong: str | None = None
    """A wrong solution to the same problem."""
    unrelated: str | None = None
    """A correct solution to another problem."""
    regenerated: str | None = None
    """A response that was itself written under a context (the last round); `material.pick` chooses it."""
    feedback: str | None = None
    """What the environment said of an earlier attempt."""


@dataclass(frozen=True)
class Shown:
    """What a model is shown."""

    messages: tuple[Message, ...]
    context: str | None
    """The privileged part (column `context` of the traces); None where there is none."""
    trimmed: int = 0
    """Tokens cut from the privileged part so that the prompt fits."""


class Context(Protocol):
    """Builds what is shown. Instances are frozen dataclasses in `epiverb.contexts.CONTEXTS`."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Fields of `Material` of which it uses one or all."""
        ...

    @property
    def about(self) -> str:
        """What is shown, in a line."""
        ...

    def configured(self, argument: str | None, template: str | None) -> Context:
        """The same with what stands behind `:` and `@` in its specification.

        Raises:
            ConfigError: it takes no argument, not this one, or needs one.
        """
        ...

    def __call__(self, material: Material, *, room: int | None = None, count: Count | None = None) -> Shown:
        """What is shown.

        Args:
            room: tokens that the whole prompt may have; the privileged part is trimmed to it, never the instruction.
            count: function from a list of messages to the tokens of the rendered prompt; needed with `room`.

        Raises:
            NoMaterial: what it needs is absent.
            PromptTooLong: there is no room for any of the privileged part, or not even for the question.
        """
        ...
