"""How well a score ranks right traces above wrong ones: AUROC, risk over coverage, rejection; weighted, ties averaged.

Weights are how often each trace is there, whole numbers, one row a bootstrap draw, so that every figure here is a function
of weights on problems (see `bootstrap.resample`). Where scores tie, every order of them is as likely: a curve is that
expected of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from epiverb.stats.problems import Array, ratio

_CELLS = 500_000
"""Of weights at once: few, so that they stay near the processor."""


@dataclass(frozen=True)
class Ranked:
    """Traces sorted from the highest score to the lowest, those of equal score together."""

    order: np.ndarray
    starts: np.ndarray
    """Where each group of equal scores begins."""
    correct: Array

    @classmethod
    def of(cls, score: Array, correct: Array) -> Ranked:
        """Sorted by `score`; `correct` is 0 or 1."""
        order = np.argsort(-score, kind="stable")
        falls = np.flatnonzero(np.diff(score[order])) + 1
        return cls(order, np.concatenate([[0], falls]).astype(np.int64), correct[order])

    def tallies(self, weights: Array, problem: np.ndarray | None = None) -> tuple[Array, Array]:
        """Right and all traces of each group, for each row of `weights` (N, traces), or of problems (N, P)."""
        sorted_weights = weights[:, self.order if problem is None else problem[self.order]]
        if len(self.starts) == len(self.order):
            return sorted_weights * self.correct, sorted_weights
        right = np.add.reduceat(sorted_weights * self.correct, self.starts, axis=1)
        return right, np.add.reduceat(sorted_weights, self.starts, axis=1)


def rates(ranked: Ranked, weights: Array, problem: np.ndarray | None = None) -> Array:
    """AUROC, AURC and PRR (columns) for each row of `weights`; NaN where right or wrong traces lack.

    Args:
        weights: (N, traces), or (N, P) where `problem` gives the column of each trace.
    """
    step = max(1, _CELLS // max(len(ranked.order), 1))
    return np.concatenate([_rates(ranked, weights[i : i + step], problem) for i in range(0, len(weights), step)])


def _rates(ranked: Ranked, weights: Array, problem: np.ndarray | None) -> Array:
    right, total = ranked.tallies(weights, problem)
    n, n_right = total.sum(1), right.sum(1)
    wrong = total - right
    above = np.cumsum(wrong[:, ::-1], axis=1)[:, ::-1] - wrong / 2  # wrong traces below, those that tie counted half
    area = ratio((right * above).sum(1), n_right * (n - n_right))
    risk = aurc(right, total)
    oracle = _oracle(n_right, n)
    base = 1 - ratio(n_right, n)
    gained = ratio(base - risk, np.where(n_right * (n - n_right) > 0, base - oracle, 0.0))
    return np.stack([area, risk, gained], axis=1)


def aurc(right: Array, total: Array) -> Array:
    """Area under risk over coverage: the error among the k highest scores, averaged over k = 1 to n; lower is better.

    Within a group that ties the errors are spread evenly, which is their expectation over all orders.

    Source: Geifman, Uziel, El-Yaniv, Bias-reduced uncertainty estimation, ICLR 2019.
    """
    behind = np.cumsum(total, axis=1)
    steps = np.diff(_harmonic(behind), axis=1, prepend=0.0)
    share = np.divide(right, total, out=np.zeros_like(right), where=total > 0)
    # Sum over k of (got + (k - before) share) / k within each group, of what is got and how many stand before it.
    got, before = np.cumsum(right, axis=1) - right, behind - total
    accuracy = right + (got - before * share) * steps
    return 1 - ratio(accuracy.sum(1), behind[:, -1])


def _oracle(right: Array, n: Array) -> Array:
    """AURC of the best order: all right traces first."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return 1 - ratio(right + right * (_harmonic(n) - _harmonic(right)), n)


def _harmonic(n: Array) -> Array:
    """The nth harmonic number, of whole numbers."""
    whole = n.astype(np.int64)
    return np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, int(whole.max(initial=0)) + 1))])[whole]


def curve(score: Array, correct: Array) -> tuple[Array, Array]:
    """Coverage and risk (error among the k highest scores) for k = 1 to n."""
    ranked = Ranked.of(score, correct)
    right, total = ranked.tallies(np.ones((1, len(score))))
    even = np.repeat(right[0] / total[0], total[0].astype(int))
    k = np.arange(1, len(score) + 1)
    return k / len(score), 1 - np.cumsum(even) / k


def auc_within(score: Array, correct: Array, problem: np.ndarray) -> tuple[Array, Array]:
    """AUROC inside each problem, NaN where it lacks right or wrong traces; and the problems' numbers, sorted.

    Source: WP-AUC, arXiv 2605.29192.
    """
    numbers, at = np.unique(problem, return_inverse=True)
    order = np.lexsort((score, at))
    row, sorted_score = at[order], score[order]
    first = np.searchsorted(row, np.arange(len(numbers)))
    new = np.concatenate([[True], (np.diff(row) > 0) | (np.diff(sorted_score) != 0)])
    group = np.cumsum(new) - 1
    begin = np.flatnonzero(new)
    size = np.diff(np.concatenate([begin, [len(order)]]))
    rank = (begin + (size + 1) / 2)[group] - first[row]
    right = correct[order]
    wins = np.bincount(row, right, len(numbers))
    n = np.bincount(row, minlength=len(numbers))
    total = np.bincount(row, rank * right, len(numbers))
    return ratio(total - wins * (wins + 1) / 2, wins * (n - wins)), numbers
