"""Work on hidden states inside a model's own forward, where wrappers (DDP, FSDP, ZeRO, autocast) see it.

    add_head(model)
    model(input_ids=ids, attention_mask=mask, head=work)    # runs the backbone, then work(hidden, head, softcap)

A loss that is taken there is the output that a wrapper hangs its hooks on, and the head's weights are whole there. What
stands outside a forward is seen by no wrapper: gradients would not be reduced, or the head would be a shard.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

from torch import Tensor, nn

from epiverb.train.projection import Head

Work = Callable[[Tensor, Head, float | None], Any]
"""Hidden states (B, L, H) as the head takes them, the head, the cap of the logits -> what the forward gives."""


class States(NamedTuple):
    """What a teacher gives: hidden states at the positions that predict the response (B, T, H), and its head."""

    hidden: Tensor
    head: Head


def add_head(model: nn.Module) -> None:
    """Let the causal language model's forward take `head`, work to be done on its hidden states; without, it is as it was."""
    previous = model.forward
    config: Any = model.config.get_text_config()  # type: ignore[operator,union-attr]
    softcap, scale = getattr(config, "final_logit_softcapping", None), logit_scale(config)

    @functools.wraps(type(model).forward)  # `generate` looks at the signature
    def forward(self: Any, *args: Any, head: Work | None = None, **kwargs: Any) -> Any:
        if head is None:
            return previous(*args, **kwargs)
        hidden = self.base_model(*args, **kwargs | {"use_cache": False}).last_hidden_state
        layer = self.get_output_embeddings()
        with gathered(layer.weight, layer.bias):
            bias = None if layer.bias is None else whole(layer.bias)
            return head(hidden if scale == 1 else hidden * scale, Head(whole(layer.weight), bias), softcap)

    model.forward = types.MethodType(forward, model)


def response_states(hidden: Tensor, length: int) -> Tensor:
    """The states that predict the last `length` tokens (B, T, H)."""
    return hidden[:, -length - 1 : -1]


def states(model: nn.Module, ids: Tensor, mask: Tensor, length: int, *, keep: bool = False) -> States:
    """What the model, used as a teacher, has at the last `length` tokens of `ids` (B, L).

    Args:
        keep: copy the head, since its weights are whole only during the forward.
    """
    found: list[States] = []

    def work(hidden: Tensor, head: Head, softcap: float | None) -> dict[str, Tensor]:
        if keep:
            head = Head(head.weight.detach().clone(), None if head.bias is None else head.bias.detach().clone())
        # Kept aside: accelerate would widen to float32 what the forward gives.
        found.append(States(response_states(hidden, length).detach(), head))
        return {}

    model(input_ids=ids, attention_mask=mask, head=work)
    return found[0]


def whole(weight: Tensor) -> Tensor:
    """A parameter that FSDP2 holds in shards, gathered; any other as it is."""
    return weight.full_tensor() if hasattr(weight, "full_tensor") else weight


def gathered(*weights: Any) -> AbstractContextManager[Any]:
    """Parameters that ZeRO-3 holds in shards, whole for the time being."""
    if not any(hasattr(weight, "ds_id") for weight in weights):
        return nullcontext()
    from trl.trainer.utils import maybe_gather_lm_head_ctx

    return maybe_gather_lm_head_ctx(*weights)


def logit_scale(config: Any) -> float:
    """What the model multiplies its hidden states or logits by: Cohere, Granite, Falcon-H1, MiniCPM3 and their kin."""
    for name in ("logit_scale", "output_multiplier", "lm_head_multiplier"):
        if (factor := getattr(config, name, None)) is not None:
            return float(factor)
    if (divisor := getattr(config, "logits_scaling", None)) is None:
        return 1.0
    return float(divisor if config.model_type == "hyperclovax" else 1 / divisor)
