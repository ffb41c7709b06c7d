"""What a model computes about each token of a trace, and what follows for the trace: entropy, confidence, propensity.

A `Trajectory` holds one trace's tokens as columns; a `TokenMeasure` makes numbers of it, or a column for the axis
`token`. Entropy is exact where the whole distribution was seen. From the k most likely tokens it is two bounds, and a
figure that rests on them says so in its name; nothing is renormalised.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

Column = npt.NDArray[np.float64]
Figures = dict[str, float]
WINDOW = 2048
"""Tokens of a DeepConf group. The published default; shorter traces are one group."""
LOWEST = 0.1
"""Share of the groups whose mean is the bottom confidence."""
FORKS = 0.2
"""Share of a run's tokens that are forks: those of the highest entropy."""


@dataclass(frozen=True)
class Trajectory:
    """One trace's tokens. A column that is not known is None; NaN in a column is a position that is not known."""

    logprob: Column | None = None
    low: Column | None = None
    """Entropy, or the lower bound on it, in nats."""
    high: Column | None = None
    """Entropy, or the upper bound on it."""
    confidence: Column | None = None
    """Minus the mean log-probability of the k most likely tokens."""
    certainty: Column | None = None
    """Self-certainty."""
    mass: dict[str, Column] = field(default_factory=dict)
    """Probability of sets of tokens by name."""
    window: int = WINDOW

    @property
    def exact(self) -> bool:
        """Whether entropy is known and not only bounded."""
        return self.low is not None and self.high is self.low

    @cached_property
    def groups(self) -> Column | None:
        """Mean confidence of every window of `window` tokens; a single one where the trace is shorter."""
        if self.confidence is None:
            return None
        known = self.confidence[np.isfinite(self.confidence)]
        if len(known) <= self.window:
            return np.array([known.mean()]) if len(known) else None
        sums = np.concatenate([[0.0], np.cumsum(known)])
        return (sums[self.window :] - sums[: -self.window]) / self.window


@dataclass(frozen=True)
class TokenMeasure:
    """Numbers of a trace from its tokens, with what they mean. NaN is unknown."""

    name: str
    unit: str
    direction: str
    """What a larger value says."""
    about: str
    compute: Callable[[Trajectory], Figures]
    needs: tuple[str, ...]
    """Columns of `Trajectory` without which it is unknown."""
    version: int = 1
    """Raised when the definition changes."""
    points: Callable[[Trajectory], dict[str, Column | None]] | None = None
    """Columns for the axis `token`."""

    def __call__(self, trajectory: Trajectory) -> Figures:
        return self.compute(trajectory)


def entropy_bounds(logprobs_T_K: Column, vocabulary: int | None) -> tuple[Column, Column]:
    """Lower and upper bound (nats) on the entropy of distributions of which the k most likely tokens are known.

    What is left, r, is spread over V - k tokens of at most p_k each: entropy is least where they are as large as can be,
    most where they are equal. With k = V both are the entropy. Without `vocabulary` the upper bound is unknown, NaN.

    >>> low, high = entropy_bounds(np.log([[0.5, 0.25, 0.25]]), 3)
    >>> float(low[0].round(6)), float(high[0].round(6))
    (1.039721, 1.039721)
    """
    p = np.exp(logprobs_T_K)
    own = -np.sum(np.where(p > 0, p * logprobs_T_K, 0.0), axis=1)
    rest = np.clip(1 - p.sum(axis=1), 0.0, None)
    left = vocabulary - logprobs_T_K.shape[1] if vocabulary is not None else None
    rest = np.zeros_like(rest) if left == 0 else rest
    with np.errstate(divide="ignore", invalid="ignore"):
        low = own - np.where(rest > 0, rest * np.log(np.minimum(rest, p.min(axis=1))), 0.0)
        if left is None:
            high = np.where(rest > 0, np.nan, own)
        else:
            high = own - np.where(rest > 0, rest * np.log(rest / max(left, 1)), 0.0) if left else own
    return low, high


def _mean(column: Column | None) -> float:
    """Mean of what is known; NaN where nothing is."""
    known = column[np.isfinite(column)] if column is not None else np.zeros(0)
    return float(known.mean()) if len(known) else float("nan")


def _surprisal(t: Trajectory) -> Figures:
    return {"surprisal": -_mean(t.logprob)}


def _entropy(t: Trajectory) -> Figures:
    if t.exact:
        return {"entropy": _mean(t.low)}
    return {"entropy-lower": _mean(t.low), "entropy-upper": _mean(t.high)}


def _entropy_points(t: Trajectory) -> dict[str, Column | None]:
    return {"entropy": t.low} if t.exact else {"entropy-lower": t.low, "entropy-upper": t.high}


def _confidence(t: Trajectory) -> Figures:
    return {"confidence": _mean(t.confidence)}


def _lowest(t: Trajectory) -> Figures:
    return {"confidence-lowest-group": float(t.groups.min()) if t.groups is not None else float("nan")}


def _bottom(t: Trajectory) -> Figures:
    if t.groups is None:
        return {"confidence-bottom-10": float("nan")}
    n = max(1, int(LOWEST * len(t.groups)))
    return {"confidence-bottom-10": float(np.partition(t.groups, n - 1)[:n].mean())}


def _tail(t: Trajectory) -> Figures:
    return {"confidence-tail": _mean(t.confidence[-t.window :] if t.confidence is not None else None)}


def _certainty(t: Trajectory) -> Figures:
    return {"self-certainty": _mean(t.certainty)}


def _propensity(t: Trajectory) -> Figures:
    return {f"propensity/{name}": _mean(column) for name, column in t.mass.items()}


def _propensity_points(t: Trajectory) -> dict[str, Column | None]:
    return {f"propensity/{name}": column for name, column in t.mass.items() if "/" not in name}


SURPRISAL = TokenMeasure(
    "surprisal",
    "nats per token",
    "the model finds its tokens less likely",
    "Minus the log-probability of the token that is there; over the trace their mean, the mean negative log-likelihood.",
    _surprisal,
    ("logprob",),
    points=lambda t: {"surprisal": -t.logprob if t.logprob is not None else None},
)
ENTROPY = TokenMeasure(
    "entropy",
    "nats",
    "the model is less certain of its next token",
    "Entropy of the next token before temperature, exact over the whole vocabulary; from top-k log-probabilities as "
    "`entropy-lower` and `entropy-upper`.",
    _entropy,
    ("low", "high"),
    points=_entropy_points,
)
CONFIDENCE = TokenMeasure(
    "confidence",
    "nats",
    "distributions are more peaked",
    "Minus the mean log-probability of the k most likely tokens, over the trace (DeepConf, arXiv 2508.15260). Ours "
    "differs: exactly k entries, where the released code adds the sampled token where it is not among them.",
    _confidence,
    ("confidence",),
    points=lambda t: {"confidence": t.confidence},
)
LOWEST_GROUP = TokenMeasure(
    "confidence-lowest-group",
    "nats",
    "its least confident stretch is more peaked",
    f"Least mean confidence of a window of {WINDOW:,} tokens (DeepConf); a shorter trace is one window. Set with --window.",
    _lowest,
    ("confidence",),
)
BOTTOM = TokenMeasure(
    "confidence-bottom-10",
    "nats",
    "its least confident stretches are more peaked",
    "Mean confidence of the least confident tenth of the windows, at least one (DeepConf).",
    _bottom,
    ("confidence",),
)
TAIL = TokenMeasure(
    "confidence-tail",
    "nats",
    "it ends more peaked",
    "Mean confidence of the last window of tokens (DeepConf).",
    _tail,
    ("confidence",),
)
CERTAINTY = TokenMeasure(
    "self-certainty",
    "nats",
    "distributions are farther from uniform",
    "Mean divergence of the uniform distribution over the vocabulary from the model's, KL(U || P) (arXiv 2502.18581).",
    _certainty,
    ("certainty",),
)
PROPENSITY = TokenMeasure(
    "propensity",
    "probability",
    "the model is readier to voice doubt, whether it does or not",
    "Probability of tokens that are a marker by themselves, at every position; of the lexicon's epistemic markers "
    "together and by category.",
    _propensity,
    ("mass",),
    points=_propensity_points,
)
