"""Thinking on or off for a trainer, which renders chats by itself: by the template's own switch, or by a template made for it."""

from __future__ import annotations

from typing import Any

from epiverb.errors import EngineError
from epiverb.models.base import Request
from epiverb.models.chat import SWITCHES, Chat

ASKED = ({"role": "user", "content": "?"},)


def switched(tokenizer: Any, thinking: str | None, model: str) -> dict[str, bool]:
    """What `apply_chat_template` must be told, or nothing: then the tokenizer's template has been changed to do it.

    Raises:
        EngineError: the model has no chat template, or no way to switch its thinking.
    """
    chat = Chat(tokenizer, model)
    plain = chat.render(Request("", ASKED))
    if thinking is None:
        return {}
    wanted = chat.render(Request("", ASKED, thinking=thinking == "on"))
    for keyword in SWITCHES:
        told = {keyword: thinking == "on"}
        if keyword in chat.how["on" if thinking == "on" else "off"]:
            return told
    if wanted != plain:
        tail = wanted[len(plain) :].replace("\\", "\\\\").replace("\n", "\\n").replace("'", "\\'")
        tokenizer.chat_template += f"{{%- if add_generation_prompt %}}{{{{- '{tail}' }}}}{{%- endif %}}"
        if chat.render(Request("", ASKED)) != wanted:
            raise EngineError(
                f"the chat template of {model} cannot be made to close its thinking; leave --thinking out."
            )
    return {}
