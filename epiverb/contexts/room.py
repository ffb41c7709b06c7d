"""Fitting a prompt into its room: only the privileged part gives way, from its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from epiverb.contexts.base import Count, Message, PromptTooLong, Shown
from epiverb.contexts.templates import Template
from epiverb.errors import ConfigError

NEARBY = 8
"""Characters behind the found cut that are tried as well: a character more can make a token fewer."""


@dataclass(frozen=True)
class Prompt:
    """A chat and what is to be shown with it."""

    messages: tuple[Message, ...]
    template: Template
    solution: str = ""
    feedback: str = ""

    @property
    def size(self) -> int:
        """Characters of the privileged part."""
        return len(self.solution) + len(self.feedback)

    def parts(self, size: int) -> tuple[str, str]:
        """Solution and feedback cut to `size` characters in all. The solution gives way first: it is the longer one."""
        feedback = self.feedback[:size]
        return self.solution[: size - len(feedback)], feedback

    def cut(self, size: int) -> tuple[Message, ...]:
        """The chat with the first `size` characters of the privileged part. All turns but the last stay as they are."""
        *before, last = self.messages
        return *before, {**last, "content": self.template(last["content"], *self.parts(size))}

    def shown(self, size: int, trimmed: int = 0) -> Shown:
        """The chat as a model sees it."""
        return Shown(self.cut(size), "\n\n".join(filter(None, self.parts(size))) or None, trimmed)


def checked(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """`messages`; raises `ConfigError` where the last turn is not the user's, which is the one that is rewritten."""
    if not messages or messages[-1].get("role") != "user":
        role = messages[-1].get("role") if messages else "missing"
        raise ConfigError(f"a context needs a chat whose last turn is the user's; here it is {role!r}.")
    return messages


def counted(messages: tuple[Message, ...], count: Count | None) -> int:
    """Tokens of a chat; raises `ConfigError` where nobody said how to count them."""
    if count is None:
        raise ConfigError("this needs a count: how many tokens a chat is rendered to.")
    return count(messages)


def fit(prompt: Prompt, room: int | None, count: Count | None) -> Shown:
    """The whole prompt, or the longest beginning of its privileged part with which it has at most `room` tokens.

    Source: the published code cuts the rendered prompt at its right end (lasgroup/SDPO@0e6d510 `max_reprompt_len`).
    Ours differs: that would cut the instruction and the assistant's header off, so the solution's end goes instead.

    Raises:
        PromptTooLong: nothing of the privileged part would be left, or the question alone is too long.
        ConfigError: a room without a way to count.
    """
    if room is None:
        return prompt.shown(prompt.size)
    whole = counted(prompt.cut(prompt.size), count)
    if whole <= room:
        return prompt.shown(prompt.size)
    size = longest(lambda size: counted(prompt.cut(size), count) <= room, prompt.size)
    if not size:
        bare = counted(prompt.messages, count)
        what = "the question alone is longer" if bare > room else "nothing of the context would be left"
        raise PromptTooLong(
            f"the prompt has {whole} tokens and room for {room}; {what} ({bare} tokens without context). "
            "Give more room: a larger window, or fewer tokens for the response."
        )
    return prompt.shown(size, whole - counted(prompt.cut(size), count))


def longest(fits: Callable[[int], bool], size: int) -> int:
    """The largest number below `size` that fits, found by halving; 0 where none does. `size` itself does not."""
    low, high = 0, size
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    nearby = range(min(low + NEARBY, size - 1), low, -1) if low else ()
    return next((size for size in nearby if fits(size)), low)
