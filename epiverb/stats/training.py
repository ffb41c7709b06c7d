"""A training run by step: reward, length, markers, finished and right responses of each arm, with intervals over problems."""

from __future__ import annotations

import numpy as np
import polars as pl

from epiverb.stats.estimate import floats
from epiverb.stats.resample import Interval, Resampler

TRAINING = "training"
"""The arm of the responses that were trained on."""
FIGURES = ("reward", "accuracy", "finished", "length", "markers")
CURVES = {
    "arm": pl.String, "figure": pl.String, "step": pl.Int64, "value": pl.Float64, "lo": pl.Float64, "hi": pl.Float64,
    "n_traces": pl.Int64, "n_problems": pl.Int64,
}  # fmt: skip


def arm() -> pl.Expr:
    """The arm of a trace: `training`, the name of its probe, or its condition."""
    own = pl.col("condition").str.strip_prefix("probe/")
    return (
        pl.when(pl.col("condition").is_null() | (own == "rollout")).then(pl.lit(TRAINING)).otherwise(own).alias("arm")
    )


def curves(traces: pl.DataFrame, *, draws: int = 500, seed: int = 0) -> pl.DataFrame:
    """One row an arm, figure and step, in the columns of `CURVES`; what is not known of a step has no row.

    Reward, length (tokens where all are counted, else words) and the shares of right and of finished responses are means over
    problems; `markers` are epistemic markers per 1,000 words, of all words together.

    Args:
        traces: benchmark, problem_id, condition, step, status, correct, reward, n_tokens, n_words and n_markers.
    """
    counted = traces["n_tokens"].null_count() == 0
    problem = pl.struct("benchmark", "problem_id").rank("dense").cast(pl.Int64)
    known = pl.when(pl.col("problem_id").is_null()).then(-1).otherwise(problem).alias("problem")
    rows: list[tuple[object, ...]] = []
    placed = traces.filter(pl.col("step").is_not_null()).with_columns(arm(), known)
    for (name, step), part in placed.group_by("arm", "step", maintain_order=True):
        resampler = Resampler(part["problem"].to_numpy(), draws=draws, seed=seed)
        found: dict[str, Interval] = {
            "reward": resampler.mean(floats(part["reward"])),
            "accuracy": resampler.share(floats(part["correct"])),
            "finished": resampler.share((part["status"] == "complete").to_numpy()),
            "length": resampler.mean(part["n_tokens" if counted else "n_words"].to_numpy()),
            "markers": resampler.ratio(part["n_markers"].to_numpy(), part["n_words"].to_numpy(), scale=1000.0),
        }
        rows += [
            (name, figure, step, one.value, one.lo, one.hi, one.n_traces, one.n_problems)
            for figure, one in found.items()
            if one.value is not None and np.isfinite(one.value)
        ]
    return pl.DataFrame(rows, schema=CURVES, orient="row").sort("arm", "figure", "step", maintain_order=True)
