"""A gate on a comparison: an expression over its figures, which says when a run is worse than it may be.

    markers<0.7x or accuracy<-0.03
    significantly length>2x and ood/accuracy<-0.05

A condition is FIGURE<BOUND or FIGURE>BOUND. `0.7x` bounds the ratio of run to base, a number with a sign the difference of run
and base in the figure's unit (shares from 0 to 1, words, markers per 1,000 words). It is held against the estimate; with
`significantly` before it, against the whole 95 % interval, which is then beyond the bound. `and` binds before `or`. A figure
of another lexicon, a benchmark or a domain: `kim2026/markers`, `aime24/accuracy`, `ood/accuracy`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from epiverb.errors import ConfigError, nearest
from epiverb.schema import CATEGORIES

OUTCOMES = ("accuracy", "finished", "given_finished", "length", "loops")
RATES = {
    "markers": "per_1k_words",
    "markers_per_1k": "per_1k_words",
    "markers_per_trace": "per_trace",
    "presence": "presence",
}
"""Figures of a lexicon: name -> where it is in the lexicon's block. So are its categories, per 1,000 words."""
FIGURES = (*OUTCOMES, *RATES, *CATEGORIES)
_FORM = re.compile(r"(significantly\s+)?(?:([^\s<>]+)/)?([\w@]+)\s*([<>])\s*([+-]?)(\d+\.?\d*|\.\d+)(x?)", re.I)


@dataclass(frozen=True)
class Condition:
    """A bound of one figure."""

    text: str
    """As the user wrote it."""
    figure: str
    place: str
    """A lexicon, benchmark or domain; empty: the first lexicon, all problems."""
    below: bool
    bound: float
    relative: bool
    """The bound is in times of the base."""
    significantly: bool


Gate = tuple[tuple[Condition, ...], ...]
"""Any of these, each of which needs all of its conditions."""


def parse(text: str) -> Gate:
    """The gate that an expression asks for.

    Raises:
        ConfigError: it is not written so, or there is no such figure.
    """
    words = " ".join(text.split())
    return tuple(
        tuple(_condition(part.strip()) for part in re.split(r" and ", either, flags=re.I))
        for either in re.split(r" or ", words, flags=re.I)
    )


def _condition(text: str) -> Condition:
    where = f"--fail-on {text!r}"
    match = _FORM.fullmatch(text)
    if match is None:
        raise ConfigError(
            f"{where}: not FIGURE<BOUND, such as markers<0.7x or accuracy<-0.03, with 'and', 'or' between."
        )
    significantly, place, figure, sign, signed, number, times = match.groups()
    if figure not in FIGURES:
        raise ConfigError(f"{where}: no figure {figure!r}.{nearest(figure, FIGURES)}")
    if times and signed:
        raise ConfigError(f"{where}: a ratio has no sign. Write {number}x, or {signed}{number} for a difference.")
    if not times and not signed and float(number):
        # accuracy<0.8 reads like a bound of the run's own accuracy, and as a difference would always hold.
        raise ConfigError(
            f"{where}: write {number}x for a ratio to the base, or +{number} or -{number} for a difference."
        )
    bound = float(signed + number)
    return Condition(text, figure, place or "", sign == "<", bound, bool(times), bool(significantly))


def judge(gate: Gate, expression: str, document: Mapping[str, Any]) -> dict[str, Any]:
    """Whether the comparison fails the gate (None: cannot be told), and each condition with its figure.

    Args:
        document: that of `compare`, of one run or of several, any of which may fail.

    Raises:
        ConfigError: a lexicon, benchmark or domain that the comparison does not have.
    """
    rows, verdicts = [], []
    for one in document.get("comparisons", [document]):
        for group in gate:
            judged = [_judged(condition, one) for condition in group]
            verdicts.append(_all([row["holds"] for row in judged]))
            rows += [{**row, "decides": verdicts[-1] is True} for row in judged]
    return {"expression": expression, "failed": _any(verdicts), "conditions": rows}


def _all(parts: list[bool | None]) -> bool | None:
    return False if False in parts else None if None in parts else True


def _any(parts: list[bool | None]) -> bool | None:
    return True if True in parts else None if None in parts else False


def _judged(condition: Condition, document: Mapping[str, Any]) -> dict[str, Any]:
    block = _figure(condition, document)
    if condition.relative:
        value, lo, hi = (block["ratio"][name] for name in ("value", "lo", "hi"))
    else:
        value, lo, hi = block["delta"], block["lo"], block["hi"]
    return {
        "condition": condition.text,
        "run": document["run"],
        "holds": _holds(condition, value, lo, hi),
        "kind": "ratio" if condition.relative else "difference",
        "value": value,
        "lo": lo,
        "hi": hi,
        "unit": block.get("unit"),
        "levels": {"base": block["base"], "run": block["run"]},
        "n_problems": block.get("n_problems"),
        "reason": block.get("reason"),
    }


def _holds(condition: Condition, value: float | None, lo: float | None, hi: float | None) -> bool | None:
    """True, False, or None for unknown. A limit can settle it where the estimate is unknown, as for ratios with a zero."""
    near, far = (hi, lo) if condition.below else (lo, hi)  # the limit nearest the bound when the condition holds

    def beyond(x: float) -> bool:
        x = round(x, 12)  # 0.75 - 0.78 is a little less than -0.03
        return x < condition.bound if condition.below else x > condition.bound

    if value is not None and not condition.significantly:
        return beyond(value)
    if near is not None and beyond(near):
        return True
    if far is not None and not beyond(far):
        return False
    return False if condition.significantly and near is not None else None


def _figure(condition: Condition, document: Mapping[str, Any]) -> Mapping[str, Any]:
    """The contrast that a condition is about."""
    name, place = condition.figure, condition.place
    lexicons, part = document["markers"], document
    if place and place not in lexicons:
        part, place = _part(condition, document), ""
    if name in OUTCOMES:
        if place:
            raise ConfigError(f"--fail-on {condition.text!r}: {name} is of no lexicon. Leave out {place + '/'!r}.")
        return part[name]
    if not lexicons:
        return _unknown("the runs have no lexicon in common")
    block = part["markers"][place or next(iter(lexicons))]
    if name in RATES:
        return block[RATES[name]]
    if name not in block["per_category"]:
        return _unknown("no marker of that category is in either run")
    return block["per_category"][name]["per_1k_words"]


def _unknown(reason: str) -> dict[str, Any]:
    nothing = dict.fromkeys(("value", "lo", "hi"))
    return {**dict.fromkeys(("base", "run", "delta", "lo", "hi")), "ratio": nothing, "reason": reason}


def _part(condition: Condition, document: Mapping[str, Any]) -> Mapping[str, Any]:
    """The benchmark or domain of that name."""
    strata, place = document["strata"], condition.place
    found = [part for part in strata if place in (part["benchmark"], part["domain"])]
    if len(found) == 1:
        return found[0]
    where = f"--fail-on {condition.text!r}"
    if found:
        several = ", ".join(f"{part['benchmark']}/{condition.figure}" for part in found)
        raise ConfigError(f"{where}: {place!r} has several benchmarks. Name one or more: {several}.")
    known = {part[key] for part in strata for key in ("benchmark", "domain") if part[key]} | set(document["markers"])
    raise ConfigError(f"{where}: no lexicon, benchmark or domain {place!r}.{nearest(place, known)}")
