"""How far the samples of a problem agree: self-consistency and semantic entropy with equal answers as one meaning.

From traces alone, no model. A trace without an answer that can be read belongs to no meaning and is not counted among the
samples; `answered` says how many are. Fewer than two answered samples say nothing, and every measure is unknown.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial

import numpy as np
import polars as pl

from epiverb.measures.base import Column, Ints

WEIGHTS = ("confidence", "confidence-lowest-group", "confidence-bottom-10", "confidence-tail")
"""Scores of a trace by which its vote may be weighed."""
ARM = ("benchmark", "condition", "step", "problem_id")
"""Traces that agree in these are samples of the same distribution; null counts as a value."""


@dataclass(frozen=True)
class Samples:
    """The traces of a run with the group of their answers."""

    problem: Ints
    """Of each trace: the problem and arm it belongs to, from 0."""
    meaning: Ints
    """Of each trace: its answer's group among those of its problem; -1: no answer."""
    correct: Column
    """NaN: not graded."""
    weights: dict[str, Column] = field(default_factory=dict)
    """Of each trace, by name of the score: what its vote may be weighed by."""

    @classmethod
    def of(cls, traces: pl.DataFrame, meaning: Ints, weights: dict[str, Column] | None = None) -> Samples:
        """From the `traces` table; traces without a problem are each a problem of their own."""
        alone = pl.when(pl.col("problem_id").is_null()).then(pl.int_range(pl.len()))
        problem = traces.select(pl.struct(*ARM, alone.alias("alone")).rank("dense") - 1).to_series()
        return cls(
            problem.cast(pl.Int64).to_numpy(),
            np.asarray(meaning, dtype=np.int64),
            traces["correct"].cast(pl.Float64).fill_null(np.nan).to_numpy(),
            weights or {},
        )

    @cached_property
    def known(self) -> Ints:
        """Traces that have an answer."""
        return np.flatnonzero(self.meaning >= 0)

    @cached_property
    def table(self) -> Column:
        """Answered samples of each meaning (columns) of each problem (rows)."""
        table = np.zeros((self.problem.max(initial=-1) + 1, self.meaning.max(initial=0) + 1))
        np.add.at(table, (self.problem[self.known], self.meaning[self.known]), 1)
        return table

    @cached_property
    def k(self) -> Column:
        """Answered samples of each problem; NaN below two."""
        answered = self.table.sum(1)
        return np.where(answered >= 2, answered, np.nan)

    def spread(self, per_problem: Column) -> Column:
        """Each trace's value from its problem's."""
        return per_problem[self.problem]


def _majority(samples: Samples) -> Column:
    return samples.spread(samples.table.max(1, initial=0) / samples.k)


def _agreement(samples: Samples) -> Column:
    own = np.full(len(samples.problem), np.nan)
    at = samples.known
    own[at] = (samples.table[samples.problem[at], samples.meaning[at]] - 1) / (samples.k[samples.problem[at]] - 1)
    return own


def _entropy(samples: Samples) -> Column:
    p = samples.table / samples.k[:, None]
    return samples.spread(-np.sum(p * np.log(p, out=np.zeros_like(p), where=p > 0), axis=1))


def _meanings(samples: Samples) -> Column:
    return samples.spread(np.where(np.isnan(samples.k), np.nan, (samples.table > 0).sum(1)))


def _answered(samples: Samples) -> Column:
    total = np.bincount(samples.problem, minlength=len(samples.table))
    return samples.spread(np.where(total >= 2, samples.table.sum(1) / np.maximum(total, 1), np.nan))


def _majority_right(samples: Samples) -> Column:
    return _won(samples, samples.table)


def _won(samples: Samples, held: Column) -> Column:
    """Mean correctness of the answers that hold the most; several that tie count in equal parts."""
    right, graded = np.zeros_like(samples.table), np.zeros_like(samples.table)
    at = samples.known[~np.isnan(samples.correct[samples.known])]
    np.add.at(right, (samples.problem[at], samples.meaning[at]), samples.correct[at])
    np.add.at(graded, (samples.problem[at], samples.meaning[at]), 1)
    first = (held == np.where(samples.table > 0, held, -np.inf).max(1, initial=-np.inf)[:, None]) & (samples.table > 0)
    share = np.divide(right, graded, out=np.full_like(right, np.nan), where=graded > 0)
    won = np.where(first, share, 0.0).sum(1) / np.maximum(first.sum(1), 1)
    return samples.spread(np.where(np.isnan(samples.k) | np.isnan(held).any(1), np.nan, won))


def _weighted_right(samples: Samples, *, by: str) -> Column:
    """As `_majority_right`, samples counting by a score; unknown where one with an answer has none."""
    weight = samples.weights.get(by, np.full(len(samples.problem), np.nan))
    held = np.zeros_like(samples.table)
    np.add.at(held, (samples.problem[samples.known], samples.meaning[samples.known]), weight[samples.known])
    return _won(samples, held)


@dataclass(frozen=True)
class SampleMeasure:
    """A number for each trace from all samples of its problem. NaN is unknown."""

    name: str
    unit: str
    direction: str
    """What a larger value says."""
    about: str
    compute: Callable[[Samples], Column]
    needs: tuple[str, ...] = ("answer",)
    """Columns of `traces`, and scores among `WEIGHTS`, without which it is unknown."""
    version: int = 1

    def __call__(self, samples: Samples) -> Column:
        return self.compute(samples)


CONSISTENCY: tuple[SampleMeasure, ...] = (
    SampleMeasure(
        "majority-share",
        "share of answered samples",
        "the samples agree more",
        "Samples of the problem that give its most frequent answer. Source: self-consistency, arXiv 2203.11171.",
        _majority,
    ),
    SampleMeasure(
        "agreement",
        "share of the other answered samples",
        "others answer as this trace does",
        "Other samples of the problem that give this trace's answer: its vote in self-consistency without itself.",
        _agreement,
    ),
    SampleMeasure(
        "semantic-entropy",
        "nats",
        "the samples mean more different things",
        "Entropy of the shares of each meaning among the samples (the discrete estimate of Nature 630, 625, 2024; arXiv "
        "2302.09664). Ours differs: answers that are mathematically equal are one meaning, instead of sentences that "
        "entail each other.",
        _entropy,
    ),
    SampleMeasure(
        "meanings",
        "answers",
        "the samples mean more different things",
        "Different answers among the samples.",
        _meanings,
    ),
    SampleMeasure(
        "answered", "share of samples", "more samples end in an answer", "Samples with an answer.", _answered
    ),
    SampleMeasure(
        "majority-right",
        "0 to 1",
        "voting finds the right answer",
        "Whether the most frequent answer is right; answers that tie count in equal parts.",
        _majority_right,
        needs=("answer", "correct"),
    ),
    *(
        SampleMeasure(
            f"weighted-right/{weight}",
            "0 to 1",
            "the weighted vote finds the right answer",
            f"Whether the answer is right whose samples have the most {weight} together (DeepConf, arXiv 2508.15260).",
            partial(_weighted_right, by=weight),
            needs=("answer", "correct", weight),
        )
        for weight in WEIGHTS
    ),
)


def computable(samples: Samples) -> list[SampleMeasure]:
    """Those of `CONSISTENCY` whose weights are known."""
    return [one for one in CONSISTENCY if all(name in samples.weights for name in one.needs if name in WEIGHTS)]


def compute(samples: Samples, traces: pl.DataFrame) -> pl.DataFrame:
    """The measures of `CONSISTENCY` as rows of the `values` table; without those whose weights are not there."""
    frames = [
        pl.DataFrame({"trace_id": traces["trace_id"], "value": pl.Series(measure(samples), nan_to_null=True)}).select(
            "trace_id",
            pl.lit(measure.name).alias("measure"),
            pl.lit(measure.version, dtype=pl.Int64).alias("version"),
            "value",
        )
        for measure in computable(samples)
    ]
    return pl.concat(frames)
