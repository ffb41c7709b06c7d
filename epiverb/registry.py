"""Names that stay strings until they are used.

A `Registry` maps a name to a `"module:attribute"` target. Built-ins are listed in the module that owns the registry's
kind, strangers register through an entry point of the group `epiverb.<kind>`; both come through the same door. Nothing is
imported before `get`.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

from epiverb.errors import ConfigError, nearest


def resolve(target: str) -> Any:
    """The object that `"module:attribute"` names."""
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)


class Registry:
    """Named, lazily imported objects of one kind.

    Args:
        kind: singular noun used in messages; entry points are looked up in the group `epiverb.<kind>s`, a space as `_`.
        targets: built-in name -> `"module:attribute"`, in the order in which they are listed (and tried).
    """

    def __init__(self, kind: str, targets: dict[str, str]) -> None:
        self.kind = kind
        self._targets = dict(targets)
        self._scanned = False

    def _all(self) -> dict[str, str]:
        if not self._scanned:
            from importlib.metadata import entry_points  # costs more than all else here

            for point in entry_points(group=f"epiverb.{self.kind.replace(' ', '_')}s"):
                self.add(point.name, point.value)
            self._scanned = True
        return self._targets

    def add(self, name: str, target: str) -> None:
        """Register `target` under `name`; raises `ConfigError` where another target holds the name."""
        if self._targets.get(name, target) != target:
            raise ConfigError(f"{self.kind} {name!r} is registered twice: {self._targets[name]} and {target}.")
        self._targets[name] = target

    def get(self, name: str) -> Any:
        """The object called `name`, imported now; raises `ConfigError` that suggests the nearest name."""
        targets = self._all()
        if name not in targets:
            raise ConfigError(f"unknown {self.kind} {name!r}.{nearest(name, targets)}")
        return resolve(targets[name])

    def origin(self, name: str) -> str:
        """Where `name` comes from, as `"module:attribute"`."""
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __contains__(self, name: object) -> bool:
        return name in self._all()
