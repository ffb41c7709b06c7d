"""The monitor as a callback of transformers' trainers: when the record begins, when a step is closed, what was logged."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

from epiverb.train import ranks, shards

if TYPE_CHECKING:
    from epiverb.train.monitor import Monitor


class Recording(TrainerCallback):
    """Begins the record at the trainer's step, closes each step, and writes each log as a line of `metrics.jsonl`."""

    def __init__(self, monitor: Monitor) -> None:
        self.monitor = monitor

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Puts aside the shards of steps that are run again."""
        self.monitor.begin(state.global_step)
        for listener in self.monitor.listeners:
            if begin := getattr(listener, "begin", None):
                begin(state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Writes the shards of the step that has just ended: its rollouts are of the policy before the update."""
        self.monitor.close_step(state.global_step - 1)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Writes what was noted and not logged, and lets go of the terminal."""
        self.monitor.end(state.global_step)
        for listener in self.monitor.listeners:
            if end := getattr(listener, "end", None):
                end()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Writes what the trainer logs, and tells the listeners."""
        told = {key: value for key, value in (logs or {}).items() if isinstance(value, int | float) or value is None}
        told.pop("step", None)
        if not told:
            return
        if ranks.rank() == 0:
            line = {"step": state.global_step, "of": state.max_steps, "time": round(time.time(), 3), **told}
            shards.append(self.monitor.out / shards.METRICS, line)
        for listener in self.monitor.listeners:
            listener(state.global_step, told, state, control)
