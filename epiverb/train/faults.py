"""What goes wrong in a run and does not end it: said once, counted, and survived as long as it makes sense.

| fault | what happens |
|---|---|
| gradient or loss not finite | the step is left out on all processes; after 5 in a row the run stops |
| all rewards of all groups equal | no advantage: the policy loss is 0; the run goes on |
| no demonstration in a batch | no teacher: the distillation loss is 0; the run goes on |
| unknown grades | these responses have no advantage and are no demonstration; the run goes on |

Each is a number in the log (`faults/...`), and a warning of the logger `epiverb.train`.
"""

from __future__ import annotations

import logging
from typing import Any

import torch
from transformers import TrainerCallback

from epiverb.errors import EpiverbError

MOST_BAD = 5
"""Steps in a row without a finite gradient after which a run stops."""
logger = logging.getLogger("epiverb.train")


class TrainingFault(EpiverbError, ArithmeticError):
    """A run that cannot go on."""


class Guard(TrainerCallback):
    """Leaves out optimizer steps whose gradient is not finite, on all processes alike.

    Args:
        trainer: whose `pooled` counts them.
    """

    def __init__(self, trainer: Any) -> None:
        self.trainer = trainer
        self.in_a_row = 0
        self.finite = True
        """Whether the last step's gradient was."""

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """Look at the gradient; with float16 the loss scaler does."""
        if self.trainer.accelerator.scaler is not None:
            return
        grads = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        local = [grad.to_local() if hasattr(grad, "to_local") else grad for grad in grads]
        norms = torch._foreach_norm(local) if local else []
        bad = torch.zeros((), device=args.device)
        if norms:
            bad = (~torch.isfinite(torch.stack([norm.float() for norm in norms]))).any().float()
        bad = self.trainer.accelerator.reduce(bad, reduction="sum")
        self.finite = not bool(bad > 0)
        if self.finite:
            self.in_a_row = 0
            return
        for parameter in model.parameters():
            parameter.grad = None  # an optimizer leaves out what has none
        self.in_a_row += 1
        self.trainer.fault("nonfinite_gradient", f"step {state.global_step + 1}: the gradient is not finite; left out.")

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Learn from the loss scaler whether the step was left out."""
        if self.trainer.accelerator.scaler is not None:
            self.finite = not self.trainer.accelerator.optimizer_step_was_skipped

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Stop where nothing is learnt any more; every process does."""
        if self.in_a_row >= MOST_BAD:
            raise TrainingFault(
                f"step {state.global_step}: {self.in_a_row} steps in a row had a gradient that is not finite, so the run "
                f"stops. Continue from the last checkpoint in {args.output_dir} with a smaller learning rate."
            )
