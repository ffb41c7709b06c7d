"""When the teacher follows: once a training step, that is a generation and all optimizer steps on it."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback


class Following(TrainerCallback):
    """Updates a trainer's teacher when all of a generation has been used and a step in it had a finite gradient.

    Source: lasgroup/SDPO@0e6d510 dp_actor.py `update_policy`. TRL's SDPO updates after every optimizer step.
    """

    def __init__(self, trainer: Any) -> None:
        self.trainer = trainer
        self.learnt = False
        self.cycle = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Begin where the run is."""
        self.cycle = self._cycle(args)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Behind each optimizer step."""
        self.learnt |= self.trainer.guard.finite
        if self._cycle(args) == self.cycle:
            return
        self.cycle = self._cycle(args)
        if self.learnt:
            self.trainer.teacher.update(self.trainer.model)
            self.learnt = False

    def _cycle(self, args: Any) -> int:
        return int(self.trainer._step // (args.steps_per_generation * self.trainer.num_iterations))
