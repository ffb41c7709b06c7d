"""The figures of suppression pressure: by class, by marker, by token, and contexts ranked by the markers they take away."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl

from epiverb.schema import EPISTEMIC
from epiverb.stats.combine import combined
from epiverb.stats.resample import Floats
from epiverb.verbs.scoring.job import Job

FIGURES = ("kl", "reverse_kl", "jsd", "log_ratio")
MOST = 60
"""Rows of a table of words or tokens."""


def by_class(job: Job, traces: pl.DataFrame, sums: pl.DataFrame, names: list[str]) -> list[dict[str, Any]]:
    """A row for each class of tokens, and for `epistemic` and `all`: means a token, ratio to the mean, share of the total."""
    rows = traces.filter(pl.col("trace_id").is_in(sums["trace_id"].unique().to_list()))
    cells = {name: _cells(rows, sums.filter(pl.col("class") == name)) for name in (*names, "all")}
    cells["epistemic"] = np.sum([cells[name] for name in names if name in EPISTEMIC], axis=0)
    order = [
        *[name for name in names if name in EPISTEMIC],
        "epistemic",
        *[n for n in names if n not in EPISTEMIC],
        "all",
    ]
    return [_row(job, rows, name, cells[name], cells["all"]) for name in order if cells[name][:, 0].sum()]


def by_word(job: Job, traces: pl.DataFrame, sums: pl.DataFrame, words: pl.DataFrame) -> list[dict[str, Any]]:
    """A row for each epistemic marker that occurs, the most frequent first."""
    rows = traces.filter(pl.col("trace_id").is_in(sums["trace_id"].unique().to_list()))
    whole = _cells(rows, sums.filter(pl.col("class") == "all"))
    counts = words.group_by("class").agg(pl.col("n").sum()).sort("n", "class", descending=[True, False]).head(MOST)
    found = [
        _row(job, rows, name, _cells(rows, words.filter(pl.col("class") == name)), whole) for name in counts["class"]
    ]
    return [{"marker": row.pop("class"), **row} for row in found]


def by_token(tokens: dict[int, np.ndarray], tokenizer: Any) -> list[dict[str, Any]]:
    """A row for each token that stands in a marker, as in table 6 of arXiv 2603.24472: ` Wait` and `Wait` are two."""
    chosen = sorted(tokens.items(), key=lambda item: -item[1][0])[:MOST]
    return [
        {"token": tokenizer.decode([token]), "token_id": token, "n": int(row[0])}
        | {name: float(value / row[0]) for name, value in zip(FIGURES, row[1:], strict=True)}
        for token, row in chosen
    ]


def _cells(rows: pl.DataFrame, sums: pl.DataFrame) -> np.ndarray:
    """n and sums of the figures, a row for each of `rows`."""
    joined = rows.select("trace_id").join(
        sums.select("trace_id", "n", *FIGURES), on="trace_id", how="left", maintain_order="left"
    )
    return joined.drop("trace_id").fill_null(0).to_numpy().astype(np.float64)


def _row(job: Job, rows: pl.DataFrame, name: str, own: np.ndarray, whole: np.ndarray) -> dict[str, Any]:
    """Sums to figures. Columns of the table: n, four figures, and the same of all tokens."""
    resampler = job.resampler(rows)
    table = np.hstack([own, whole])
    figures = {figure: combined(resampler, own, _over(i + 1, 0)).as_dict() for i, figure in enumerate(FIGURES)}
    return {
        "class": name,
        "n": int(own[:, 0].sum()),
        "n_traces": int((own[:, 0] > 0).sum()),
        **figures,
        "ratio": combined(resampler, table, lambda s: (s[1] / s[0]) / (s[6] / s[5])).as_dict(),
        "token_share": combined(resampler, table, lambda s: s[0] / s[5]).as_dict(),
        "kl_share": combined(resampler, table, lambda s: s[1] / s[6]).as_dict(),
        "jsd_share": combined(resampler, table, lambda s: s[3] / s[8]).as_dict(),
    }


def _over(a: int, b: int) -> Callable[[Floats], Floats]:
    return lambda sums: sums[a] / sums[b]


def _change_in(a: int, b: int) -> Callable[[Floats], Floats]:
    return lambda sums: sums[a] / sums[b] - 1


def ranking(
    job: Job, traces: pl.DataFrame, sums: pl.DataFrame, contexts: list[str], sets: list[str]
) -> list[dict[str, Any]]:
    """A row for each context, the most suppressing first; all on the traces that every context could be shown with."""
    whole = sums.filter(pl.col("class") == "all")
    common = whole.group_by("trace_id").agg(pl.col("context").n_unique()).filter(pl.col("context") == len(contexts))
    rows = traces.filter(pl.col("trace_id").is_in(common["trace_id"].to_list()))
    if rows.is_empty():
        return []
    resampler = job.resampler(rows)
    masses = {name: _masses(rows, whole.filter(pl.col("context") == name), sets) for name in contexts}
    found: list[dict[str, Any]] = []
    for name, table in masses.items():
        figures = {
            "relative_change": combined(resampler, table, lambda s: s[2] / s[1] - 1),
            "mass_shift": combined(resampler, table, lambda s: 1000 * (s[2] - s[1]) / s[0]),
            "student_mass": combined(resampler, table, lambda s: 1000 * s[1] / s[0]),
            "teacher_mass": combined(resampler, table, lambda s: 1000 * s[2] / s[0]),
        }
        by = {
            sets[i].partition("/")[2]: combined(resampler, table, _change_in(2 + 2 * i, 1 + 2 * i)).as_dict()
            for i in range(1, len(sets))
        }
        row: dict[str, Any] = {"context": name, "n_traces": len(rows), "n_problems": resampler.n_problems}
        found.append(row | {key: interval.as_dict() for key, interval in figures.items()} | {"by_category": by})
    found.sort(key=lambda row: (row["relative_change"]["value"] is None, row["relative_change"]["value"]))
    for row, after in itertools.pairwise(found):
        both = np.hstack([masses[row["context"]][:, 1:3], masses[after["context"]][:, 1:3]])
        row["less_than_next"] = combined(resampler, both, lambda s: s[1] / s[0] - s[3] / s[2]).as_dict()
    return found


def _masses(rows: pl.DataFrame, whole: pl.DataFrame, sets: list[str]) -> np.ndarray:
    columns = [f"{who}_mass/{name}" for name in sets for who in ("student", "teacher")]
    joined = rows.select("trace_id").join(
        whole.select("trace_id", "n", *columns), on="trace_id", how="left", maintain_order="left"
    )
    return joined.drop("trace_id").to_numpy().astype(np.float64)


def sentence(ranked: list[dict[str, Any]]) -> str:
    """The ranking in words."""
    known = [row for row in ranked if row["relative_change"]["value"] is not None]
    if not known:
        return "No trace could be shown with every context, so the contexts are not ranked."
    first, last = known[0], known[-1]
    text = f"A teacher shown {first['context']} gives markers {_change(first)} as the student's own traces unfold"
    if len(known) > 1:
        text += f"; shown {last['context']}, {_change(last)}"
        gap = first["less_than_next"]
        apart = gap["hi"] is not None and gap["hi"] < 0
        text += f". {first['context'].capitalize()} is the one to expect the most suppression from"
        text += "" if apart else f", though these traces do not tell it from {known[1]['context']}"
    return f"{text} ({first['n_traces']} traces of {first['n_problems']} problems)."


def _change(row: dict[str, Any]) -> str:
    figure = row["relative_change"]
    value = figure["value"]
    bounds = "" if figure["lo"] is None else f" [{100 * figure['lo']:+.1f} % to {100 * figure['hi']:+.1f} %]"
    return f"{abs(100 * value):.1f} % {'less' if value < 0 else 'more'} probability{bounds}"
