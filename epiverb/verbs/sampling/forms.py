"""The forms in which trainers read a question and its response."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from epiverb.text.thinking import FAMILIES

_OPENED = re.compile(rf"(?:{'|'.join(re.escape(tags.opening) for tags in FAMILIES if tags.alone)})\s*$")


@dataclass(frozen=True)
class Question:
    """A question without any context."""

    messages: tuple[dict[str, str], ...]
    prompt: str
    """As the model was shown it, template included."""

    @property
    def opening(self) -> str:
        """The tag with which the prompt opens the thinking; a response behind it has the closing one only."""
        found = _OPENED.search(self.prompt)
        return found[0] if found and len(self.messages) and self.prompt != self.messages[-1]["content"] else ""


def chat(question: Question, response: str) -> dict[str, Any]:
    """`messages`, with the opening tag that the template would have put into the prompt."""
    turns = [{"role": turn["role"], "content": turn["content"]} for turn in question.messages]
    return {"messages": [*turns, {"role": "assistant", "content": question.opening + response}]}


def prompt_completion(question: Question, response: str) -> dict[str, Any]:
    """`prompt` and `completion` as text: exactly what the model saw and wrote, but for the context."""
    return {"prompt": question.prompt, "completion": response}


def alpaca(question: Question, response: str) -> dict[str, Any]:
    """`instruction, input, output, system`, as LLaMA-Factory reads them; earlier turns go into the instruction."""
    said = [turn["content"] for turn in question.messages if turn["role"] != "system"]
    system = "\n\n".join(turn["content"] for turn in question.messages if turn["role"] == "system")
    output = question.opening + response
    return {"instruction": "\n\n".join(said), "input": "", "output": output, "system": system}


FORMS: dict[str, Callable[[Question, str], dict[str, Any]]] = {
    "chat": chat,
    "prompt-completion": prompt_completion,
    "alpaca": alpaca,
}
