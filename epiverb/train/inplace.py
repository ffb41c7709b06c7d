"""Sampling from a model while it is being trained, so that the training does not notice.

Evaluation mode, no dropout, random states put back. Tensors made on the way are ordinary ones: those of inference mode could
not be trained on where a layer keeps them. Where the weights are divided over processes (FSDP, ZeRO-3) each forward is one
that all processes take, so those that have finished go along until the last one has.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from epiverb.train import ranks


class Live:
    """A model as an engine wants it, each call of which is safe while training.

    Args:
        model: as the trainer has it.
        together: take every forward together with all other processes; call `wait` at the end. None: where it is divided.
    """

    def __init__(self, model: Any, *, together: bool | None = None) -> None:
        self._model = model
        self._together = ranks.several() and (divided(model) if together is None else together)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    @property
    def forward(self) -> Any:
        """Of the model within its wrappers, whose own take anything: engines look at what a model understands."""
        return innermost(self._model).forward

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._together:
            ranks.summed([1.0])
        with torch.inference_mode(False), torch.no_grad():
            return self._model(*args, **kwargs)

    def wait(self) -> None:
        """Go along with processes that are not done. A collective where the weights are divided."""
        if not self._together:
            return
        token = torch.zeros(1, 1, dtype=torch.long, device=self._model.device)
        while ranks.summed([0.0])[0] > 0:
            with torch.no_grad():
                self._model(input_ids=token, use_cache=False)


def innermost(model: Any) -> Any:
    """The model without what parallel training, compilation and adapters put around it."""
    while True:
        if hasattr(model, "_orig_mod"):
            model = model._orig_mod
        elif type(model).__name__ in ("DistributedDataParallel", "FullyShardedDataParallel", "DeepSpeedEngine"):
            model = model.module
        elif hasattr(model, "get_base_model"):
            model = model.get_base_model()
        else:
            return model


def divided(model: Any) -> bool:
    """Whether this process holds only a part of the weights."""
    return any(hasattr(p, "full_tensor") or hasattr(p, "ds_id") for p in model.parameters()) or any(
        type(module).__name__ == "FullyShardedDataParallel" for module in model.modules()
    )


@contextmanager
def undisturbed(model: Any) -> Iterator[None]:
    """In evaluation mode, and behind it everything as it was: which modules train, and the states of random numbers."""
    training = [module for module in model.modules() if module.training]
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    on_gpu = torch.cuda.get_rng_state_all() if torch.cuda.is_available() and torch.cuda.is_initialized() else None
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
        if on_gpu is not None:
            torch.cuda.set_rng_state_all(on_gpu)
            torch.cuda.empty_cache()  # a trainer's next batch may need what the caches held
