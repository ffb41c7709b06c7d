"""The table at the end of `sample`, `sample --ladder` and `eval`: one row an arm or benchmark, every figure with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from epiverb.verbs.summary import grouped

if TYPE_CHECKING:
    from epiverb.text.lexicon import Lexicon
    from epiverb.verbs.summary import Digest


def table_rows(
    digest: Digest, lexes: Sequence[Lexicon], by: Sequence[str], order: Sequence[str], *, draws: int, seed: int
) -> list[dict[str, Any]]:
    """A row for each group of traces that agree in the columns `by`; samples that failed are counted, and in no figure.

    Args:
        order: the conditions that have rows, in their order.
    """
    place = {condition: index for index, condition in enumerate(order)}
    traces = digest.traces.with_row_index("row").filter(pl.col("condition").is_in(order))
    failed = traces.filter(pl.col("status") == "missing").group_by(by).len().iter_rows()
    failures = {tuple(key): n for *key, n in failed}
    there = traces.filter(pl.col("status") != "missing")
    counts = digest.counts.join(there.select("row").with_row_index("new"), on="row").drop("row").rename({"new": "row"})
    groups = grouped(there.drop("row"), counts, lexes, by, draws=draws, seed=seed)
    if "condition" in by:
        groups.sort(key=lambda group: place[group["condition"]])
    return [_row(group, by, failures) for group in groups]


def _row(group: dict[str, Any], by: Sequence[str], failures: dict[tuple[Any, ...], int]) -> dict[str, Any]:
    accuracy = group["accuracy"] or {}
    score = {key: accuracy[key] for key in ("value", "lo", "hi", "n_unknown") if key in accuracy} or None
    done = group["status"]["complete"] / group["n_traces"]
    return {
        **{key: group[key] for key in by},
        "n_problems": group["n_problems"],
        "n_traces": group["n_traces"],
        "n_failed": failures.get(tuple(group[key] for key in by), 0),
        "score": score,
        "pass_at_k": group["pass_at_k"],
        "finished": accuracy.get("finished") or {"value": done, "lo": None, "hi": None},
        "given_finished": accuracy.get("given_finished"),
        "tokens": group["tokens"],
        "words": group["words"],
        "markers": {
            name: {key: block.get(key) for key in ("per_trace", "per_1k_tokens", "per_1k_words")}
            for name, block in group["lexicons"].items()
        },
    }
