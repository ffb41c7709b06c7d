"""The claims, read from their files: what was said, how it is tested, and by which rule it is decided."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from epiverb.errors import ConfigError, nearest
from epiverb.lab.claims.plan import SCALES, Scale, lacks, scale
from epiverb.lab.claims.verdict import Test

FILES = ("claims.toml", "own.toml")


@dataclass(frozen=True)
class Claim:
    """One claim."""

    id: str
    title: str
    source: str
    measures: str
    tests: tuple[Test, ...]
    """None: it cannot be tested with epiverb, or has no rule; `limits` says why."""
    theirs: str = ""
    """The published figures."""
    limits: str = ""
    """What a test of it here does not show."""
    scales: tuple[str, ...] = SCALES

    @property
    def arms(self) -> list[str]:
        """The arms that its tests compare, and the untrained model where words are counted."""
        calls = [call for test in self.tests for call in test.formula.calls]
        names = [call.arm for call in calls]
        if any(call.quantity in ("words", "said", "push") for call in calls):
            names.append("base")
        return list(dict.fromkeys(names))

    def lacks(self, where: Scale) -> str | None:
        """Why it cannot be run at a scale, in words; None: it can."""
        if not self.tests:
            return self.limits
        if where.name not in self.scales:
            return f"it is tested at {', '.join(self.scales)} only"
        return next((why for arm in self.arms if (why := lacks(where, arm))), None)

    @property
    def runs_at(self) -> list[str]:
        """The scales at which it can be run as they are shipped."""
        return [name for name in SCALES if self.lacks(scale(name)) is None]


@cache
def claims() -> dict[str, Claim]:
    """Every claim by its id, in order."""
    found = {}
    for file in FILES:
        for name, told in tomllib.loads((Path(__file__).parent / file).read_text("utf-8"))["claims"].items():
            tests = tuple(Test(**test) for test in told.pop("tests"))
            found[name] = Claim(id=name, tests=tests, **{**told, "scales": tuple(told.get("scales", SCALES))})
    return found


def chosen(only: Sequence[str]) -> list[Claim]:
    """The claims of these ids, or all for none; raises `ConfigError` that suggests the nearest."""
    for name in only:
        if name not in claims():
            raise ConfigError(f"unknown claim {name!r}.{nearest(name, claims())}")
    return [claim for name, claim in claims().items() if not only or name in only]
