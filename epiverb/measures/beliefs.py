"""What a model would answer as its thinking goes on: beliefs over candidate answers, and what follows from them.

`Beliefs` hold, for one trace, a distribution over its problem's candidate answers at the start of the thinking and behind
each of its sentences (or steps). The reasoning is self-Bayesian: no evidence comes in, so that information is gained only
as the model's own distribution sharpens (arXiv 2603.15500, section 3.1). Distributions are over the candidates alone, a
closed world; `belief-coverage` says how much of the model's probability they hold.

Everything here is arithmetic on those distributions, whoever made them: `models.beliefs` by scoring the candidates, an
engine by sampling answers, or a toy whose posterior is known.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial

import numpy as np

from epiverb.measures.base import Column, Ints, Mask

WINDOW = 3
"""Sentences, the marked one included, within which an answer counts as changed by it."""
SURE = 1e-12


@dataclass(frozen=True)
class Beliefs:
    """Beliefs along one trace: entry 0 stands before the thinking, entry n behind its nth sentence."""

    p_N_K: Column
    """Probabilities of the candidates, each row 1 in all; NaN where the model gave none."""
    right_K: Mask
    """Which candidates are right; none of them where that is not known."""
    own: int | None = None
    """The candidate that the trace answers in the end."""
    marked_N: Mask = field(default_factory=lambda: np.zeros(0, bool))
    """Whether each sentence (entry 0: none) holds an epistemic marker."""
    procedural_N: Mask = field(default_factory=lambda: np.zeros(0, bool))
    """Whether it holds a procedural word and no epistemic marker."""
    tokens_N: Column = field(default_factory=lambda: np.zeros(0))
    """Tokens of the thinking up to there."""
    coverage_N: Column | None = None
    """The model's probability of all candidates together; None: not known (sampled)."""
    eat_N: Column | None = None
    """Entropy behind the closing tag, nats."""
    asked_N: Column | None = None
    """Entropy of the first token of the answer, nats."""
    mean_N_K: Column | None = None
    """Probabilities by the mean log-probability a token, instead of the sum."""
    single_N: Mask = field(default_factory=lambda: np.zeros(0, bool))
    """Whether one sentence alone lies between an entry and the one before."""

    @property
    def steps(self) -> int:
        """Sentences; the beliefs have one entry more."""
        return len(self.p_N_K) - 1

    @cached_property
    def known(self) -> bool:
        """Whether every entry has a distribution."""
        return len(self.p_N_K) > 0 and bool(np.isfinite(self.p_N_K).all())

    @cached_property
    def entropy_N(self) -> Column:
        """Entropy over the candidates in nats."""
        return entropy(self.p_N_K)

    @cached_property
    def leader_N(self) -> Ints:
        """The likeliest candidate; among equals the one that led before, else the first."""
        return leaders(self.p_N_K)

    @cached_property
    def gold_N(self) -> Column:
        """Probability of the right answers; NaN where it is not known which are."""
        return self.p_N_K[:, self.right_K].sum(1) if self.right_K.any() else np.full(len(self.p_N_K), np.nan)

    @cached_property
    def commit(self) -> int:
        """The first entry from which on the leader stays the last one's."""
        other = np.flatnonzero(self.leader_N != self.leader_N[-1])
        return int(other[-1]) + 1 if len(other) else 0


def entropy(p: Column) -> Column:
    """Entropy in nats along the last axis."""
    return -np.sum(p * np.log(p, out=np.zeros_like(p), where=p > 0), axis=-1)


def closed_world(logp_N_K: Column) -> Column:
    """Probabilities among the candidates alone, from their natural log-probabilities; NaN where one of them is unknown."""
    shifted = logp_N_K - logp_N_K.max(axis=1, keepdims=True)
    weight = np.exp(shifted)
    return weight / weight.sum(axis=1, keepdims=True)


def leaders(p_N_K: Column) -> Ints:
    """The likeliest candidate of each row; among equals the one that led before, else the first."""
    led = np.zeros(len(p_N_K), dtype=np.int64)
    for n, p in enumerate(p_N_K):
        ahead = p >= p.max() - SURE
        led[n] = led[n - 1] if n and ahead[led[n - 1]] else int(np.argmax(ahead))
    return led


def changes(beliefs: Beliefs, window: int = WINDOW) -> tuple[Ints, Ints, Mask]:
    """Marked sentences, their matched controls, and for every sentence whether the leader changes within the window.

    A sentence n changes the answer where one of the beliefs n to n + window - 1 has another leader than belief n - 1.
    The control of a marked sentence is the nearest sentence of the same trace that has no marker and is no control yet
    (the earlier one of two); markers that find none are left out.
    """
    leader, steps = beliefs.leader_N, beliefs.steps
    changed = np.zeros(steps + 1, bool)
    for ahead in range(window):
        n = np.arange(1, steps + 1 - ahead)
        changed[n] |= leader[n + ahead] != leader[n - 1]
    free = np.flatnonzero(~beliefs.marked_N[: steps + 1])[1:].tolist()  # entry 0 is no sentence
    pairs = []
    marked: list[int] = np.flatnonzero(beliefs.marked_N[: steps + 1]).tolist()
    for at in marked:
        if not free:
            break
        right = bisect(free, at)
        near = free[max(right - 1, 0) : right + 1]
        free.remove(nearest := min(near, key=partial(_distance, at)))
        pairs.append((at, nearest))
    told = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return told[:, 0], told[:, 1], changed


def _distance(here: int, there: int) -> tuple[int, int]:
    return abs(there - here), there


def eat_stop(eat: Column, *, alpha: float = 0.2, delta: float = 1e-4, warm: int = 25) -> int | None:
    """The entry at which the EAT rule would have stopped the thinking; None: nowhere.

    M_n = (1 - a) M_{n-1} + a EAT_n and V_n = (1 - a) V_{n-1} + a (EAT_n - M_n)^2, from M_0 = EAT_0 and V_0 = 0; stop
    where V_n < delta and more than `warm` steps are done.

    Source: arXiv 2509.26522; xidulu/EAT@93a46f7:early_stopping_utils.py (`choose_early_stop_point`), whose index is one
    less, and whose series begins behind the first step; ours begins before it.
    """
    mean, variance = float(eat[0]) if len(eat) else 0.0, 0.0
    for n in range(1, len(eat)):
        mean = alpha * float(eat[n]) + (1 - alpha) * mean
        variance = alpha * (float(eat[n]) - mean) ** 2 + (1 - alpha) * variance
        if n > warm and variance < delta:
            return n
    return None


Number = float | Column


@dataclass(frozen=True)
class BeliefMeasure:
    """A number for a trace, or one for each of its sentences, from its beliefs. NaN is unknown."""

    name: str
    unit: str
    direction: str
    """What a larger value says."""
    about: str
    compute: Callable[[Beliefs], Number]
    needs: tuple[str, ...] = ("beliefs",)
    """What must be there: `beliefs`; `gold`; `own`, the trace's answer; `hits`; `eat`."""
    version: int = 1
    axis: str | None = None
    """`sentence`: an entry a belief, from 0."""

    def __call__(self, beliefs: Beliefs) -> Number:
        return self.compute(beliefs)
