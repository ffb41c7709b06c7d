"""A training run as a section of its report: what it did to markers, length and answers, step by step."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from epiverb.plots import training as plots
from epiverb.plots.style import axes, svg
from epiverb.report.html import bullets, figure, interval, spread, table
from epiverb.run import Run
from epiverb.schema import EPISTEMIC
from epiverb.stats.resample import Interval, Resampler
from epiverb.stats.training import TRAINING, curves

Figure = dict[str, Any]
TITLES = {
    "reward": "reward",
    "accuracy": "right",
    "finished": "finished",
    "length": "length",
    "markers": "markers per 1,000 words",
}
SHARES = ("accuracy", "finished")
SHOWN = 12
"""Rows of the table for each arm: the first step, the last, and some between."""
HEIGHT = 1.25
"""Inches of one curve."""


def section(run: Run, summary: Figure) -> str:
    """The section as HTML; nothing where the run's traces are not of several steps of a training."""
    name = next(iter(summary["lexicons"]))
    traces = traces_by_step(run, name)
    if traces["step"].n_unique() < 2:
        return ""
    rows = curves(traces)
    unit = "tokens" if traces["n_tokens"].null_count() == 0 else "words"
    divergence = _points(run, "divergence")
    return (
        "<h2>Training, step by step</h2>"
        + bullets(_told(run, traces, rows, name, unit))
        + f'<div class="figures">{_figure(rows, divergence, name, unit)}</div>'
        + f"<details><summary>Numbers by step</summary>{_tables(rows, unit)}</details>"
    )


def traces_by_step(run: Run, lexicon: str) -> pl.DataFrame:
    """What `stats.training.curves` needs of each trace that is of a step."""
    columns = (
        "trace_id",
        "benchmark",
        "problem_id",
        "condition",
        "step",
        "status",
        "correct",
        "reward",
        "n_tokens",
        "n_words",
    )
    traces = run.scan("traces").filter(pl.col("step").is_not_null()).select(columns)
    ours = (pl.col("lexicon") == lexicon) & pl.col("category").is_in(EPISTEMIC)
    counted = run.scan("hits").filter(ours).group_by("trace_id").agg(pl.len().alias("n_markers"))
    joined = traces.join(counted, on="trace_id", how="left", maintain_order="left")
    return joined.with_columns(pl.col("n_markers").fill_null(0).cast(pl.Int64)).collect()


def _points(run: Run, column: str) -> pl.DataFrame:
    """Means over tokens by step, on markers and on others: `group`, `x`, `value`."""
    name = pl.col("measure").str.strip_prefix(f"train/{column}/")
    found = run.scan("points").filter((pl.col("axis") == "train_step") & name.is_in(["markers", "others"]))
    return found.select(name.alias("group"), "x", "value").drop_nulls().sort("group", "x").collect()


def _pressed(run: Run, traces: pl.DataFrame) -> tuple[Interval, Interval, Interval] | None:
    """Divergence on markers, on others, and how many times the one the other is: means over problems; None where unknown."""
    names = ["train/divergence/markers", "train/divergence/others"]
    found = run.scan("values").filter(pl.col("measure").is_in(names)).select("trace_id", "measure", "value").collect()
    if found["measure"].n_unique() < 2:
        return None
    wide = found.pivot("measure", index="trace_id", values="value").drop_nulls(names)
    problem = pl.struct("benchmark", "problem_id").rank("dense").cast(pl.Int64).alias("problem")
    own = wide.join(traces.select("trace_id", problem), on="trace_id", how="inner", maintain_order="left")
    on, off = (own[name].to_numpy() for name in names)
    resampler = Resampler(own["problem"].to_numpy(), draws=500)
    return resampler.mean(on), resampler.mean(off), resampler.ratio(on, off, kind="value")


def _told(run: Run, traces: pl.DataFrame, rows: pl.DataFrame, lexicon: str, unit: str) -> list[str]:
    """From the first to the last step in words."""
    lines = []
    for arm in _arms(rows):
        own = rows.filter(arm=arm)
        steps = own["step"].unique().sort()
        if len(steps) < 2:
            continue
        parts = [_change(own, figure, unit) for figure in ("markers", "length", "accuracy", "finished")]
        where = "Responses that were trained on" if arm == TRAINING else f"The probe {arm}"
        lines.append(f"{where}, from step {steps[0]} to step {steps[-1]}: {'; '.join(filter(None, parts))}.")
    if pressed := _pressed(run, traces):
        on, off, ratio = (interval(one.as_dict()) for one in pressed)
        lines.append(
            f"The divergence from the teacher is {ratio} times as large on markers as on other tokens of the same responses: "
            f"{on} and {off} nats a token ({lexicon}; {pressed[0].n_traces:,} responses to {pressed[0].n_problems:,} problems)."
        )
    return lines


def _arms(rows: pl.DataFrame) -> list[str]:
    """The training first."""
    return sorted(rows["arm"].unique(), key=lambda name: (name != TRAINING, name))


def _change(own: pl.DataFrame, name: str, unit: str) -> str | None:
    part = own.filter(figure=name).sort("step")
    if len(part) < 2:
        return None
    first, last = (interval(part.row(at, named=True), share=name in SHARES) for at in (0, -1))
    title = f"{unit} a response" if name == "length" else TITLES[name]
    return f"{title} {first} → {last}"


def _figure(rows: pl.DataFrame, divergence: pl.DataFrame, lexicon: str, unit: str) -> str:
    """All curves below each other."""
    labels = {
        "reward": "reward",
        "length": unit,
        "markers": "markers / 1,000",
        "accuracy": "right",
        "finished": "finished",
    }
    probes = rows.filter(pl.col("arm") != TRAINING)
    wanted = {name: rows.filter(figure=name) for name in ("reward", "length", "markers")}
    wanted["reward"] = wanted["reward"].filter(arm=TRAINING)
    wanted["accuracy"] = (probes if "accuracy" in probes["figure"] else rows).filter(figure="accuracy")
    drawn = [name for name, part in wanted.items() if len(part)]
    n = len(drawn) + (len(divergence) > 0)
    fig, panels = axes(0.5 + HEIGHT * n, rows=n)
    for name, ax in zip(drawn, panels, strict=False):
        plots.curves(wanted[name], ax, label=labels[name], share=name in SHARES)
    if len(divergence):
        plots.tokens(divergence, panels[-1], label="divergence")
    plots.together(panels)
    arms = ", ".join(_arms(rows))
    note = (
        f"Means over problems with 95 % intervals; markers of {lexicon} per 1,000 words, divergence in nats a token. "
        f"A step is the number of updates that the model had had. Shown: {arms}."
    )
    described = "; ".join(_described(rows.filter(figure=name)) for name in drawn)
    return figure("Curves by step", note, svg(fig, "Curves by step", described))


def _described(rows: pl.DataFrame) -> str:
    """First and last value of each arm, as the text alternative."""
    told = []
    for (arm,), part in rows.sort("step").group_by("arm", maintain_order=True):
        told.append(f"{part['figure'][0]} of {arm} from {part['value'][0]:.3g} to {part['value'][-1]:.3g}")
    return ", ".join(told)


def _tables(rows: pl.DataFrame, unit: str) -> str:
    """One table an arm, at most `SHOWN` steps each."""
    drawn = []
    for arm in _arms(rows):
        own = rows.filter(arm=arm)
        names = [name for name in TITLES if name in own["figure"]]
        steps = own["step"].unique().sort().to_list()
        chosen = [steps[i] for i in np.unique(np.linspace(0, len(steps) - 1, SHOWN).round().astype(int))]
        lines = []
        for step in chosen:
            at = {row["figure"]: row for row in own.filter(step=step).iter_rows(named=True)}
            most = max(at.values(), key=lambda row: row["n_traces"])
            cells = [spread(at.get(name), share=name in SHARES) for name in names]
            lines.append((str(step), f"{most['n_traces']:,} / {most['n_problems']:,}", *cells))
        head = ("step", "responses / problems", *(unit if name == "length" else TITLES[name] for name in names))
        left = f"; {len(chosen)} of {len(steps)} steps" if len(chosen) < len(steps) else ""
        caption = "Responses that were trained on" if arm == TRAINING else f"Probe {arm}"
        drawn.append(table(f"{caption}{left}", head, lines))
    return "".join(drawn)
