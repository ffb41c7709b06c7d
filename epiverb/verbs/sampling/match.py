"""Two sets of responses made alike in all but what they are compared for: paired by problem, of one size, of one length."""

from __future__ import annotations

import numpy as np
import polars as pl

Sets = tuple[pl.DataFrame, pl.DataFrame]
PROBLEM = ("benchmark", "problem_id")


def paired(
    one: pl.DataFrame, other: pl.DataFrame, *, per_problem: int | None, size: int | None, rng: np.random.Generator
) -> Sets:
    """As many responses of each problem in one set as in the other, drawn at random.

    Args:
        per_problem: at most this many of each problem.
        size: at most this many in each set; every problem comes once before any comes twice.
    """
    ranked = [_ranked(frame, rng) for frame in (one, other)]
    counts = [frame.group_by(PROBLEM).agg(pl.len().alias("n")) for frame in ranked]
    both = counts[0].join(counts[1], on=PROBLEM, nulls_equal=True, suffix="_other")
    most = both.select(*PROBLEM, pl.min_horizontal("n", "n_other", pl.lit(per_problem)).alias("most"))
    most = most.sort(PROBLEM)
    most = most.with_columns(pl.Series("place", rng.permutation(len(most))))
    kept = [
        frame.join(most, on=PROBLEM, nulls_equal=True).filter(pl.col("rank") < pl.col("most")).sort("rank", "place")
        for frame in ranked
    ]
    return tuple(frame.head(size or len(frame)).select(one.columns) for frame in kept)  # type: ignore[return-value]


def _ranked(frame: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """`frame` with the place of each row among those of its problem, at random."""
    shuffled = frame[rng.permutation(len(frame))]
    return shuffled.with_columns(pl.int_range(pl.len()).over(PROBLEM).alias("rank"))


def by_tokens(one: pl.DataFrame, other: pl.DataFrame, *, rng: np.random.Generator) -> Sets:
    """The same total of tokens: the larger set loses responses at random until it has no more than the smaller one."""
    budget = min(int(one["n_tokens"].sum()), int(other["n_tokens"].sum()))
    return _within(one, budget, rng), _within(other, budget, rng)


def _within(frame: pl.DataFrame, budget: int, rng: np.random.Generator) -> pl.DataFrame:
    """Rows that have at most `budget` tokens together: each problem once before any twice, whatever still fits."""
    if int(frame["n_tokens"].sum()) <= budget:
        return frame
    ranked = _ranked(frame, rng).with_columns(pl.Series("place", rng.permutation(len(frame)))).sort("rank", "place")
    left, kept = budget, []
    for index, tokens in enumerate(ranked["n_tokens"]):
        if tokens <= left:
            kept.append(index)
            left -= tokens
    return ranked[kept].select(frame.columns)


def by_length(
    one: pl.DataFrame, other: pl.DataFrame, *, caliper: float, size: int | None, rng: np.random.Generator
) -> Sets:
    """The same distribution of lengths: the most pairs of a response of each set whose tokens differ by at most `caliper`.

    Pairs are of any two problems, since the responses to one problem seldom overlap in length. Going up both sorted sets
    and pairing what is close enough leaves the fewest unpaired.
    """
    ordered = [frame.sort("n_tokens", maintain_order=True) for frame in (one, other)]
    lengths = [frame["n_tokens"].to_list() for frame in ordered]
    i = j = 0
    pairs: list[tuple[int, int]] = []
    while i < len(lengths[0]) and j < len(lengths[1]):
        a, b = lengths[0][i], lengths[1][j]
        if abs(a - b) <= caliper * max(a, b):
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif a < b:
            i += 1
        else:
            j += 1
    chosen = rng.permutation(len(pairs))[: size or len(pairs)]
    return tuple(ordered[k][[pairs[index][k] for index in chosen]] for k in (0, 1))  # type: ignore[return-value]
