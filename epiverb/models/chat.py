"""Requests to prompts: chat templates, thinking on or off, the encoded prompt.

How a family of models switches its thinking is seen from what its template renders, not from its name:

| the template                              | for instance            | on             | off                            |
|-------------------------------------------|-------------------------|----------------|--------------------------------|
| takes `enable_thinking` (or `thinking`)   | Qwen3, GLM 4.5, Granite | the switch     | the switch                     |
| ends the prompt with an opening tag       | R1-Distill, OLMo 3      | as it is       | the tag is closed at once      |
| does neither                              | Llama, Qwen2.5          | an error       | an error                       |

Closing the tag at once gives the empty block that Qwen3's own switch writes, `<think>\\n\\n</think>\\n\\n`. Behind a prompt
that holds the opening tag the response begins mid-thought and has a closing tag only; `text.thinking` expects that.

Source: Table 12 of arXiv:2603.24472 for the four families; for closing the tag of a model that has no switch, Ma et al.,
Reasoning Models Can Be Effective Without Thinking, arXiv:2504.09858. Ours differs: no sentence inside the empty block.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from epiverb.errors import EngineError
from epiverb.io.rows import plain as plain_text
from epiverb.models.base import Request
from epiverb.text.thinking import FAMILIES

SWITCHES = ("enable_thinking", "thinking")
"""Variables by which templates are told, the more common first."""
Messages = list[dict[str, str]]


@dataclass(frozen=True)
class Prompt:
    """A request as a model is shown it."""

    text: str
    """Template included, the request's prefix not."""
    ids: tuple[int, ...]
    """Token ids of `text` and then of the prefix, each encoded by itself: what is sampled began behind `text` too."""
    prefix_ids: int = 0
    """How many of `ids` are the prefix."""


class Chat:
    """Renders and encodes requests for one model.

    Args:
        tokenizer: a transformers tokenizer.
        name: of the model, for messages.
        plain: show chats as plain text: a single user turn as its content, several as `role: content`.
    """

    def __init__(self, tokenizer: Any, name: str, *, plain: bool = False) -> None:
        self.tokenizer = tokenizer
        self.name = name
        self.plain = plain
        self.how: dict[str, str] = {}
        """How thinking was switched, by what was asked for: goes into `Engine.used`."""
        self._keyword: str | None = None
        self._looked = False

    def render(self, request: Request) -> str:
        """The prompt as text; raises `EngineError` where the model has no template, or no way to switch its thinking."""
        if request.text is not None:
            return request.text
        if not request.messages:
            raise EngineError(f"request {request.key!r} has neither messages nor text.")
        messages = [dict(message) for message in request.messages]
        if self.plain:
            return plain_text(messages) or ""
        if not self.tokenizer.chat_template:
            raise EngineError(
                f"{self.name} has no chat template, and the prompt is a chat. For a base model ask for plain "
                "completion with --engine-option plain=true; else give a model folder whose tokenizer has a template."
            )
        return self._thinking(messages, request.thinking)

    def encode(self, request: Request) -> Prompt:
        """The prompt with its token ids. A template writes the special tokens; plain text gets the tokenizer's own."""
        text = self.render(request)
        bos = self.tokenizer.bos_token
        bare = (request.text is None and not self.plain) or bool(bos and text.startswith(bos))
        ids = self.tokenizer.encode(text, add_special_tokens=not bare)
        prefix = self.tokenizer.encode(request.prefix, add_special_tokens=False) if request.prefix else []
        return Prompt(text, (*ids, *prefix), len(prefix))

    def count_tokens(self, texts: list[str]) -> list[int]:
        """Tokens of each text without special tokens."""
        return [len(ids) for ids in self.tokenizer(texts, add_special_tokens=False)["input_ids"]] if texts else []

    def decode(self, ids: list[int], after: tuple[int, ...] = ()) -> str:
        """Text of generated tokens exactly: tags and special tokens kept, no space added or taken away.

        Args:
            after: what they were generated behind. Tokenizers of the SentencePiece kind leave the space away with which
                a text begins, and a response is not where the text begins.
        """
        head = list(after[-4:])
        before, whole = self._text(head), self._text([*head, *ids])
        return whole[len(before) :] if whole.startswith(before) else self._text(ids)

    def _text(self, ids: list[int]) -> str:
        return self.tokenizer.decode(
            ids, skip_special_tokens=False, clean_up_tokenization_spaces=False, spaces_between_special_tokens=False
        )

    def _thinking(self, messages: Messages, thinking: bool | None) -> str:
        asked = {None: "as the template does", True: "on", False: "off"}[thinking]
        if thinking is None:
            self.how[asked] = "template"
            return self._apply(messages)
        if keyword := self._switch(messages):
            self.how[asked] = f"{keyword}={thinking}"
            return self._apply(messages, **{keyword: thinking})
        text = self._apply(messages)
        tag = next((t for t in FAMILIES if t.alone and text.rstrip().endswith(t.opening)), None)
        if tag is None:
            raise EngineError(
                f"the chat template of {self.name} has no thinking switch and opens no thinking by itself, so thinking "
                f"cannot be switched {asked}; leave --thinking out."
            )
        if thinking:
            self.how[asked] = f"the template opens {tag.opening}"
            return text
        self.how[asked] = f"{tag.opening} closed at once"
        return f"{text.rstrip()}\n\n{tag.closing}\n\n"

    def _switch(self, messages: Messages) -> str | None:
        """The variable that changes what the template renders, if there is one."""
        if not self._looked:
            changes = (s for s in SWITCHES if self._apply(messages, **{s: True}) != self._apply(messages, **{s: False}))
            self._keyword, self._looked = next(changes, None), True
        return self._keyword

    def _apply(self, messages: Messages, **switch: bool) -> str:
        try:
            return self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, **switch)
        except Exception as error:  # Jinja's own, a template's raise_exception, a missing key
            roles = ", ".join(message.get("role", "?") for message in messages)
            raise EngineError(f"the chat template of {self.name} cannot render a chat of {roles}: {error}") from error
