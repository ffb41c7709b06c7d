"""Arms of a scale as steps: the exact command of each, where it writes, and what it waits for."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from epiverb.errors import ConfigError, nearest
from epiverb.resources import folder

HERE = Path(__file__).parent
SCALES = ("lab", "one-gpu", "paper")
LAST = "checkpoint-LAST"
"""In a command: the last checkpoint of a training, known when it is over."""
_ADDS = ("score",)
"""Commands that add to a run that is there."""


@dataclass(frozen=True)
class Step:
    """One command of one arm with one seed."""

    arm: str
    seed: int
    name: str
    words: tuple[str, ...]
    """The command as a user gives it, behind `epiverb`, in the folder of the claims."""
    launch: tuple[str, ...] = ()
    """What starts it instead of `epiverb`."""
    needs: tuple[str, ...] = ()
    """Keys of the steps before it."""

    @property
    def key(self) -> str:
        """`sdpo/seed0/train`: its folder, too."""
        return f"{self.arm}/seed{self.seed}/{self.name}"

    @property
    def makes(self) -> bool:
        """Whether its folder becomes a run of its own."""
        return self.words[0] not in _ADDS

    def __str__(self) -> str:
        return shlex.join([*(self.launch or ("epiverb",)), *self.words])


@dataclass(frozen=True)
class Scale:
    """Where claims are tested: models, benchmarks and sizes."""

    name: str
    about: str
    models: Mapping[str, str]
    groups: Mapping[str, list[str]]
    """Name of a group -> benchmarks in it."""
    settings: Mapping[str, Any]
    launch: str = ""

    def but(self, models: Mapping[str, str], settings: Mapping[str, str]) -> Scale:
        """The same with some other models and settings; raises `ConfigError` where there is no such setting."""
        for name in settings:
            if name not in self.settings:
                raise ConfigError(f"the scale {self.name} has no setting {name!r}.{nearest(name, self.settings)}")
        return replace(self, models={**self.models, **models}, settings={**self.settings, **settings})


@dataclass(frozen=True)
class Arm:
    """Steps that are carried out with one seed after another."""

    name: str
    about: str
    steps: Mapping[str, str]
    core: bool = False
    seeds: int | None = None
    scales: tuple[str, ...] = SCALES


class _Lacking(Exception):
    """A scale does not have what a step names."""


@dataclass
class _Names(dict[str, str]):
    """What the names in a step stand for; notes what other steps it takes from."""

    arm: str
    seed: int
    needs: list[str] = field(default_factory=list)

    def __missing__(self, name: str) -> str:
        arm, slash, step = name.partition("/")
        if not slash:
            raise _Lacking(name)
        key = f"{arm}/seed{self.seed}/{step}"
        self.needs.append(key)
        return key


@cache
def _read() -> dict[str, Any]:
    return tomllib.loads((HERE / "arms.toml").read_text("utf-8"))


def scale(name: str) -> Scale:
    """The scale called `name`; raises `ConfigError` that suggests the nearest."""
    scales = _read()["scales"]
    if name not in scales:
        raise ConfigError(f"unknown scale {name!r}.{nearest(name, scales)}")
    return Scale(name, **scales[name])


@cache
def arms() -> dict[str, Arm]:
    """Every arm, in the order of the file."""
    return {name: Arm(name, **{"scales": SCALES, **told}) for name, told in _read()["arms"].items()}


def arm(name: str) -> Arm:
    """The arm called `name`; raises `ConfigError` that suggests the nearest."""
    if name not in arms():
        raise ConfigError(f"unknown arm {name!r}.{nearest(name, arms())}")
    return arms()[name]


def lacks(where: Scale, name: str) -> str | None:
    """What a scale lacks of what an arm and those before it need, in words; None: it can be run."""
    if where.name not in arm(name).scales:
        return f"arm {name} is not run at this scale"
    for step in arm(name).steps:
        try:
            needs = _step(where, arm(name), step, 0).needs
        except _Lacking as lacking:
            return f"arm {name} needs {lacking}, which this scale does not have"
        for other in {key.partition("/")[0] for key in needs} - {name}:
            if why := lacks(where, other):
                return why
    return None


def plan(where: Scale, names: Iterable[str], seeds: int) -> list[Step]:
    """The steps of arms and of those that they take from: core arms first, then seed by seed, each behind what it needs.

    Raises:
        ConfigError: an arm cannot be run at the scale.
    """
    found: dict[str, Step] = {}

    def add(one: Arm, seed: int) -> None:
        for name in one.steps:
            step = _step(where, one, name, seed)
            for key in step.needs:
                if key not in found and not key.startswith(f"{one.name}/"):
                    add(arm(key.partition("/")[0]), seed)
            found.setdefault(step.key, step)

    chosen = [arm(name) for name in arms() if name in set(names)]
    for one in chosen:
        if why := lacks(where, one.name):
            raise ConfigError(f"{where.name}: {why}.")
    for core in (True, False):
        for seed in range(seeds):
            for one in chosen:
                if one.core is core and seed < (one.seeds or seeds):
                    add(one, seed)
    return list(found.values())


def _step(where: Scale, one: Arm, name: str, seed: int) -> Step:
    names = _Names(one.name, seed)
    names |= {key: str(value) for key, value in where.settings.items()}
    names |= {key: _shown(model) for key, model in where.models.items()}
    names |= {"seed": str(seed), "recipes": "recipes", "trained": f"{{{one.name}/train}}/checkpoints/{LAST}"}
    text = one.steps[name]
    while "{" in text:
        text = text.format_map(names)
    words = shlex.split(text)
    steps = list(one.steps)
    before = [f"{one.name}/seed{seed}/{earlier}" for earlier in steps[: steps.index(name)][-1:]]
    launch = tuple(shlex.split(where.launch.format_map(names))) if words[0] == "train" else ()
    step = Step(one.name, seed, name, (*words, "--seed", str(seed), "--quiet"), launch)
    out = ("--out", step.key) if step.makes else ()
    return replace(step, words=(*step.words, *out), needs=tuple(dict.fromkeys([*before, *names.needs])))


def _shown(model: str) -> str:
    """A shipped model by its place in the tree; any other as it was given."""
    return f"data/{model}" if model.startswith("lab/") else model


def here(word: str, out: Path) -> str:
    """A word of a command as it is carried out: shipped folders where they are, the last checkpoint by its name."""
    for top in ("data/", "recipes/"):
        if word.startswith(top):
            return str(folder(top[:-1]) / word.removeprefix(top))
    if word.endswith(f"/{LAST}"):
        found = [path for path in (out / word).parent.glob("checkpoint-*") if (path / "whole.json").is_file()]
        if not found:
            raise ConfigError(f"{(out / word).parent}: holds no whole checkpoint.")
        return str(max(found, key=lambda path: int(path.name.rpartition("-")[2])).relative_to(out))
    return word
