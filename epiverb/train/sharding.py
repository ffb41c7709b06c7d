"""Weights that are spread over processes: who has them, and how to gather and scatter them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from epiverb.errors import ConfigError
from epiverb.train.teacher import Teacher


def sharded(accelerator: Any) -> bool:
    """Whether a forward gathers weights from other processes, so that all must take part in it."""
    plugin = getattr(accelerator.state, "deepspeed_plugin", None)
    zero3 = plugin is not None and plugin.zero_stage == 3
    return str(accelerator.distributed_type).endswith("FSDP") or zero3


def prepared(teacher: Teacher, accelerator: Any) -> None:
    """Put the teacher where its student will be; it was copied before the student was sharded.

    Raises:
        ConfigError: a teacher that cannot be had with this way of sharding.
    """
    if not sharded(accelerator):
        return
    zero3 = not str(accelerator.distributed_type).endswith("FSDP")
    if teacher.model is None and teacher.kind != "live":
        raise ConfigError(
            f"a {teacher.kind} teacher of a model with frozen parameters (LoRA) exchanges weights, which a sharded model "
            "does not allow: use plain data parallelism, or ZeRO-2, or the teacher live."
        )
    if zero3 and teacher.kind == "ema":
        raise ConfigError("a teacher that follows the student cannot be had with ZeRO-3: use FSDP2, ZeRO-2 or fixed.")
    if teacher.model is not None:
        from trl.models import prepare_deepspeed, prepare_fsdp

        wrap: Any = prepare_deepspeed if zero3 else prepare_fsdp
        teacher.model = wrap(teacher.model, accelerator)


def gathered(state: Any) -> Any:
    """The same with all that FSDP2 holds in shards whole and on the CPU. A collective."""
    if isinstance(state, dict):
        return {name: gathered(value) for name, value in state.items()}
    if isinstance(state, Tensor) and hasattr(state, "full_tensor"):
        return state.full_tensor().cpu()
    return state


@torch.no_grad()
def fill(tensor: Any, value: Tensor) -> None:
    """Copy a whole tensor into one that may be a shard of such."""
    if hasattr(tensor, "full_tensor"):
        from torch.distributed.tensor import distribute_tensor

        value = distribute_tensor(value.to(tensor.device), tensor.device_mesh, tensor.placements)
    tensor.copy_(value)
