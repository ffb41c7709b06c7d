"""The few figures of a training that are followed as it goes, by name: where they are in a log, and how they are written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


class Figure(NamedTuple):
    """One figure."""

    keys: tuple[str, ...]
    """Names in the log, the first that is there; `1-NAME` is what NAME leaves of 1."""
    title: str
    show: Callable[[float], str]


def _share(value: float) -> str:
    return f"{100 * value:.0f} %"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


FIGURES: dict[str, Figure] = {
    "reward": Figure(("reward", "epiverb/reward"), "reward", _number),
    "accuracy": Figure(("epiverb/accuracy",), "accuracy", _share),
    "length": Figure(("epiverb/tokens", "completions/mean_length"), "tokens a response", _number),
    "markers": Figure(("epiverb/markers_per_1k_words",), "markers per 1,000 words", _number),
    "finished": Figure(("epiverb/finished", "1-completions/clipped_ratio"), "finished", _share),
    "divergence": Figure(("epiverb/divergence/markers",), "divergence on markers", _number),
    "divergence-others": Figure(("epiverb/divergence/others",), "divergence on other tokens", _number),
    "loss": Figure(("loss", "train_loss"), "loss", _number),
}
"""By the names that alarms and the live view use; a name `probe/NAME/accuracy` is the figure of a probe."""


def figure(name: str) -> Figure | None:
    """The figure of that name; None where there is none."""
    if name in FIGURES:
        return FIGURES[name]
    parts = name.split("/")
    if len(parts) == 3 and parts[0] == "probe" and parts[2] in ("accuracy", "markers", "length", "finished"):
        own = FIGURES[parts[2]]
        key = own.keys[0].removeprefix("epiverb/")
        return Figure((f"epiverb/probe/{parts[1]}/{key}",), f"{own.title} on {parts[1]}", own.show)
    return None


def value_of(known: Figure, scalars: Mapping[str, Any]) -> float | None:
    """The figure in a log; None where it is not in it."""
    for key in known.keys:
        rest = key.startswith("1-")
        value = scalars.get(key.removeprefix("1-"))
        if isinstance(value, int | float) and value == value:
            return 1 - value if rest else float(value)
    return None
