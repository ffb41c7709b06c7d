"""Token ids to padded tensors: the student's and the teacher's inputs, cut to what a micro-batch needs."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from epiverb.contexts.base import Message

Batch = dict[str, Any]
SIDES = {
    "left": (("prompt_ids", "prompt_mask"), ("teacher_ids", "teacher_mask"), ("contrast_ids", "contrast_mask")),
    "right": (("completion_ids", "completion_mask"),),
}
RESPONSES = (
    "completion_ids",
    "completion_mask",
    "tool_mask",
    "old_per_token_logps",
    "sampling_per_token_logps",
    "ref_per_token_logps",
    "importance_sampling_ratio",
    "markers",
    "contrast_logp",
)
"""What has one value a token of the response, (B, T)."""


def padded(rows: Sequence[Sequence[int]], value: int, side: str, device: Any = None) -> tuple[Tensor, Tensor]:
    """Ids (B, L) and their mask; at least one column wide."""
    width = max(1, *(len(row) for row in rows)) if rows else 1
    ids = torch.full((len(rows), width), value, dtype=torch.long)
    mask = torch.zeros((len(rows), width), dtype=torch.long)
    for i, row in enumerate(rows):
        place = slice(width - len(row), width) if side == "left" else slice(0, len(row))
        ids[i, place], mask[i, place] = torch.tensor(row, dtype=torch.long), 1
    return ids.to(device), mask.to(device)


def trimmed(batch: Batch) -> Batch:
    """The batch without the columns that are padding in all of its rows; they came from longer rows of other batches."""
    out = dict(batch)
    for ids, mask in SIDES["left"]:
        if mask in batch:
            width = max(1, int(batch[mask].sum(1).max()))
            out[ids], out[mask] = batch[ids][:, -width:], batch[mask][:, -width:]
    length = max(1, int(batch["completion_mask"].sum(1).max()))
    for name in RESPONSES:
        if isinstance(batch.get(name), Tensor) and batch[name].dim() == 2 and batch[name].shape[1] > 1:
            out[name] = batch[name][:, :length]
    return out


def chosen(batch: Batch, rows: Tensor) -> Batch:
    """Some rows of a batch."""
    places = rows.tolist()
    n = len(batch["completion_ids"])

    def of(value: Any) -> Any:
        if isinstance(value, Tensor) and value.dim() and len(value) == n:
            return value[rows]
        return [value[i] for i in places] if isinstance(value, list) and len(value) == n else value

    return {name: value if name == "counts" else of(value) for name, value in batch.items()}


def loss_mask(batch: Batch) -> Tensor:
    """Which tokens the model wrote and is trained on (B, T)."""
    mask: Tensor = batch["completion_mask"]
    return mask if batch.get("tool_mask") is None else mask * batch["tool_mask"]


def joined(batch: Batch, prompt: str = "prompt") -> tuple[Tensor, Tensor]:
    """Ids and mask (B, P + T) of a prompt (`prompt`, `teacher`, `contrast`) and the response."""
    pairs = ((f"{prompt}_ids", "completion_ids"), (f"{prompt}_mask", "completion_mask"))
    first, second = (torch.cat([batch[a], batch[b]], 1) for a, b in pairs)
    return first, second


def encoder(processor: Any, settings: dict[str, Any], *, chat: bool) -> Callable[[Sequence[Message]], list[int]]:
    """Function from messages to the ids of their prompt, as the trainer itself renders it; it remembers some.

    Args:
        settings: `chat_template_kwargs` of the trainer, such as `enable_thinking`.
        chat: False: the prompts are plain text, and a message is one.
    """

    @functools.lru_cache(4096)
    def render(key: tuple[tuple[tuple[str, str], ...], ...]) -> list[int]:
        messages = [dict(message) for message in key]
        if not chat:
            return list(processor(text="".join(message["content"] for message in messages))["input_ids"])
        asked = {"add_generation_prompt": True, "tokenize": True, "return_dict": True}
        return list(processor.apply_chat_template(messages, **asked, **settings)["input_ids"])

    return lambda messages: render(tuple(tuple(message.items()) for message in messages))
