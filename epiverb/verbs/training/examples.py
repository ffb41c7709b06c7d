"""Examples for fine-tuning: sets of `epiverb sft-data`, or lines of prompt and completion, as token ids.

What is trained on is what a model is shown and writes: the prompt as its template renders it, the response behind it, each
encoded by itself as when sampling, then the token that ends a turn. Only the response is learned. Ours differs from TRL,
which renders prompt and response as one chat: templates rewrite the thinking of what an assistant has said.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from epiverb.errors import ConfigError, DataError, FormatError, nearest
from epiverb.models.base import Request
from epiverb.models.chat import Chat
from epiverb.verbs.sampling.forms import Question

FORMS = ("prompt-completion", "chat", "alpaca")
"""Files of a set of `epiverb sft-data`, the most exact first."""


@dataclass(frozen=True)
class Example:
    """A question and the response to be learned."""

    where: str
    prompt: str | None
    """As text, template included; None: `messages` are to be rendered."""
    messages: tuple[dict[str, str], ...]
    completion: str


@dataclass(frozen=True)
class File:
    """The examples of one file."""

    spec: str
    path: Path
    examples: list[Example]
    sha256: str


def read(specs: Sequence[str], *, limit: int | None) -> list[File]:
    """The examples of each source, the first `limit` of it.

    Raises:
        ConfigError: there is no such file or set. FormatError: a line that is no example.
    """
    return [_file(spec, limit) for spec in specs]


def _file(spec: str, limit: int | None) -> File:
    path = _path(spec)
    try:
        content = path.read_bytes()
        lines = content.decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise FormatError(f"{path}: is not UTF-8 text ({error.reason}).") from None
    except OSError as error:
        raise FormatError(f"{path}: {error.strerror}.") from None
    examples: list[Example] = []
    for number, line in enumerate(lines, 1):
        if line.strip() and (limit is None or len(examples) < limit):
            examples.append(_example(line, f"{path}, line {number}"))
    if not examples:
        raise FormatError(f"{path}: no example in it.")
    return File(spec, path, examples, hashlib.sha256(content).hexdigest())


def _path(spec: str) -> Path:
    """A file, or the best form of a set: `DIR/as-is/guided` is `guided.prompt-completion.jsonl` there."""
    path = Path(spec).expanduser()
    if path.is_file():
        return path
    for form in FORMS:
        file = path.with_name(f"{path.name}.{form}.jsonl")
        if file.is_file():
            return file
    if path.is_dir():
        sets = sorted({str(file)[: -len(f".{form}.jsonl")] for form in FORMS for file in path.rglob(f"*.{form}.jsonl")})
        if sets:
            raise ConfigError(f"{spec}: holds several sets. Give one of: {', '.join(sets)}.")
    near = [str(file) for file in path.parent.glob("*.jsonl")] if path.parent.is_dir() else []
    raise ConfigError(f"{spec}: no such file or set of examples.{nearest(spec, near) if near else ''}")


def _example(line: str, where: str) -> Example:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise FormatError(f"{where}: not JSON ({error}).") from None
    if not isinstance(record, dict):
        raise FormatError(f"{where}: a {type(record).__name__}, not an object.")
    if "messages" in record:
        turns = _chat(record["messages"], where)
        if len(turns) < 2 or turns[-1]["role"] != "assistant":
            raise FormatError(f"{where}: its messages do not end with an assistant's answer to a question.")
        return Example(where, None, turns[:-1], turns[-1]["content"])
    if "instruction" in record and "output" in record:
        asked = "\n".join(str(record[key]) for key in ("instruction", "input") if record.get(key))
        system = [{"role": "system", "content": str(record["system"])}] if record.get("system") else []
        return Example(where, None, (*system, {"role": "user", "content": asked}), str(record["output"]))
    if "prompt" not in record or "completion" not in record:
        keys = ", ".join(list(record)[:8]) or "none"
        raise FormatError(
            f"{where}: has neither prompt and completion, nor messages, nor instruction and output; its keys are: {keys}."
        )
    prompt, completion = record["prompt"], record["completion"]
    if not isinstance(completion, str):
        completion = "".join(turn["content"] for turn in _chat(completion, where))
    if not completion.strip():
        raise FormatError(f"{where}: its completion is empty.")
    if isinstance(prompt, str):
        return Example(where, prompt, (), completion)
    return Example(where, None, _chat(prompt, where), completion)


def _chat(value: Any, where: str) -> tuple[dict[str, str], ...]:
    try:
        return tuple({"role": str(turn["role"]), "content": str(turn["content"])} for turn in value)
    except (TypeError, KeyError):
        raise FormatError(f"{where}: not a chat, a list of role and content.") from None


def encoded(
    files: Sequence[File], tokenizer: Any, *, model: str, thinking: str | None, max_length: int
) -> tuple[list[dict[str, Any]], list[str]]:
    """The rows for the trainer, `input_ids` and `labels`, and notes on those that were left out.

    Raises:
        DataError: every example is too long.
    """
    chat = Chat(tokenizer, model)
    rows, notes = [], []
    for file in files:
        longer = 0
        for number, example in enumerate(file.examples, 1):
            prompt, response = _ids(example, chat, {"on": True, "off": False, None: None}[thinking])
            if len(prompt) + len(response) > max_length:
                longer += 1
                continue
            labels = [-100] * len(prompt) + response
            rows.append({"input_ids": prompt + response, "labels": labels, "problem_id": f"{file.path.name}:{number}"})
        if longer:
            notes.append(
                f"{file.spec}: {longer} of {len(file.examples)} examples left out: longer than {max_length} tokens"
            )
    if not rows:
        raise DataError(f"every example is longer than --max-length {max_length} tokens.")
    return rows, notes


def _ids(example: Example, chat: Chat, thinking: bool | None) -> tuple[list[int], list[int]]:
    """Prompt and response; a response that repeats the tag with which its prompt opens the thinking loses it."""
    if example.prompt is not None:
        request = Request(example.where, text=example.prompt)
    else:
        request = Request(example.where, tuple(example.messages), thinking=thinking)
    prompt = chat.encode(request)
    completion = example.completion
    opening = Question(example.messages, prompt.text).opening if example.messages else ""
    for tag in (opening, opening.strip()):
        if tag and completion.startswith(tag):
            completion = completion[len(tag) :]
    tokenizer = chat.tokenizer
    response = tokenizer.encode(completion, add_special_tokens=False)
    if response[-1:] != [tokenizer.eos_token_id]:
        response.append(tokenizer.eos_token_id)
    return list(prompt.ids), response
