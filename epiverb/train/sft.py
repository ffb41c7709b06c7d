"""Supervised fine-tuning on TRL's trainer, told by token class: how well the model knows each kind of token it is taught.

    trainer = SFT(model, args=SFTConfig("out"), train_dataset=responses, watch=watch)

The loss is TRL's. What is taught of a row (its completion, or each document of a packed row) is to the watch what a sampled
response is to it elsewhere.
"""

from __future__ import annotations

from itertools import count
from typing import Any

import torch
from torch import Tensor
from trl import SFTConfig, SFTTrainer

from epiverb.train.inputs import padded
from epiverb.train.watch import Rollout, Watch
from epiverb.train.watched import Watched, check_parent

BUILT_ON: dict[str, tuple[str, ...]] = {
    "compute_loss": ("model", "inputs", "return_outputs", "num_items_in_batch"),
    "log": ("logs", "start_time"),
}
_Parent: Any = SFTTrainer


class SFT(Watched, _Parent):
    """`trl.SFTTrainer` that is watched.

    Args:
        model, args, **parent: see `trl.SFTTrainer`.
        watch: whoever is told; its callback is added.
    """

    def __init__(self, model: Any, args: SFTConfig | None = None, *, watch: Watch | None = None, **parent: Any) -> None:
        check_parent(SFTTrainer, BUILT_ON)
        super().__init__(model, args, **parent)
        self._begin(watch)
        self._numbers, self._numbered = count(), -1

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """TRL's loss; what it saw of each token is told."""
        heard = _Heard(model)
        found = super().compute_loss(heard, inputs, return_outputs, num_items_in_batch)
        outputs = heard.outputs
        if self.model.training and outputs is not None and getattr(outputs, "label_mask", None) is not None:
            mask = outputs.label_mask
            self.pooled.tokens("sft/nll", -outputs.log_probs.detach(), mask)
            if self.watch is not None:
                self._say(inputs["input_ids"], outputs, mask)
        return found

    def _say(self, ids: Tensor, outputs: Any, mask: Tensor) -> None:
        """Tell the watch of each taught response and its tokens."""
        assert self.watch is not None
        spans = _runs(mask)
        step = self.state.global_step
        if step != self._numbered:
            self._numbers, self._numbered = count(), step
        taught = [ids[row, first + 1 : stop + 1].tolist() for row, first, stop in spans]
        keys = [f"{step}-{self.accelerator.process_index}-{next(self._numbers)}" for _ in spans]
        marked = self.watch.mark(taught)
        rows = [Rollout(key, of, marked=mark) for key, of, mark in zip(keys, taught, marked, strict=True)]
        self.watch.rollouts(step, rows)
        if not spans:
            return
        _, kept = padded(taught, 0, "right", ids.device)
        columns = {
            name: torch.nn.utils.rnn.pad_sequence(
                [values.detach()[row, first:stop] for row, first, stop in spans], batch_first=True
            )
            for name, values in (("student_logp", outputs.log_probs), ("entropy", outputs.entropy))
        }
        self.watch.tokens(step, keys, columns, kept.bool())


class _Heard:
    """A model that remembers what its forward gave; everything else is the model's."""

    def __init__(self, model: Any) -> None:
        self._model, self.outputs = model, None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.outputs = self._model(*args, **kwargs)
        return self.outputs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


def _runs(mask: Tensor) -> list[tuple[int, int, int]]:
    """Row, first and stop of each unbroken run of tokens that count."""
    edges = torch.nn.functional.pad(mask.int(), (1, 1)).diff(dim=1)
    first, stop = (edges == 1).nonzero().tolist(), (edges == -1).nonzero().tolist()
    return [(row, a, b) for (row, a), (_, b) in zip(first, stop, strict=True)]
