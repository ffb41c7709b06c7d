"""A causal language model taken apart: hidden states first, logits for a few positions at a time.

A trace of 8,000 tokens over 151,936 words is a tensor of 4.9 GB in float32, and what is done with it needs several. Its
hidden states are some megabytes, and logits for 128 positions 78 MB. `Split` runs the body of the model and projects on
demand, in float32 whatever the model's own type is: a difference of two nearly equal distributions taken from bfloat16
logits has an error of up to a third (docs/design/scoring.md).

That a model *is* a body and a linear head cannot be read from its class. So it is tried: on a few tokens the two must
give what the model gives. Scales and caps that the config names are part of the trial. A model that fails it (a head of
another kind, weights kept outside memory) is run whole, a few positions at a time over its own cache: `Whole`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from epiverb.errors import EngineError

if TYPE_CHECKING:
    from torch import Tensor

TILE = 16_384
"""Rows of the head that are brought to float32 at once."""
PROBE = 12
"""Tokens on which a body and head are tried."""
OFF = {"float32": 1e-3, "other": 3e-2}
"""Root mean square of the difference over that of the logits, up to which the trial is passed; `other` are half types."""


@dataclass
class Row:
    """A prompt and a response whose tokens are to be judged."""

    prompt: tuple[int, ...]
    response: tuple[int, ...]
    states: Any = field(default=None, repr=False)
    """What `prepare` leaves: hidden states, or a cache."""

    def __len__(self) -> int:
        return len(self.prompt) + len(self.response)


Piece = tuple[Row, int, int]
"""A row and positions [start, end) of its response; pieces of a row must be asked for in order."""


def take_apart(model: Any) -> Split | Whole:
    """The model as body and head where it is one, or else whole."""
    try:
        split = Split(model)
        reason = split.fails()
    except (AttributeError, TypeError, RuntimeError, NotImplementedError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}"
    return split if reason is None else Whole(model, " ".join(reason.split())[:200])


class Head:
    """Hidden states to logits in float32; in float64 where the model is.

    Args:
        linear: the output embedding: a weight (vocabulary x hidden), perhaps a bias.
        config: names a scale or cap where there is one.
    """

    def __init__(self, linear: Any, config: Any) -> None:
        text = config.get_text_config() if hasattr(config, "get_text_config") else config
        self.weight, self.bias = linear.weight, getattr(linear, "bias", None)
        if self.weight.is_meta:
            raise ValueError("the head's weights are not in memory")
        self.cap: float | None = getattr(text, "final_logit_softcapping", None)
        self.scale = float(getattr(text, "logit_scale", None) or 1.0) / float(
            getattr(text, "logits_scaling", None) or 1.0
        )

    def __call__(self, hidden: Tensor) -> Tensor:
        """Logits (rows x vocabulary) of hidden states (rows x hidden)."""
        import torch

        hidden, weight = hidden.to(self.weight.device), self.weight
        if weight.dtype in (torch.float32, torch.float64):
            logits = torch.nn.functional.linear(hidden.to(weight.dtype), weight)
        elif weight.is_cuda:
            logits = torch.mm(hidden.to(weight.dtype), weight.T, out_dtype=torch.float32)
        else:
            logits = torch.empty(len(hidden), len(weight))
            for at in range(0, len(weight), TILE):
                logits[:, at : at + TILE] = hidden.float() @ weight[at : at + TILE].float().T
        if self.bias is not None:
            logits += self.bias.to(logits.dtype)
        if self.scale != 1.0:
            logits *= self.scale
        if self.cap:
            logits = logits.div_(self.cap).tanh_().mul_(self.cap)
        return logits


class Split:
    """A model as its body and its head."""

    how = "float32, from hidden states"

    def __init__(self, model: Any) -> None:
        inner = (
            model.get_base_model() if hasattr(model, "get_base_model") else model
        )  # an adapter's model, adapter in place
        self.body, self.model = inner.base_model, inner
        if self.body is inner:
            raise ValueError("the model has no body apart from its head")
        self.head = Head(inner.get_output_embeddings(), inner.config)
        self.vocabulary = len(self.head.weight)
        self.pads = not _length_changes_rotation(inner.config)

    def fails(self) -> str | None:
        """Why body and head together are not the model; None where they are."""
        import torch

        size = min(PROBE, len(self.model.get_input_embeddings().weight))
        ids = torch.arange(size, device=self.model.device)[None]
        with torch.inference_mode():
            ours = self.head(self.hidden(ids)[0])
            theirs = self.model(input_ids=ids, use_cache=False).logits[0].float().to(ours.device)
        if not bool(torch.isfinite(theirs).all()):
            return None  # nothing can be compared; such positions are counted where they are met
        if ours.shape != theirs.shape:
            return f"its head gives {ours.shape[1]} logits, the model {theirs.shape[1]}"
        off = float((ours - theirs).pow(2).mean().sqrt() / theirs.pow(2).mean().sqrt().clamp(min=1e-9))
        kind = "float32" if self.model.dtype == torch.float32 else "other"
        return None if off <= OFF[kind] else f"its logits are not its head times its hidden states (off by {off:.1%})"

    def hidden(self, ids: Tensor, cache: Any = None) -> Tensor:
        """Hidden states behind the last norm (rows x tokens x hidden). Rows may be padded on the right: no token looks ahead."""
        return self.body(input_ids=ids, past_key_values=cache, use_cache=cache is not None).last_hidden_state

    def prepare(self, rows: Sequence[Row]) -> None:
        """Run the rows as one batch."""
        import torch

        width = max(map(len, rows))
        ids = torch.zeros(len(rows), width, dtype=torch.long)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = torch.tensor((*row.prompt, *row.response))
        hidden = self.hidden(ids.to(self.model.device))
        for i, row in enumerate(rows):
            first = len(row.prompt) - 1  # what is behind a token tells the next one
            row.states = hidden[i, first : first + len(row.response)]
            if len(rows) > 1:  # a view would keep the whole batch alive
                row.states = row.states.clone()

    def logits(self, pieces: Sequence[Piece]) -> Tensor:
        """Logits of the pieces' positions under each other, float32."""
        import torch

        parts = [row.states[a:b] for row, a, b in pieces]
        return self.head(parts[0] if len(parts) == 1 else torch.cat(parts))


class Whole:
    """A model that gives its logits itself, a few positions at a time over its cache; in the type it computes in."""

    pads = False

    def __init__(self, model: Any, reason: str) -> None:
        self.model = model
        self.how = f"the model's own, in its own type, over its cache ({reason})"
        self.vocabulary = len(model.get_input_embeddings().weight)

    def prepare(self, rows: Sequence[Row]) -> None:
        """Run the prompts, all but their last tokens."""
        for row in rows:
            row.states = self._forward(row.prompt[:-1], None)[1] if len(row.prompt) > 1 else None

    def logits(self, pieces: Sequence[Piece]) -> Tensor:
        """Logits of the pieces' positions under each other, float32."""
        import torch

        parts = []
        for row, a, b in pieces:
            behind = (*row.prompt[-1:], *row.response)[a:b]  # what is behind a token tells the next one
            logits, row.states = self._forward(behind, row.states)
            parts.append(logits)
        return torch.cat(parts)

    def _forward(self, ids: Sequence[int], cache: Any) -> tuple[Tensor, Any]:
        import torch

        column = torch.tensor([list(ids)], device=self.model.device)
        out = self.model(input_ids=column, past_key_values=cache, use_cache=True)
        if out.past_key_values is None:
            raise EngineError(
                f"{type(self.model).__name__} has no cache and no head apart, so it cannot be scored in parts."
            )
        logits = out.logits[0]
        return logits if logits.dtype == torch.float64 else logits.float(), out.past_key_values


def _length_changes_rotation(config: Any) -> bool:
    """Whether the longest row of a batch changes how the others are rotated, so that rows must not be padded together."""
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    rope = getattr(text, "rope_parameters", None) or getattr(text, "rope_scaling", None) or {}
    kinds = [rope, *(value for value in rope.values() if isinstance(value, dict))]
    return any(kind.get("rope_type", kind.get("type")) in ("dynamic", "longrope", "su") for kind in kinds)
