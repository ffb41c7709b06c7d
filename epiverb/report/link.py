"""The page of `link`: changes in markers against changes in accuracy, within problems, through markers, over steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from epiverb.plots import link as plots
from epiverb.plots.forest import POINTS, RATIO, Row
from epiverb.plots.style import BASE, INK, axes, svg
from epiverb.report.contrasts import drawn
from epiverb.report.html import Markup, bullets, figure, notice, number, page, prose, spread, table, text
from epiverb.report.labels import shorten, with_short_names
from epiverb.report.tables import details, exponential, p_value

Block = dict[str, Any]
_KEYS = ("value", "lo", "hi")
MOST = 10
"""Points named in the figure; of more, their numbers in the table."""
CAUTION = (
    "Brackets are 95 % intervals from resampling problems, benchmarks apart. They hold for these trained models on such "
    "problems: another training seed, or another benchmark, is not in them. Nothing here is shown to be a cause."
)


def write(document: Block, out: Path) -> Path:
    """Write `out`, a page of what `link` returned; its path comes back."""
    short = shorten([document["base"], *dict.fromkeys(row["run"] for row in document["rows"])])
    names = list(short.values())
    runs = ", ".join(names[1:])
    whole = page(
        title=f"epiverb: markers and accuracy, {runs} against {names[0]}",
        subtitle=f"Markers and accuracy: {runs} against {names[0]}",
        body="".join(_body(document, short)),
    )
    out.write_text(whole, "utf-8")
    return out


def _body(document: Block, short: dict[str, str]) -> Iterator[str]:
    first, *rest = [with_short_names(line, short) for line in document["findings"]]
    yield f'<p class="lead">{prose(first)}</p>{bullets(rest)}'
    yield notice("Mind", [with_short_names(line, short) for line in document["warnings"]])
    yield f'<p class="quiet">{prose(CAUTION)}</p><h2>Figures</h2>'
    labels = _labels(document["rows"], short)
    parts = [_changes(document["rows"], labels), *_slopes(document["slopes"]), *_within(document["within_problem"])]
    parts += [part for one in document["mediation"]["runs"] for part in _mediation(one, short)]
    for run, course in document["steps"].items():
        parts += _steps(course, short[run])
    yield f'<div class="figures">{"".join(parts)}</div><h2>Numbers</h2>'
    yield _table(document, labels, short)
    yield from _domains(document, short)
    yield _leave_out(document["slopes"])
    yield _within_table(document["within_problem"])
    yield _mediation_table(document["mediation"], short)
    for run, course in document["steps"].items():
        yield _steps_table(course, short[run])
    lexicon = document["lexicon"]
    made = f"Lexicon {lexicon['name']} {lexicon['sha256'][:12]}, seed {document['seed']}. Base: {document['base']}."
    yield f'<p class="quiet">{text(made)}</p>'


def _labels(rows: Sequence[Block], short: dict[str, str]) -> list[str]:
    """A name for each point: what tells it from the others; a number where there are too many to name."""
    if sum(row["step"] == _last(rows)[row["run"]] for row in rows) > MOST:
        return [str(i) for i in range(1, len(rows) + 1)]
    runs, benchmarks = ({row[key] for row in rows} for key in ("run", "benchmark"))
    return [
        " · ".join(
            part
            for part, several in (
                (short[row["run"]], len(runs) > 1), (f"step {row['step']}", row["step"] is not None),
                (row["benchmark"] or "all", len(benchmarks) > 1 or len(runs) == 1),
            )
            if several
        )
        for row in rows
    ]  # fmt: skip


def _changes(rows: Sequence[Block], labels: Sequence[str]) -> str:
    shown = [(row, label) for row, label in zip(rows, labels, strict=True) if row["step"] == _last(rows)[row["run"]]]
    fig, (ax,) = axes(3.6)
    plots.changes([row for row, _ in shown], [label for _, label in shown], ax)
    unknown = sum(
        row["log_ratio_markers"]["value"] is None or row["delta_accuracy"]["value"] is None for row, _ in shown
    )
    notes = ["A point a run and benchmark, a 95 % interval each way."]
    notes += ["The last step of each run."] if len(shown) < len(rows) else []
    notes += [f"{unknown} without a ratio or without grades are in the table only."] if unknown else []
    notes += ["Numbers are those of the table."] if any(label.isdecimal() for _, label in shown) else []
    spoken = f"{len(shown) - unknown} points; their numbers are in the table"
    return figure("Change in markers, change in accuracy", " ".join(notes), svg(fig, "Markers and accuracy", spoken))


def _last(rows: Sequence[Block]) -> dict[str, int | None]:
    """The last step of each run."""
    return {row["run"]: row["step"] for row in rows}


def _slopes(block: Block) -> list[str]:
    fit = block["markers"]
    if fit["slope"]["value"] is None:
        return []
    rows = [Row("all benchmarks", **_bounds(fit["slope"]), colour=INK)]
    rows += [Row(f"without {one['without']}", **_bounds(one["slope"]), hollow=True) for one in fit["leave_one_out"]]
    note = f"{fit['n_points']} points. If one benchmark left out changes the sign, the slope hangs on it."
    label = "points of accuracy per unit of log ratio"
    return [drawn("Slope of accuracy on markers", note, rows, scale=POINTS, label=label, name="slope")]


def _bounds(block: Block) -> dict[str, Any]:
    return {key: block.get(key) for key in ("value", "lo", "hi")}


def _within(block: Block) -> list[str]:
    if block["log_odds"] is None:
        return []
    rows = [Row("within problems", block["log_odds"], block["lo"], block["hi"])]
    if block["pooled_log_odds"] is not None:
        rows.append(
            Row("pooled (confounded)", block["pooled_log_odds"], block["pooled_lo"], block["pooled_hi"], BASE, True)
        )
    note = (
        f"Odds of a right answer for one SD more marker density, other samples of the same problem compared; "
        f"{block['n_problems_used']} problems, {block['n_problems_dropped']} without spread dropped. 1 is no association."
    )
    return [drawn("Within problems", note, rows, scale=RATIO, label="odds ratio (log scale)", name="within")]


def _mediation(one: Block, short: dict[str, str]) -> Iterator[str]:
    if one["acme"]["value"] is None:
        return
    run, paths = short[one["run"]], one["with_length"]
    rows = [
        Row("total", **_bounds(one["total"]), colour=INK), Row("through markers", **_bounds(one["acme"])),
        Row("direct", **_bounds(one["ade"])), Row("With length beside", heading=True),
        Row("through markers", **_bounds(paths["through_markers"])),
        Row("through length", **_bounds(paths["through_length"])), Row("direct", **_bounds(paths["direct"])),
    ]  # fmt: skip
    note = f"{one['n_problems']} problems; {one['label']}."
    yield drawn(f"From {run} to markers to accuracy", note, rows, scale=POINTS, label="points of accuracy", name=run)
    if curve := one["sensitivity"]:
        fig, (ax,) = axes(2.6)
        plots.common_cause(curve["curve"], ax)
        yield figure(
            "If something unseen drove both", curve["sentence"], svg(fig, f"Unseen cause, {run}", curve["sentence"])
        )


def _steps(course: Block, run: str) -> Iterator[str]:
    named = [scope for scope in course["scopes"] if scope in ("id", "ood", "all")]
    scopes = named or list(course["scopes"])[: len(plots.LINES)]
    fig, (top, bottom) = axes(4.2, rows=2)
    plots.course(course["series"], scopes, "accuracy", 100.0, "accuracy, %", top)
    plots.course(course["series"], scopes, "markers_per_1k_words", 1.0, "markers per 1,000 words", bottom)
    warning = course["early_warning"]
    fell = warning["accuracy"] and warning["accuracy"]["step"]
    plots.at_steps([(fell, "down for good")] if fell is not None else [], top)
    told = [row["step"] for row in warning["markers"] if row["step"] is not None]
    plots.at_steps([(min(told), "down for good")] if told else [], bottom)
    bottom.set_ylim(bottom=0)
    bottom.set_xlabel("training step")
    top.legend(frameon=False, ncols=min(len(scopes), 4), loc="lower left", bbox_to_anchor=(0, 1.06), fontsize=8)
    said = warning.get("sentence") or warning.get("reason", "")
    note = f"{course['n_problems']} problems at {len(course['steps'])} steps. {said}"
    yield figure(f"Over training, {run}", note, svg(fig, f"Steps {run}", note))


def _points(block: Block) -> Markup:
    scaled = {key: None if block.get(key) is None else 100 * block[key] for key in ("value", "lo", "hi")}
    return (
        spread(scaled)
        if scaled["value"] is not None
        else Markup(f"<b>–</b> <small>{text(block.get('reason', ''))}</small>")
    )


def _table(document: Block, labels: Sequence[str], short: dict[str, str]) -> str:
    rows = [
        [
            *_origin(label, row, short), row["domain"] or "–", _points(row["delta_accuracy"]),
            *(exponential(row[f"log_ratio_{key}"]) for key in ("markers", "length", "density")),
            f"{row['n_problems']}", f"{row['n_traces']['base']} / {row['n_traces']['run']}",
        ]
        for label, row in zip(labels, document["rows"], strict=True)
    ]  # fmt: skip
    origin = ("", "run", "step", "benchmark") if all(label.isdecimal() for label in labels) else ("",)
    figures_of = ("accuracy, points", "markers a trace, ratio", "words, ratio", "density, ratio", "problems", "traces")
    drawn_table = table(f"Changes against {document['base']}", (*origin, "domain", *figures_of), rows)
    return details(f"All {len(rows)} runs, steps and benchmarks", drawn_table) if len(rows) > 2 * MOST else drawn_table


def _origin(label: str, row: Block, short: dict[str, str]) -> list[object]:
    """What tells a row: its label, and where that is a number, what it stands for."""
    if not label.isdecimal():
        return [label]
    return [label, short[row["run"]], "–" if row["step"] is None else row["step"], row["benchmark"] or "–"]


def _domains(document: Block, short: dict[str, str]) -> Iterator[str]:
    rows = []
    for block in document["domains"]:
        step = "" if block["step"] is None else f", step {block['step']}"
        for key, label in (("id", "in domain"), ("ood", "out of domain"), ("ood_minus_id", "out of minus in domain")):
            if key in block:
                one = block[key]
                ratios = (exponential(one[f"log_ratio_{name}"]) for name in ("markers", "length", "density"))
                rows.append([f"{short[block['run']]}{step}, {label}", _points(one["delta_accuracy"]), *ratios])
    if rows:
        head = ("", "accuracy, points", "markers a trace, ratio", "words, ratio", "density, ratio")
        yield table(
            "In and out of domain, benchmarks weighing alike (last rows: difference, ratio of ratios)", head, rows
        )


def _leave_out(slopes: Block) -> str:
    rows = []
    for predictor in ("markers", "density", "length"):
        fit = slopes[predictor]
        for label, one in [("all", fit), *((f"without {one['without']}", one) for one in fit["leave_one_out"])]:
            error = one.get("held_out_error")
            cells = (_points(one["slope"]), spread(one["pearson"]), spread(one["spearman"]))
            rows.append([f"{predictor}, {label}", *cells, "–" if error is None else f"{100 * error:.1f}"])
    head = (
        "change in",
        "slope, points per log ratio",
        "Pearson",
        "Spearman",
        "error on the benchmark left out, points",
    )
    return table("Accuracy on markers over runs and benchmarks, and without each benchmark", head, rows)


def _within_table(block: Block) -> str:
    rows: list[Sequence[object]] = [
        (
            "log-odds per SD, within problems",
            spread({"value": block["log_odds"], "lo": block["lo"], "hi": block["hi"]}),
        ),
        (
            "log-odds per SD, pooled",
            spread(dict(zip(_KEYS, (block[f"pooled_{key}"] for key in ("log_odds", "lo", "hi")), strict=True))),
        ),
        ("AUC of density, within problems", spread(block["auc"])),
        ("AUC of length, within problems", spread(block["auc_length"])),
        ("rank correlation of density and correctness", spread(block["spearman"])),
        *((f"log-odds of {name}", number(value)) for name, value in block["covariates"].items()),
        ("problems used", f"{block['n_problems_used']}"),
        ("dropped: all traces right or all wrong", f"{block['n_same_outcome']}"),
        ("dropped: same markers in all traces", f"{block['n_same_markers']}"),
    ]
    return table(f"Within problems ({block['n_traces']:,} traces; {block['unit']})", ("", "value"), rows)


def _mediation_table(block: Block, short: dict[str, str]) -> str:
    keys = {"total": "total", "acme": "through markers", "ade": "direct"}
    rows = []
    for one in block["runs"]:
        rows.append(
            [
                short[one["run"]],
                *(_points(one[key]) for key in keys),
                spread(one["proportion"], share=True),
                f"{one['n_problems']}",
            ]
        )
    head = ("run", *(f"{label}, points" for label in keys.values()), "share through markers", "problems")
    return table(f"Mediation ({block['label']})", head, rows)


def _steps_table(course: Block, run: str) -> str:
    rows = []
    moved = {(row["scope"], row["measure"]): row for row in course["change_points"]}
    for trend in course["trends"]:
        found = moved[trend["scope"], trend["measure"]]
        changes = ", ".join(f"{c['step']} ({100 * c['support']:.0f} %)" for c in found["changes"])
        cells = (spread(trend["kendall"]), spread(trend["spearman"]), spread(trend["slope_per_100"]))
        rows.append(
            [f"{trend['scope']}, {trend['measure'].replace('_', ' ')}", *cells, changes or found.get("reason", "none")]
        )
    head = ("", "Kendall", "Spearman", "slope per 100 steps", "changes of level at (support)")
    lags = course["lead_lag"]["lags"]
    lag_rows = [[f"{row['lag']:+d}", spread(row["r"]), p_value(row["p"])] for row in lags]
    second = (
        table(
            "Lead and lag of markers against accuracy, in checkpoints (positive: markers first)",
            ("lag", "correlation", "p"),
            lag_rows,
        )
        if lags
        else ""
    )
    return table(f"Over the steps of {run}", head, rows) + second
