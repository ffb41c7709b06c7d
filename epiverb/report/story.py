"""The page of `epiverb demo`: the effect in pictures, from what a solution does to a response to what training makes of it.

Every sentence is made from the numbers of this run; where they say something else, so does the page.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from epiverb.plots import link as linked
from epiverb.plots import training as plots
from epiverb.plots.ladder import Dot, dots, told
from epiverb.plots.style import BASE, INK, PALETTE, RUN, axes, svg
from epiverb.report import pairs as side_by_side
from epiverb.report.html import bullets, figure, notice, page, part, prose, table, text
from epiverb.report.training import traces_by_step
from epiverb.run import Run
from epiverb.stats.training import TRAINING, curves

Block = dict[str, Any]
COLOURS = {"base": BASE, "GRPO": PALETTE["verification"], "SDPO": RUN}
CAUTION = (
    "A small world of puzzles and one training seed. Brackets are 95 % intervals from resampling problems; another seed is not "
    "in them: epiverb claims has several. How a shown solution is read was put into this model; what training on such "
    "readings does to it was not. Directions may carry over to large models, sizes do not."
)
LADDER = {"score": ("right", True), "tokens": ("tokens a response", False), "markers": ("markers a response", False)}


@dataclass(frozen=True)
class Story:
    """What the page tells of."""

    ladder: Run
    """The base under several contexts, with its pressure."""
    pressure: Block | None
    """What `score --pressure` found on the base's own responses."""
    evals: dict[str, Run]
    """`base` and each method -> its run on the benchmarks."""
    trainings: dict[str, Run]
    """Method -> its training run."""
    link: Block
    """`link` of the base with each method."""
    lexicon: str
    domains: dict[str, str]
    """Benchmark -> `id` or `ood`."""
    commands: Sequence[str]
    minutes: float


def write(story: Story, out: Path) -> Path:
    """Write the page; its path comes back."""
    names = list(story.evals)
    shown = side_by_side.collect(list(story.evals.values()), story.lexicon, max_traces=400)
    whole = page(
        title="epiverb: suppression in a small world",
        subtitle=f"Trained in {story.minutes:.0f} minutes: what the paper's effect looks like",
        body="".join(_body(story)),
        viewer=part("pairs", shown=text(f"{shown.told(names)} Markers of {story.lexicon}."), pages=""),
        script="pairs",
        data=side_by_side.data(shown, 0, names, [out.name]),
    )
    out.write_text(whole, "utf-8")
    return out


def _body(story: Story) -> Iterator[str]:
    outcomes = outcome_rows(story)
    yield f'<p class="lead">{prose(lead(outcomes))}</p>{bullets(story.link["findings"])}'
    yield notice("Mind", [CAUTION])
    yield "<h2>1. What a shown solution does, before any training</h2>"
    yield f'<div class="figures">{_ladder(story.ladder.summary["table"]["rows"], story.lexicon)}</div>'
    if story.pressure:
        yield "<h2>2. What self-distillation asks for</h2>"
        yield f'<p class="lead">{prose(story.pressure["sentence"])}</p>'
    yield "<h2>3. Two trainings, step by step</h2>"
    yield f'<div class="figures">{_courses(story)}</div>'
    yield "<h2>4. What they did, on puzzles of the kind that was trained and of other kinds</h2>"
    yield f'<div class="figures">{_outcomes(outcomes)}{_changes(story.link)}</div>'
    yield _numbers(outcomes)
    yield "<h2>How this was made</h2><details><summary>The commands</summary><pre>"
    yield f"{text(chr(10).join(story.commands))}</pre></details>"


def outcome_rows(story: Story) -> list[Block]:
    """One row a model and benchmark: right, finished, tokens, markers, each `{value, lo, hi}`."""
    rows = []
    for model, run in story.evals.items():
        for row in run.summary["table"]["rows"]:
            name = row["benchmark"]
            figures = {key: row[key] for key in ("score", "finished", "tokens")}
            figures["markers"] = row["markers"][story.lexicon]["per_trace"]
            rows.append({"model": model, "benchmark": name, "domain": story.domains.get(name, "ood"), **figures})
    return rows


def lead(rows: Sequence[Block]) -> str:
    """What became of markers and accuracy, in a sentence a method."""
    base = {row["benchmark"]: row for row in rows if row["model"] == "base"}
    said = []
    for model in dict.fromkeys(row["model"] for row in rows if row["model"] != "base"):
        own = [row for row in rows if row["model"] == model]
        trained = next(row for row in own if row["domain"] == "id")
        others = [row for row in own if row["domain"] != "id"]
        was = base[trained["benchmark"]]
        drop = [100 * (row["score"]["value"] - base[row["benchmark"]]["score"]["value"]) for row in others]
        said.append(
            f"After {model} a response to the trained kind of puzzle has {trained['markers']['value']:.1f} markers "
            f"(before {was['markers']['value']:.1f}) and {100 * trained['score']['value']:.0f} % are right "
            f"(before {100 * was['score']['value']:.0f} %); on other kinds accuracy changed by "
            f"{', '.join(f'{d:+.0f}' for d in drop)} points."
        )
    return " ".join(said)


def _ladder(rows: Sequence[Block], lexicon: str) -> str:
    """Right, tokens and markers under each context, one panel below the other."""
    fig, panels = axes(0.5 + 3 * (0.42 + 0.2 * len(rows)), rows=3)
    spoken = []
    for (key, (label, share)), ax in zip(LADDER.items(), panels, strict=True):
        drawn = [Dot(row["condition"], **_bounds(_figure(row, key, lexicon)), colour=INK) for row in rows]
        dots(drawn, ax, label=label, share=share)
        spoken.append(f"{label}: " + ", ".join(f"{dot.label} {told(dot, share=share)}" for dot in drawn))
    fig.align_ylabels(panels)
    n = rows[0]["n_problems"]
    note = f"The untrained base on {n} puzzles, shown nothing or more and more of a solution. Markers of {lexicon}."
    return figure("The ladder of contexts", note, svg(fig, "The ladder of contexts", "; ".join(spoken)))


def _figure(row: Block, key: str, lexicon: str) -> Block:
    return row["markers"][lexicon]["per_trace"] if key == "markers" else row[key]


def _bounds(block: Block) -> dict[str, Any]:
    return {key: block.get(key) for key in ("value", "lo", "hi")}


def _courses(story: Story) -> str:
    """Markers, length and accuracy by step: rollouts of each method, and its probes."""
    tables = {name: curves(traces_by_step(run, story.lexicon)) for name, run in story.trainings.items()}
    return "".join(
        [
            _course(
                "Rollouts", tables, {"markers": "markers / 1,000", "length": "tokens", "reward": "reward"}, TRAINING
            ),
            _course("Probe on the trained kind", tables, {"accuracy": "right", "markers": "markers / 1,000"}, "id"),
            _course("Probe on another kind", tables, {"accuracy": "right", "markers": "markers / 1,000"}, "ood"),
        ]
    )


def _course(title: str, tables: dict[str, pl.DataFrame], figures: dict[str, str], arm: str) -> str:
    rows = pl.concat(table.filter(arm=arm).with_columns(arm=pl.lit(name)) for name, table in tables.items())
    if rows.is_empty():
        return ""
    drawn = [name for name in figures if len(rows.filter(figure=name))]
    fig, panels = axes(0.5 + 1.25 * len(drawn), rows=len(drawn))
    for name, ax in zip(drawn, panels, strict=True):
        plots.curves(rows.filter(figure=name), ax, label=figures[name], share=name == "accuracy", colours=COLOURS)
    plots.together(panels)
    note = "Means over problems with 95 % intervals. A step is the number of updates that the model had had."
    return figure(title, note, svg(fig, title, "; ".join(_spoken(rows, name) for name in drawn)))


def _spoken(rows: pl.DataFrame, name: str) -> str:
    own = rows.filter(figure=name).sort("step")
    parts = own.group_by("arm", maintain_order=True).agg(first=pl.first("value"), last=pl.last("value")).rows()
    return f"{name}: " + ", ".join(f"{arm} from {first:.3g} to {last:.3g}" for arm, first, last in parts)


def _outcomes(rows: Sequence[Block]) -> str:
    """Accuracy of each model on each benchmark."""
    ordered = sorted(rows, key=lambda row: (row["domain"] != "id", row["benchmark"]))
    drawn = [
        Dot(
            f"{_short(row['benchmark'])} · {row['model']}",
            **_bounds(row["score"]),
            colour=COLOURS.get(row["model"], RUN),
        )
        for row in ordered
    ]
    fig, (ax,) = axes(0.6 + 0.2 * len(drawn))
    dots(drawn, ax, label="right", share=True)
    spoken = "; ".join(f"{dot.label} {told(dot, share=True)}" for dot in drawn)
    note = "The first kind is the one that was trained; its test puzzles were in no training."
    return figure("Accuracy before and after", note, svg(fig, "Accuracy before and after", spoken))


def _changes(link: Block) -> str:
    labels = [f"{Path(row['run']).name} · {_short(row['benchmark'])}" for row in link["rows"]]
    fig, (ax,) = axes(3.6)
    linked.changes(link["rows"], labels, ax)
    spoken = f"{len(labels)} points; their numbers are in the table"
    note = "A point a method and benchmark, against the base, a 95 % interval each way."
    return figure("Change in markers, change in accuracy", note, svg(fig, "Markers and accuracy", spoken))


def _short(benchmark: str | None) -> str:
    return (benchmark or "all").removeprefix("lab:")


def _numbers(rows: Sequence[Block]) -> str:
    cells = [
        (
            row["model"], f"{_short(row['benchmark'])} ({'trained' if row['domain'] == 'id' else 'not trained'})",
            told(Dot("", **_bounds(row["score"])), share=True), told(Dot("", **_bounds(row["finished"])), share=True),
            told(Dot("", **_bounds(row["tokens"]))), told(Dot("", **_bounds(row["markers"]))),
        )
        for row in rows
    ]  # fmt: skip
    head = ("model", "puzzles", "right, %", "finished, %", "tokens", "markers a response")
    return f"<details><summary>Numbers</summary>{table('Every model on every kind of puzzle', head, cells)}</details>"
