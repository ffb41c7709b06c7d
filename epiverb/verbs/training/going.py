"""While it trains: Ctrl-C ends it behind the step, a checkpoint is marked when it is whole, old ones go."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import torch
from transformers import TrainerCallback

from epiverb.verbs.training.folder import rank, seal


class Follower(Protocol):
    """Who is told how a training goes: a listener of `Monitor.listen` that also takes words."""

    def say(self, message: str) -> None:
        """Something that a user should know."""
        ...

    def __call__(self, step: int, scalars: dict[str, Any], state: Any, control: Any) -> None:
        """What the trainer logged behind a step."""
        ...


class Going(TrainerCallback):
    """Ends a run that is to stop, at the same step on all processes, with a checkpoint.

    Args:
        keep: how many checkpoints to keep; None: all.
        say: told what happens, a line each.
    """

    def __init__(self, keep: int | None, say: Callable[[str], None]) -> None:
        self.keep, self.say = keep, say
        self.asked = False
        """Whether this process was asked to stop."""
        self.stopped = False
        """Whether the run was ended before its last step."""

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Stop where any process was asked to."""
        if _any(self.asked, args) and state.global_step < state.max_steps:
            self.stopped = control.should_save = control.should_training_stop = True

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Every process has written its part: now the checkpoint is whole."""
        args.distributed_state.wait_for_everyone()
        if rank() == 0:
            seal(Path(args.output_dir) / f"checkpoint-{state.global_step}", state.global_step, self.keep)


def _any(asked: bool, args: Any) -> bool:
    """Whether any of the processes was asked."""
    if args.world_size == 1:
        return asked
    flag = torch.tensor(float(asked), device=args.device)
    torch.distributed.all_reduce(flag)
    return bool(flag > 0)


@contextmanager
def interruptible(going: Going) -> Iterator[None]:
    """Turn the first Ctrl-C, or request to end, into one to stop behind the step; the second ends it at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def asked(number: int, frame: Any) -> None:
        if going.asked:
            raise KeyboardInterrupt
        going.asked = True
        with suppress(RuntimeError):  # it may come while a line is being written
            going.say("stopping behind this step, with a checkpoint; again: at once")

    before = {number: signal.signal(number, asked) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
