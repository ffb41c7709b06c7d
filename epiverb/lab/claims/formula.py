"""The figure that a claim is about, as a formula: `accuracy(sdpo, far) - accuracy(base, far)`.

A call is a quantity of an arm (`quantities.py`): its first argument the arm, or a step of it as in `sdpo.seen`, its second
the group of benchmarks, the rest filters. `log`, `mean`, `spearman` and `slope` are functions of what quantities give. Names
may hold hyphens, so that a minus stands between spaces. What is not arithmetic is refused.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epiverb.errors import ConfigError

Array = NDArray[np.float64]
_HYPHEN = re.compile(r"(?<=\w)-(?=\w)")
_SIGNS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


@dataclass(frozen=True)
class Call:
    """A quantity of an arm, as a formula asks for it; names with hyphens for underscores."""

    quantity: str
    arm: str
    step: str | None
    where: str | None
    options: tuple[tuple[str, Any], ...] = field(default=())


def _rank(x: Array) -> Array:
    """Ranks along the last axis, of ties their mean."""
    from scipy.stats import rankdata

    return rankdata(x, axis=-1)


def _spearman(x: Array, y: Array) -> Array:
    x, y = (ranks - ranks.mean(axis=-1, keepdims=True) for ranks in (_rank(x), _rank(y)))
    below = np.sqrt((x**2).sum(axis=-1) * (y**2).sum(axis=-1))
    return ((x * y).sum(axis=-1) / below)[..., None]


def _slope(*points: Array) -> Array:
    """The slope of figures over equally spaced places, such as 8, 64 and 512 problems on the scale of logarithms."""
    x = np.arange(len(points)) - (len(points) - 1) / 2
    return sum(a * point for a, point in zip(x, points, strict=True)) / (x**2).sum()


FUNCTIONS: dict[str, Callable[..., Array]] = {
    "log": np.log,
    "mean": lambda *x: sum(x) / len(x) if len(x) > 1 else x[0].mean(axis=-1, keepdims=True),
    "spearman": _spearman,
    "slope": _slope,
}
"""Name -> function of arrays (repetitions, keys)."""


class Formula:
    """A formula, taken apart.

    Raises:
        ConfigError: it is none.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        try:
            self._tree = ast.parse(_HYPHEN.sub("_", text), mode="eval").body
        except SyntaxError as error:
            raise ConfigError(f"{text!r}: is no formula ({error.msg}).") from None
        self.calls  # noqa: B018 (what it cannot be is said now)

    @cached_property
    def calls(self) -> list[Call]:
        """The quantities that it is made of, each once."""
        found: dict[Call, None] = {}
        self(lambda call: found.setdefault(call) or np.array([[1.0, 2.0]]))
        return list(found)

    def __call__(self, quantity: Callable[[Call], Array]) -> Array:
        """Its value (repetitions, keys) with the quantities that are given; what cannot be divided is not finite."""
        with np.errstate(all="ignore"):
            return self._value(self._tree, quantity)

    def _value(self, node: ast.AST, quantity: Callable[[Call], Array]) -> Any:
        match node:
            case ast.BinOp(left, op, right) if type(op) in _SIGNS:
                return _SIGNS[type(op)](self._value(left, quantity), self._value(right, quantity))
            case ast.UnaryOp(ast.USub(), operand):
                return -self._value(operand, quantity)
            case ast.Constant(int() | float() as number):
                return number
            case ast.Call(ast.Name(name), args) if name in FUNCTIONS:
                return FUNCTIONS[name](*(self._value(arg, quantity) for arg in args))
            case ast.Call(ast.Name(name), [arm, *where], keywords):
                return quantity(self._call(name, arm, where, keywords))
        raise ConfigError(f"{self.text!r}: {ast.unparse(node)!r} is no arithmetic of quantities.")

    def _call(self, name: str, arm: ast.expr, where: list[ast.expr], keywords: list[ast.keyword]) -> Call:
        group = _plain(_constant(where[0])) if where else None
        options = tuple((str(word.arg), _constant(word.value)) for word in keywords)
        match arm:
            case ast.Attribute(ast.Name(of), step) if len(where) < 2:
                return Call(name, _plain(of), _plain(step), group, options)
            case ast.Name(of) if len(where) < 2:
                return Call(name, _plain(of), None, group, options)
        raise ConfigError(f"{self.text!r}: {name} is asked of an arm, or of one of its steps, and one group.")


def _plain(name: Any) -> str:
    return str(name).replace("_", "-")


def _constant(node: ast.expr) -> Any:
    if isinstance(node, ast.Name):
        return _plain(node.id)
    value = ast.literal_eval(node)
    return _plain(value) if isinstance(value, str) else value
