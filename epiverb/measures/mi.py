"""Mutual information of each token's hidden state with the gold answer's, by normalised HSIC, and its peaks.

The two states are taken as d pairs of numbers, one a hidden unit, and their dependence is measured by the trace of the
product of two smoothed kernel operators with a Gaussian kernel of width 50. Published code inverts two d x d matrices a
token. A Gaussian kernel on numbers has a few dozen eigenvalues that matter, so that the same value comes from a
factor of that width (`Factor`): K = L L' gives K H (K H + c I)^-1 = L (L' H L + c I)^-1 L' H, and the trace is one of
small matrices.

Source: MI-Peaks, arXiv 2506.02867; hsic_normalized_cca in src/mi_estimators.py, used by the companion paper (arXiv
2603.15500, App. F) with 20 peaks in its notebook.
Ours differs: the kernel is factored to 1e-10 instead of inverted whole, in float64; states are those behind the final
norm instead of before it (the model's output), and the gold side is the last token of the answer alone, not of a solution.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from epiverb.measures.base import Column, Ints, Mask

SIGMA = 50.0
EPSILON = 1e-5
PEAKS = 20
TOLERANCE = 1e-10
MOST_TOKENS = 2500
"""Tokens of a trace that are looked at, as in the companion paper's code."""


@dataclass(frozen=True)
class Factor:
    """A kernel matrix of d numbers as L L', with what its smoothed operator needs."""

    left: Column
    """L (d, r)."""
    centred: Column
    """L less its column means: H L."""
    inner: Column
    """(L' H L + c I)^-1 (r, r)."""

    @classmethod
    def of(cls, state_H: Column, sigma: float = SIGMA) -> Factor:
        """By pivoted Cholesky, until what is left of the kernel's diagonal is below `TOLERANCE`."""
        x = np.asarray(state_H, dtype=np.float64)
        left = _cholesky(x, sigma)
        centred = left - left.mean(0)
        gram = left.T @ centred + EPSILON * len(x) * np.eye(left.shape[1])
        return cls(left, centred, np.linalg.inv(gram))


def _cholesky(x: Column, sigma: float) -> Column:
    rest = np.ones(len(x))
    columns: list[Column] = []
    while len(columns) < len(x) and rest.max() > TOLERANCE:
        pivot = int(np.argmax(rest))
        column = np.exp(-((x - x[pivot]) ** 2) / (2 * sigma**2))
        for earlier in columns:
            column -= earlier * earlier[pivot]
        column /= np.sqrt(rest[pivot])
        rest = np.maximum(rest - column**2, 0.0)
        rest[pivot] = 0.0
        columns.append(column)
    return np.stack(columns, axis=1)


def hsic(first: Factor, second: Factor) -> float:
    """Normalised HSIC of two states, without unit; larger: more dependent."""
    cross = second.left.T @ first.centred  # L_y' H L_x
    return float(np.trace(first.inner @ (first.left.T @ second.centred) @ second.inner @ cross))


def trajectory(states_T_H: Column, gold_H: Column) -> Column:
    """Normalised HSIC of every token's state with the gold answer's; NaN where a state is not finite."""
    gold = Factor.of(gold_H)
    told = np.full(len(states_T_H), np.nan)
    for t, state in enumerate(states_T_H):
        if np.isfinite(state).all():
            told[t] = hsic(Factor.of(state), gold)
    return told


def peaks(values_T: Column, count: int = PEAKS) -> Ints:
    """Positions of the `count` largest values, in order of position; of equal ones the earlier."""
    known = np.flatnonzero(np.isfinite(values_T))
    best = known[np.argsort(-values_T[known], kind="stable")[:count]]
    return np.sort(best)


def overlap(peak_at: Ints, marker_T: Mask) -> dict[str, float]:
    """`share` of the peaks that are marker tokens, and `lift` over the share of all tokens that are; NaN: no markers."""
    share = float(marker_T[peak_at].mean()) if len(peak_at) else float("nan")
    base = float(marker_T.mean()) if len(marker_T) else 0.0
    return {"share": share, "lift": share / base if base else float("nan")}
