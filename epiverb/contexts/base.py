"""What a context is: a rule that shows a model more than the question, from material about the problem."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from epiverb.errors import EpiverbError

Message = dict[str, str]


class NoMaterial(EpiverbError, LookupError):
    """A context that cannot be built for a problem: no correct peer, no reference answer, no feedback."""


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
    """A correct response that was itself written under a context (the last round)."""
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

    needs: tuple[str, ...]
    """Fields of `Material` that must be there."""

    def __call__(self, material: Material, *, room: int | None = None, count: object = None) -> Shown:
        """What is shown.

        Args:
            room: tokens that the whole prompt may have; the privileged part is trimmed to it, never the instruction.
            count: function from a list of messages to the tokens of the rendered prompt; needed with `room`.

        Raises:
            NoMaterial: what it needs is absent.
        """
        ...
