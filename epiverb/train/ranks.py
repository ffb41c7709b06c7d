"""What the processes of one training run know of each other, and sums over them; one process alone needs none of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist


def several() -> bool:
    """Whether there is more than one process."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def rank() -> int:
    """Number of this process."""
    return dist.get_rank() if several() else int(os.environ.get("RANK", "0"))


def world() -> int:
    """Processes in all."""
    return dist.get_world_size() if several() else 1


def barrier() -> None:
    """Wait for every process. A collective."""
    if several():
        summed([0.0])


def summed(values: Sequence[float]) -> list[float]:
    """The sums over all processes. A collective."""
    if not several():
        return [float(value) for value in values]
    device = torch.device("cuda", torch.cuda.current_device()) if dist.get_backend() == "nccl" else torch.device("cpu")
    total = torch.tensor(list(values), dtype=torch.float64, device=device)
    dist.all_reduce(total)
    return total.tolist()


def gathered(value: Any) -> list[Any]:
    """What every process gave, by rank. A collective."""
    if not several():
        return [value]
    found: list[Any] = [None] * world()
    dist.all_gather_object(found, value)
    return found
