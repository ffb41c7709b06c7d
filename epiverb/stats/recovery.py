"""Do continuations of wrong traces come out right? By fraction and phrase, against the neutral phrase.

Two readings of one experiment, since the published study does not say which it took. `mean`: the share of continuations
that are right, each trace alike. `any`: the share of traces of which at least one continuation is right, which grows with
the number of continuations. Problems are resampled, not traces, and one set of draws serves all cells, so that
differences between phrases are paired.

Source: arXiv 2603.15500 v2, section 4.1. Ours differs: a neutral phrase of the same length beside the empty one.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from epiverb.errors import DataError
from epiverb.stats.bootstrap import N_DRAWS, Resampled, resample
from epiverb.stats.problems import Array, require

if TYPE_CHECKING:
    import polars as pl

COLUMNS = ("problem_id", "original_trace", "fraction", "phrase", "correct")
READINGS = ("mean", "any")


def recovery(
    continuations: pl.DataFrame, *, controls: Sequence[str] = ("none", "next"), originally: bool = False, seed: int = 0,
    n_draws: int = N_DRAWS,
) -> dict[str, Any]:  # fmt: skip
    """Recovery rate of every fraction and phrase, with 95 % intervals, and each phrase less each control.

    Args:
        continuations: one row a continuation: `problem_id, original_trace, fraction, phrase, correct` (boolean; null:
            not graded), and where known `benchmark` and `original_correct`.
        controls: phrases to compare the others with, those of them that are there.
        originally: False: of traces that were wrong; True: of those that were right (how many stay right).

    Returns:
        `rows`: one a fraction and phrase: `fraction, phrase, n_problems, n_traces, n_continuations, n_unknown,
        continuations_per_trace (fewest, most)`, and `mean` and `any`, each `{value, lo, hi}`. `differences`: the same of
        `phrase` less `control` at one fraction, each on its own traces; `n_problems` have both. `notes`: what was left
        out, in words.

    Raises:
        DataError: a column is missing, or no trace is left.
    """
    traces, notes = _traces(continuations, originally)
    problems = traces.select("benchmark", "problem_id").unique().sort("benchmark", "problem_id").with_row_index("at")
    traces = traces.join(problems, on=["benchmark", "problem_id"])
    cells = traces.select("fraction", "phrase").unique().sort("fraction", "phrase")
    sizes = problems.group_by("benchmark", maintain_order=True).len()["len"].to_list()
    sums = np.stack([_sums(traces, *cell, n=len(problems)) for cell in cells.iter_rows()])  # (cells, P, 3)
    drawn = {
        reading: resample(partial(_rate, sums=sums, k=k), sizes, seed=seed, n_draws=n_draws)
        for k, reading in enumerate(READINGS)
    }
    keys = list(cells.iter_rows())
    rows = [_row(traces, cell, i, sums, drawn) for i, cell in enumerate(keys)]
    differences = [
        _difference(fraction, phrase, control, keys, sums, drawn)
        for fraction, phrase in keys
        for control in controls
        if phrase not in controls and (fraction, control) in keys
    ]
    return {
        "originally": "right" if originally else "wrong",
        "n_problems": len(problems),
        "seed": seed,
        "rows": rows,
        "differences": differences,
        "notes": notes,
    }


def _traces(frame: pl.DataFrame, originally: bool) -> tuple[pl.DataFrame, list[str]]:
    """One row a trace, fraction and phrase: share of right continuations, whether any is, and how many."""
    import polars as pl

    require(frame, COLUMNS, "continuations")
    notes = []
    if "original_correct" in frame.columns:
        kept = frame.filter(pl.col("original_correct") == originally)
        if len(kept) < len(frame):
            notes.append(f"{len(frame) - len(kept)} of {len(frame)} continuations are of other traces; not counted.")
        frame = kept
    unknown = int(frame["correct"].is_null().sum())
    if unknown:
        notes.append(f"{unknown} of {len(frame)} continuations are not graded; rates are of the graded ones.")
    benchmark = pl.col("benchmark").fill_null("") if "benchmark" in frame.columns else pl.lit("")
    right = pl.col("correct").cast(pl.Float64)
    traces = (
        frame.with_columns(benchmark.alias("benchmark"), pl.col("fraction").cast(pl.Float64))
        .group_by("benchmark", "problem_id", "original_trace", "fraction", "phrase")
        .agg(
            right.mean().alias("mean"),
            right.max().alias("any"),
            right.count().alias("n"),
            right.is_null().sum().alias("n_unknown"),
        )
    )
    if not len(traces) or not traces["n"].sum():
        raise DataError(f"recovery: no graded continuation of a trace that was {'right' if originally else 'wrong'}.")
    return traces, notes


def _sums(traces: pl.DataFrame, fraction: float, phrase: str, *, n: int) -> Array:
    """(P, 3): sums of `mean` and `any` over the traces of each problem, and how many traces those are."""
    import polars as pl

    cell = traces.filter((pl.col("fraction") == fraction) & (pl.col("phrase") == phrase) & (pl.col("n") > 0))
    table = np.zeros((n, 3))
    values = np.column_stack([cell["mean"].to_numpy(), cell["any"].to_numpy(), np.ones(len(cell))])
    np.add.at(table, cell["at"].to_numpy(), values)
    return table


def _rate(weights: Array, sums: Array, k: int) -> Array:
    """Rate of every cell under weights (N, P): weighted sum over weighted number of traces, (N, cells)."""
    right, traces = weights @ sums[:, :, k].T, weights @ sums[:, :, 2].T
    return np.divide(right, traces, out=np.full(right.shape, np.nan), where=traces > 0)


def _row(
    traces: pl.DataFrame, cell: tuple[float, str], i: int, sums: Array, drawn: dict[str, Resampled]
) -> dict[str, Any]:
    import polars as pl

    own = traces.filter((pl.col("fraction") == cell[0]) & (pl.col("phrase") == cell[1]))
    n = int((sums[i, :, 2] > 0).sum())
    return {
        "fraction": cell[0],
        "phrase": cell[1],
        "n_problems": n,
        "n_traces": int(sums[i, :, 2].sum()),
        "n_continuations": int(own["n"].sum()),
        "n_unknown": int(own["n_unknown"].sum()),
        "continuations_per_trace": [int(own["n"].min()), int(own["n"].max())],  # type: ignore[arg-type]
        **{reading: drawn[reading].estimate(i, n=n) for reading in READINGS},
    }


def _difference(
    fraction: float, phrase: str, control: str, keys: list[tuple[Any, ...]], sums: Array, drawn: dict[str, Resampled]
) -> dict[str, Any]:
    i, j = keys.index((fraction, phrase)), keys.index((fraction, control))
    n = int(((sums[i, :, 2] > 0) & (sums[j, :, 2] > 0)).sum())
    gaps = {reading: drawn[reading].pick([i]).minus(drawn[reading].pick([j])) for reading in READINGS}
    return {
        "fraction": fraction,
        "phrase": phrase,
        "control": control,
        "n_problems": n,
        **{reading: gap.estimate(0, n=n) for reading, gap in gaps.items()},
    }
