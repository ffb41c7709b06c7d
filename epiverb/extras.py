"""What epiverb needs and may use, as its own metadata says: core packages, and those of each extra."""

from __future__ import annotations

import re
from dataclasses import dataclass

_LINE = re.compile(r"(?P<name>[\w.-]+)\s*(\[[^\]]*\])?\s*(?P<versions>[^;]*?)\s*(;(?P<marker>.*))?")
_EXTRA = re.compile(r"""extra\s*==\s*["']([\w-]+)["']""")
_MODULES = {"pyyaml": "yaml", "mkdocs-material": "material"}
"""Packages whose module has another name than theirs with `_` for `-`."""


@dataclass(frozen=True)
class Requirement:
    """One package that epiverb needs."""

    package: str
    versions: str
    """Those that fit, such as `>=1.30`."""
    extra: str | None
    """The part that needs it; None is the core."""

    @property
    def module(self) -> str:
        """What is imported."""
        return _MODULES.get(self.package.lower(), self.package.replace("-", "_"))


def requirements() -> list[Requirement]:
    """The packages of the core, then those of each extra but `dev`, in the order of pyproject.toml."""
    from importlib.metadata import requires

    found = []
    for line in requires("epiverb") or []:
        match = _LINE.fullmatch(line)
        if match is None:
            continue
        marker = match["marker"] or ""
        extra = _EXTRA.search(marker)
        name = extra[1] if extra else None
        if name == "dev" or (name is None and marker and not _applies(marker)):
            continue
        found.append(Requirement(match["name"], match["versions"].strip("() "), name))
    return found


def names() -> list[str]:
    """The extras."""
    return list(dict.fromkeys(one.extra for one in requirements() if one.extra))


def _applies(marker: str) -> bool:
    """Whether this Python is one that a requirement is for."""
    from packaging.markers import Marker

    return Marker(marker).evaluate()


def wanted_by(module: str) -> Requirement | None:
    """What a module that is not there belongs to, where it is of an extra."""
    top = module.partition(".")[0]
    return next((one for one in requirements() if one.extra and one.module == top), None)
