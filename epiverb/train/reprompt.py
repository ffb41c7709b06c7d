"""The teacher's prompt: the question with a demonstration, by a context of `epiverb.contexts`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from epiverb.contexts import parse
from epiverb.contexts.base import Context, Count, Material, Message, NoMaterial, PromptTooLong
from epiverb.train.demonstrations import Demonstration


@dataclass(frozen=True)
class Reprompt:
    """What the teacher is shown for one response."""

    messages: tuple[Message, ...]
    """The chat; without a demonstration the student's own, so that every row has a prompt of some length."""
    context: str | None
    """The privileged part."""
    trimmed: int = 0
    """Tokens cut from the end of the privileged part; the question and the instruction are never cut."""
    reason: str | None = None
    """Why there is no teacher for this response, and its distillation has weight 0; None where there is one."""

    @property
    def used(self) -> bool:
        """Whether there is a teacher: the weight of the sample."""
        return self.reason is None


def reprompt(
    messages: Sequence[Message],
    demonstration: Demonstration | None,
    *,
    context: str | Context = "solution@sdpo-yaml",
    feedback: str | None = None,
    gold: str | None = None,
    room: int | None = None,
    count: Count | None = None,
) -> Reprompt:
    """The teacher's prompt for one response; where it cannot be built the student's own, with the reason.

    Args:
        messages: the student's chat; its last turn is the user's.
        demonstration: what `select_demonstration` chose; one whose source is `feedback` counts as feedback.
        context: by name, such as `solution@sdpo-yaml` (s), `solution-no-think@sdpo-yaml` (s\\think),
            `solution-or-feedback`, `answer`, `uncertain`, `wrong`, `unrelated`; see `epiverb ls contexts`.
        feedback: what the environment said of the response.
        gold: the reference answer.
        room, count: see `epiverb.contexts.base.Context`.

    Raises:
        ConfigError: a context that there is not, a chat that does not end with the user, a room without a count.
    """
    shown = parse(context) if isinstance(context, str) else context
    text = demonstration.text if demonstration is not None else None
    if demonstration is not None and demonstration.source == "feedback":
        text, feedback = None, demonstration.text
    # One demonstration is at hand; the context says as what it is shown.
    material = Material(
        tuple(messages), gold=gold, solution=text, wrong=text, unrelated=text, regenerated=text, feedback=feedback
    )
    try:
        done = shown(material, room=room, count=count)
    except (NoMaterial, PromptTooLong) as error:
        return Reprompt(tuple(messages), None, reason=str(error))
    return Reprompt(done.messages, done.context, done.trimmed)
