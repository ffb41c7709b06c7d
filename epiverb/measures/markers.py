"""Tokens and markers: which tokens a hit covers, forks among them, and entropy before and after."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Covered:
    """Hits as spans of tokens."""

    first: Ints
    """Index of the first token of each hit that has any."""
    stop: Ints
    """Index behind its last one."""
    hit: Ints
    """Which hit each is."""
    n_lost: int
    """Hits that no token covers: they lie in text whose tokens are not known."""


def cover(start: Ints, end: Ints, hit_start: Ints, hit_end: Ints) -> Covered:
    """The tokens that overlap each hit. Tokens are in order; -1 marks one whose place in the text is not known.

    >>> cover(np.array([0, 4, 9]), np.array([4, 9, 10]), np.array([5]), np.array([9])).first.tolist()
    [1]
    """
    known = np.flatnonzero(start >= 0)
    first = np.searchsorted(end[known], hit_start, side="right")
    stop = np.searchsorted(start[known], hit_end, side="left")
    good = np.flatnonzero(first < stop)
    firsts = known[first[good]] if len(known) else first[:0]
    stops = known[stop[good] - 1] + 1 if len(known) else stop[:0]
    return Covered(firsts, stops, good, len(hit_start) - len(good))


def controls(begins: Mask, taken: Mask, places: Ints, alike: Mask, width: int, rng: np.random.Generator) -> Ints:
    """For each place another one in the same trace, of the same kind and near it, with no marker within `width`; -1 for none.

    Args:
        begins: tokens that begin a word.
        taken: tokens of markers.
        places: first tokens of the markers.
        alike: of every token, whether a sentence begins there; a control agrees with its marker in that.
    """
    near = np.convolve(taken.astype(np.int64), np.ones(2 * width + 1, np.int64), mode="same")[: len(taken)] > 0
    if len(taken) < 2 * width + 1:
        return np.full(len(places), -1)
    inside = np.arange(len(taken))
    free = begins & ~near & (inside >= width) & (inside < len(taken) - width)
    pools = {kind: np.flatnonzero(free & (alike == kind)) for kind in (False, True)}
    chosen = np.full(len(places), -1)
    for i in rng.permutation(len(places)):
        pool = pools[bool(alike[places[i]])]
        if not len(pool):
            continue
        at = min(int(np.searchsorted(pool, places[i])), len(pool) - 1)
        best = min((j for j in (at - 1, at) if j >= 0), key=lambda j: abs(int(pool[j]) - int(places[i])))
        chosen[i] = pool[best]
        pools[bool(alike[places[i]])] = np.delete(pool, best)  # each stands in once
    return chosen


def around(series: Floats, places: Ints, width: int) -> Floats:
    """`series` from `width` before each place to `width` behind it: (places, 2 width + 1); NaN beyond the trace's ends."""
    at = places[:, None] + np.arange(-width, width + 1)
    inside = (at >= 0) & (at < len(series))
    return np.where(inside, series[np.clip(at, 0, len(series) - 1)], np.nan)
