"""Weights that are spread over processes: who has them, and how to gather and scatter them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from epiverb.errors import ConfigError

if TYPE_CHECKING:
    from epiverb.train.teacher import Teacher


def fsdp(accelerator: Any) -> bool:
    """Whether FSDP shards the model."""
    return str(accelerator.distributed_type).endswith("FSDP")


def zero3(accelerator: Any) -> bool:
    """Whether DeepSpeed shards the model."""
    plugin = getattr(accelerator.state, "deepspeed_plugin", None)
    return plugin is not None and plugin.zero_stage == 3


def sharded(accelerator: Any) -> bool:
    """Whether a forward gathers weights from other processes, so that all must take part in it."""
    return fsdp(accelerator) or zero3(accelerator)


def prepared(teacher: Teacher, accelerator: Any) -> None:
    """Put the teacher where its student will be; it was copied before the student was sharded.

    Raises:
        ConfigError: a teacher that cannot be had with this way of sharding.
    """
    if not sharded(accelerator):
        return
    if teacher.model is None and teacher.kind != "live":
        raise ConfigError(
            f"a {teacher.kind} teacher of a model with frozen parameters (LoRA) exchanges weights, which a sharded model "
            "does not allow: use plain data parallelism, ZeRO-2, or the teacher live."
        )
    if zero3(accelerator) and teacher.kind == "ema":
        raise ConfigError("a teacher that follows the student cannot be had with ZeRO-3: use FSDP2, ZeRO-2 or fixed.")
    if teacher.model is not None and teacher.weights:
        raise ConfigError(
            "a teacher that follows a sharded student needs float32 weights: load the model in float32 and let bf16=True "
            "compute in bfloat16."
        )
    if teacher.model is not None:
        teacher.model = _wrap(accelerator)(teacher.model)


def _wrap(accelerator: Any) -> Callable[[Any], Any]:
    """Function that shards a model as the student will be."""
    from trl.models import prepare_deepspeed, prepare_fsdp

    if zero3(accelerator):
        return lambda model: prepare_deepspeed(model, accelerator)
    if accelerator.state.fsdp_plugin.fsdp_version == 1:
        return lambda model: prepare_fsdp(model, accelerator)
    from accelerate.utils.fsdp_utils import fsdp2_prepare_model

    # Layer by layer, as the student; TRL's function would gather the whole teacher at once.
    return lambda model: fsdp2_prepare_model(accelerator, model).eval()


def at_rest(*models: Any) -> None:
    """Give back what FSDP2 holds gathered behind a forward, so that all parameters are shards again."""
    for model in models:
        for module in model.modules() if model is not None else ():
            if hasattr(module, "reshard"):
                module.reshard()


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
