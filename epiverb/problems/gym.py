"""Generated puzzles: the families of reasoning-gym, each with its verifier, without any download."""

from __future__ import annotations

import ast
import dataclasses
from dataclasses import dataclass
from typing import Any

from epiverb.errors import ConfigError, MissingExtra, nearest
from epiverb.problems.base import Loaded, Request

SIZE = 100
"""Puzzles, where none is said."""
APART = 1 << 20
"""The library makes puzzle i of seed s from the number s + i, so that seeds 1 and 2 share all puzzles but two. Ours are
so many numbers apart: a seed to train on and one to test on share none but by chance."""


@dataclass(frozen=True)
class ReasoningGym:
    """`reasoning-gym:FAMILY?size=100&seed=1&OPTION=VALUE`: options are those of the family."""

    name: str = "reasoning-gym"
    about: str = "generated puzzles of a family with its verifier: reasoning-gym:countdown?size=100&seed=1"
    source: str = "open-thought/reasoning-gym, arXiv 2505.24760"
    licence: str = "Apache-2.0"
    grader: str = "reasoning-gym"
    rewrite: str = "tagged"
    n: None = None

    def __call__(self, request: Request) -> Loaded:
        """So many puzzles of one family; the same for the same seed and options."""
        from epiverb.problems.load import collect, shape

        if request.base or request.path:
            raise ConfigError(f"{request.spec}: puzzles are generated; they come from no file and no other set.")
        family = request.argument or ""
        options = {"size": str(request.limit or SIZE), "seed": str(request.seed)} | request.options
        entries = _generated(family, options, request.spec)
        config = {name: _value(text) for name, text in options.items() if name not in ("size", "seed")}
        rows = ((f"{family} {i}", _row(family, entry, config)) for i, entry in enumerate(entries))
        form = shape(request, f"{self.name}:{family}", _COLUMNS, grader=self.grader, rewrite=self.rewrite)
        return collect(rows, form, request)

    def describe(self) -> dict[str, Any]:
        """What is known of it, as plain values, its families among them."""
        words = ("name", "about", "grader", "rewrite", "source", "licence")
        return {**{word: getattr(self, word) for word in words}, "families": families()}


GYM = ReasoningGym()
_COLUMNS: dict[str, tuple[str, ...]] = {"question": ("question",), "gold": ("gold",)}
_COLUMNS |= {f"extra.{name}": (f"extra.{name}",) for name in ("entry", "family", "config")}


def _row(family: str, entry: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    told = {"question": entry["question"], "gold": entry["answer"], "extra.entry": entry, "extra.family": family}
    return told | ({"extra.config": config} if config else {})


def families() -> list[str]:
    """The names of all families."""
    return sorted(_library().factory.DATASETS)


def _library() -> Any:
    try:
        import reasoning_gym
    except ImportError as error:
        raise MissingExtra("reasoning-gym", "gym") from error
    return reasoning_gym


def _generated(family: str, options: dict[str, str], spec: str) -> list[dict[str, Any]]:
    """The entries that the library makes; raises `ConfigError` for a family, option or value that it does not take."""
    known = _library().factory.DATASETS
    if family not in known:
        raise ConfigError(f"{spec}: no family {family!r}.{nearest(family, known)}")
    try:
        options = options | {"seed": str(APART * int(options["seed"]))}
    except ValueError as error:
        raise ConfigError(f"{spec}: the seed is a whole number, not {options['seed']!r}.") from error
    fields = {field.name for field in dataclasses.fields(known[family][1])}
    for name in options:
        if name not in fields:
            raise ConfigError(f"{spec}: {family} has no option {name!r}.{nearest(name, fields)}")
    try:
        made = _library().create_dataset(family, **{name: _value(text) for name, text in options.items()})
        return [made[i] for i in range(made.size)]
    except (AssertionError, TypeError, ValueError) as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(f"{spec}: {family} does not take these options ({why}).") from error


def _value(text: str) -> Any:
    """A number, truth or list as written; anything else is text."""
    try:
        return ast.literal_eval({"true": "True", "false": "False", "none": "None"}.get(text.lower(), text))
    except (ValueError, SyntaxError):
        return text
