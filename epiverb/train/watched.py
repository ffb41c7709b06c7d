"""What all trainers share: numbers pooled over processes, faults, the watch, and a check of the TRL that is there."""

from __future__ import annotations

import inspect
from typing import Any

from accelerate.utils import gather_object

from epiverb.errors import ConfigError
from epiverb.train.faults import Guard, logger
from epiverb.train.pooled import Pooled
from epiverb.train.watch import Watch

_Trainer: Any = object


def check_parent(parent: type, wanted: dict[str, tuple[str, ...]]) -> None:
    """Raise `ConfigError` where the parent class lacks a method that is built on, or one of its arguments.

    Args:
        wanted: method -> names of its arguments behind `self`.
    """
    import trl

    for name, names in wanted.items():
        method = getattr(parent, name, None)
        have = list(inspect.signature(method).parameters)[1:] if callable(method) else []
        if method is None or tuple(have[: len(names)]) != names:
            found = "it is not there" if method is None else f"it takes {', '.join(have) or 'nothing'}"
            raise ConfigError(
                f"epiverb builds on {parent.__name__}.{name}({', '.join(names)}), and in TRL {trl.__version__} {found}. "
                "Install the version that epiverb was tested with: pip install 'trl==1.16.0'"
            )


class Watched(_Trainer):
    """Mixed into a trainer of TRL, before it."""

    pooled: Pooled
    watch: Watch | None
    guard: Guard

    def _begin(self, watch: Watch | None) -> None:
        """Call it when the parent is made."""
        self.pooled, self.watch, self.guard = Pooled(), watch, Guard(self)
        self._said: set[str] = set()
        self.add_callback(self.guard)
        if watch is not None and (callback := watch.callback()) is not None:
            self.add_callback(callback)

    def fault(self, name: str, message: str) -> None:
        """Count a fault that all processes have met, and say it the first time and whenever it is counted again later."""
        if self.accelerator.is_main_process:
            self.pooled.add(f"faults/{name}", 1, 0)
            (logger.info if name in self._said else logger.warning)(message)
        self._said.add(name)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add what was pooled and what the watch says; every process comes here at the same time."""
        if self.model.training:
            logs.update(self.pooled.drain(gather_object))
            if self.watch is not None:
                logs.update(self.watch.metrics())
        super().log(logs, start_time)
