"""What beliefs say over a run: information gained by kind of sentence, what EAT would have saved, means of each measure.

Every figure is a mean over problems of their means, resampled by problem. Epistemic sentences stand where a model is
unsure and procedural ones where it computes, so that what each kind gains is an association: no sentence was put in or
taken out. The companion paper (arXiv 2603.15500, 5) assumes what is measured here, that verbalised doubt gains information.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from epiverb.stats.bootstrap import Estimate, null, resample
from epiverb.stats.problems import Array, weighted_mean

if TYPE_CHECKING:
    import polars as pl

KINDS = ("epistemic", "procedural", "other")
N_DRAWS = 2_000
CAUSAL = (
    "Gains by kind of sentence are associations: epistemic sentences stand where the model is unsure. Only putting "
    "sentences in or taking them out tells what they do."
)
_PROBLEM = ("benchmark", "problem_id")


def mean_table(
    frame: pl.DataFrame,
    columns: Sequence[str],
    *,
    differences: Mapping[str, tuple[str, str]] | None = None,
    seed: int = 0,
    n_draws: int = N_DRAWS,
) -> dict[str, Estimate]:
    """Each column's mean over problems, and differences of two columns over the problems that have both.

    Args:
        frame: rows with `benchmark`, `problem_id` and the columns; null and NaN are unknown.
        differences: name -> (column, column taken from it).
    """
    import polars as pl

    known = frame.filter(pl.col("problem_id").is_not_null())
    means = known.group_by(_PROBLEM).agg(pl.col(columns).cast(pl.Float64).fill_nan(None).mean()).sort(_PROBLEM)
    values = {name: means[name].fill_null(np.nan).to_numpy() for name in columns}
    for name, (more, less) in (differences or {}).items():
        values[name] = values[more] - values[less]
    if not len(means):
        return {name: null("no problem.") | {"n_problems": 0} for name in values}
    # Benchmarks are resampled together here: a problem counts once, whichever it belongs to.
    table = np.stack(list(values.values()), axis=1)
    counts = np.isfinite(table).sum(0)

    def statistic(weights: Array) -> Array:
        return weighted_mean(table, weights)

    found = resample(statistic, [len(table)], seed=seed, n_draws=n_draws)
    return {
        name: found.estimate(i, n=int(counts[i]), undefined="it is unknown for every problem.")
        | {"n_problems": int(counts[i])}
        for i, name in enumerate(values)
    }


def gains_by_kind(sentences: pl.DataFrame, *, seed: int = 0, n_draws: int = N_DRAWS) -> dict[str, Any]:
    """The `gains` block: nats that a sentence of each kind gains about the answer, and on the right one, by problem.

    Args:
        sentences: a row a sentence: `benchmark, problem_id, kind, gain, gold_gain`; kinds are those of `KINDS`.
    """
    import polars as pl

    wide = sentences.select(
        *_PROBLEM,
        *(pl.when(pl.col("kind") == kind).then(pl.col(column)).alias(f"{column}/{kind}")
          for column in ("gain", "gold_gain") for kind in KINDS),
    )  # fmt: skip
    block: dict[str, Any] = {"unit": "nats a sentence", "association": CAUSAL}
    for column in ("gain", "gold_gain"):
        names = [f"{column}/{kind}" for kind in KINDS]
        told = mean_table(
            wide, names, differences={"difference": (names[0], names[1])}, seed=seed, n_draws=n_draws
        )  # fmt: skip
        block[column] = {name.rpartition("/")[2]: figure for name, figure in told.items()}
    counts = sentences.group_by("kind").len()
    block["n_sentences"] = {kind: dict(counts.iter_rows()).get(kind, 0) for kind in KINDS}
    return block


def stopping(traces: pl.DataFrame, deltas: Sequence[float], *, seed: int = 0, n_draws: int = N_DRAWS) -> dict[str, Any]:
    """The `eat` block: for each threshold the tokens read, the accuracy there, and what it costs against the end.

    Args:
        traces: a row a trace: `benchmark, problem_id, belief-forced-right` and for each threshold `eat-stop/D` and
            `eat-stop-right/D`.
    """
    rows = []
    for delta in deltas:
        share, right = f"eat-stop/{delta:g}", f"eat-stop-right/{delta:g}"
        if share not in traces.columns:
            continue
        told = mean_table(
            traces,
            [share, right, "belief-forced-right"],
            differences={"cost": (right, "belief-forced-right")},
            seed=seed,
            n_draws=n_draws,
        )
        stopped = int((traces[share] < 1).sum())
        figures = {"tokens": told[share], "accuracy": told[right], "cost": told["cost"]}
        rows.append({"delta": delta, "n_stopped": stopped} | figures)
    end = mean_table(traces, ["belief-forced-right"], seed=seed, n_draws=n_draws)["belief-forced-right"]
    return {"accuracy_at_end": end, "rows": rows}
