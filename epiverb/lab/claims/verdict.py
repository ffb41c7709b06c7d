"""A claim against its runs: the figure of each test with its interval, and what the rule that was fixed beforehand says.

A test predicts a side of a bound, `< 0`. Its interval on that side: as predicted; on the other: the opposite; else undecided.
A claim is supported where all of its tests come out as predicted, which needs no correction, and contradicted where any comes
out the opposite, for which the level is divided by the number of tests (Bonferroni). Some tests are checks that a cut took what
it should: where one is not as predicted, there is no verdict.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from epiverb.errors import ConfigError
from epiverb.lab.claims.formula import Array, Call, Formula
from epiverb.lab.claims.quantities import KEY, Runs
from epiverb.stats.crossed import Crossed, crossed

_EXPECTED = re.compile(r"([<>])\s*(-?[\d.]+)")


@dataclass(frozen=True)
class Test:
    """What a claim predicts of one figure."""

    says: str
    value: str
    """A formula."""
    expect: str
    """`< 0`, `> -0.05`."""
    unit: str = ""
    """points (a share, shown times 100), tokens, markers, nats, or none."""
    check: bool = False
    """Whether it is no part of the claim, but has to hold for the claim to be tested at all."""

    @property
    def formula(self) -> Formula:
        """Its formula, taken apart."""
        return Formula(self.value)

    @property
    def rule(self) -> tuple[str, float]:
        """The side and the bound."""
        match = _EXPECTED.fullmatch(self.expect.strip())
        if not match:
            raise ConfigError(f"{self.expect!r}: is no rule such as '< 0' or '> -0.05'.")
        return match[1], float(match[2])


@dataclass(frozen=True)
class Found:
    """A test's figures: one, or one a word."""

    test: Test
    keys: list[str | None]
    figures: list[Crossed]

    def outcome(self, n_tests: int) -> str:
        """`predicted`, `opposite` or `undecided`, where a claim has so many tests."""
        sides = [side(figure.interval(), *self.test.rule) for figure in self.figures]
        strict = 1 - 0.05 / (n_tests * len(sides))
        if any(side(figure.interval(strict), *self.test.rule) == "opposite" for figure in self.figures):
            return "opposite"
        return "predicted" if all(one == "predicted" for one in sides) else "undecided"


def side(interval: tuple[float, float] | None, sign: str, bound: float) -> str:
    """Where an interval lies of what was predicted."""
    if interval is None:
        return "undecided"
    low, high = interval
    below, above = high < bound, low > bound
    if below or above:
        return "predicted" if below is (sign == "<") else "opposite"
    return "undecided"


def verdict(outcomes: Sequence[str], checks: Sequence[str] = ()) -> str:
    """Of a claim from the outcomes of its tests, and of its checks."""
    if any(one != "predicted" for one in checks):
        return "undecided"
    if "opposite" in outcomes:
        return "contradicted"
    return "supported" if all(one == "predicted" for one in outcomes) else "undecided"


def measured(runs: Runs, test: Test, seeds: dict[str, list[int]]) -> Found:
    """The figures of a test.

    Args:
        seeds: arm -> seeds of which all of its steps are there; those that all arms of the test have are taken.
    """
    formula = Formula(test.value.format_map(dict(runs.scale.settings)))
    common = sorted(set.intersection(*(set(seeds[call.arm]) for call in formula.calls)))
    frames = {call: _by_seed(runs, call, common) for call in formula.calls}
    _pair(frames)
    problems = pl.concat([frame.select(KEY) for frame in frames.values()]).unique().sort(KEY)
    keys = sorted({key for frame in frames.values() for key in frame["key"].unique() if key is not None})
    cells = {call: _array(frame, common, problems, keys) for call, frame in frames.items()}
    strata = problems.group_by("benchmark", maintain_order=True).len()["len"].to_list()

    def statistic(by_seed: Array, by_problem: Array) -> Array:
        return formula(lambda call: _ratio(*cells[call], by_seed, by_problem))

    figures = crossed(statistic, len(common), strata)
    return Found(test, list(keys) if len(figures) > 1 else [None], figures)


def _by_seed(runs: Runs, call: Call, seeds: Sequence[int]) -> pl.DataFrame:
    return pl.concat([runs.cells(call, seed).with_columns(pl.lit(seed).alias("seed")) for seed in seeds])


def _pair(frames: dict[Call, pl.DataFrame]) -> None:
    """Keep of each benchmark what all quantities that look at it know: differences are of the same problems and seeds."""
    place = ["seed", *KEY]
    for benchmark in pl.concat([frame["benchmark"] for frame in frames.values()]).unique():
        mine = [call for call, frame in frames.items() if (frame["benchmark"] == benchmark).any()]
        for call in mine:
            for other in mine:
                known = frames[other].select(place)
                kept = frames[call].filter(pl.col("benchmark") == benchmark).join(known, on=place, how="semi")
                frames[call] = pl.concat([frames[call].filter(pl.col("benchmark") != benchmark), kept])


def _array(
    frame: pl.DataFrame, seeds: Sequence[int], problems: pl.DataFrame, keys: Sequence[str]
) -> tuple[Array, Array]:
    """(seeds, problems, keys) of what is above and below; 0 where a problem was not asked."""
    places = problems.with_row_index("problem")
    where = frame.join(places, on=KEY)
    names = {key: i for i, key in enumerate(keys)} if frame["key"].null_count() < len(frame) else {None: 0}
    above = np.zeros((len(seeds), len(problems), len(names)))
    below = np.zeros_like(above)
    index = (
        np.searchsorted(np.array(seeds), where["seed"].to_numpy()),
        where["problem"].to_numpy(),
        np.array([names[key] for key in where["key"]], dtype=np.int64),
    )
    above[index], below[index] = where["above"].to_numpy(), where["below"].to_numpy()
    return above, below


def _ratio(above: Array, below: Array, by_seed: Array, by_problem: Array) -> Array:
    sums = [np.einsum("ns,np,spk->nk", by_seed, by_problem, part, optimize=True) for part in (above, below)]
    with np.errstate(all="ignore"):
        return sums[0] / sums[1]


def as_dict(found: Found, outcome: str, other: dict[str, Any] | None = None) -> dict[str, Any]:
    """Plain values: the test, its figure, and where it has one a word, that of each.

    Args:
        other: the figure by another lexicon.
    """
    test = found.test
    rows = [{"key": key, **figure.as_dict()} for key, figure in zip(found.keys, found.figures, strict=True)]
    told: dict[str, Any] = {
        "says": test.says,
        "value": test.value,
        "expect": test.expect,
        "unit": test.unit,
        "check": test.check,
        "outcome": outcome,
    }
    told |= {"by_other_lexicon": other} if other else {}
    return told | ({"figure": rows[0]} if len(rows) == 1 else {"figure": worst(rows, *test.rule), "by_word": rows})


def worst(rows: Sequence[dict[str, Any]], sign: str, bound: float) -> dict[str, Any]:
    """The figure that is furthest from what was predicted."""
    known = [row for row in rows if row["lo"] is not None] or list(rows)
    if known[0]["lo"] is None:
        return known[0]
    return max(known, key=lambda row: row["hi"]) if sign == "<" else min(known, key=lambda row: row["lo"])
