"""The figures of one comparison, as HTML."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from epiverb.plots import compare as plots
from epiverb.plots.forest import POINTS, RATIO, Row, forest, height, told
from epiverb.plots.style import BASE, INK, PALETTE, RUN, axes, svg
from epiverb.report.html import figure
from epiverb.schema import CATEGORIES, CONTROLS
from epiverb.stats.findings import no_hits

Block = dict[str, Any]
RATIO_LABEL = "ratio, run / base (log scale)"
POINTS_LABEL = "difference, percentage points"
MOST_WORDS = 22


def drawn(title: str, note: str, rows: Sequence[Row], *, scale: str, label: str, name: str) -> str:
    """A forest as a figure; `name` (the run) tells its ids from those of other runs. Empty where nothing is known."""
    if all(row.empty for row in rows):
        return ""
    fig, (ax,) = axes(height(rows))
    forest(rows, ax, scale=scale, label=label)
    spoken = "; ".join(f"{row.label} {told(row, scale)}" for row in rows if not row.empty)
    return figure(title, note, svg(fig, f"{title}, {name}", spoken))


def figures(result: Block, names: tuple[str, str]) -> str:
    """All figures that the comparison has data for; `names` are the base's and the run's, short."""
    found = {name: block for name, block in result["markers"].items() if not no_hits(block)}
    parts = [
        _outcomes(result, names[1]), _length(result, names[1]), _accuracy_parts(result, names[1]),
        _pass(result, names), *_lexicons(found, names[1]),
    ]  # fmt: skip
    if found:
        first, block = next(iter(found.items()))
        parts += [_categories(first, block, names[1]), _profile(first, block, names), _words(first, block, names[1])]
    parts += [*_specificity(result.get("specificity"), names[1]), *_strata(result["strata"], names[1])]
    return f'<div class="figures">{"".join(parts)}</div>'


def contrast_row(label: str, block: Block, *, ratio: bool, colour: str = RUN, hollow: bool | None = None) -> Row:
    """A row of a contrast: its difference or its log ratio; open where p (after correction) does not tell a change."""
    shown = block["log_ratio"] if ratio else {"value": block["delta"], "lo": block["lo"], "hi": block["hi"]}
    p = block.get("p_adjusted", block.get("p"))
    return Row(
        label, shown["value"], shown["lo"], shown["hi"], colour, (p is None or p >= 0.05) if hollow is None else hollow
    )


def _outcomes(result: Block, name: str) -> str:
    labels = {
        "accuracy": "accuracy",
        "finished": "finished",
        "given_finished": "right if finished",
        "loops": "in a loop",
    }
    rows = [
        contrast_row(label, result[key], ratio=False)
        for key, label in labels.items()
        if result[key]["delta"] is not None
    ]
    note = f"{result['n_problems']:,} problems. Filled: p < 0.05 after correction (Holm, family “{_family(result, 'claims')}”)."
    return drawn("Outcomes, run minus base", note, rows, scale=POINTS, label=POINTS_LABEL, name=name)


def _family(result: Block, start: str) -> str:
    return next((f["name"] for f in result["families"] if f["name"].startswith(start)), start)


def _length(result: Block, name: str) -> str:
    length = result["length"]
    parts = {
        "mean": length,
        "median": length["median"],
        "trimmed mean": length["trimmed"],
        "mean without loops": length["robust"],
    }
    rows = [contrast_row(label, block, ratio=True) for label, block in parts.items() if block["delta"] is not None]
    note = "Where mean and median disagree, a few long traces decide the mean."
    return drawn("Words a trace", note, rows, scale=RATIO, label=RATIO_LABEL, name=name)


def _accuracy_parts(result: Block, name: str) -> str:
    split = result["decomposition"]["accuracy"]
    if split["delta"]["value"] is None or result["finished"]["base"] == result["finished"]["run"] == 1:
        return ""
    labels = {
        "delta": "accuracy", "finished": "by finishing", "given_finished": "by right if finished",
        "right_unfinished": "right, not finished",
    }  # fmt: skip
    rows = [Row(label, **_bounds(split[key]), colour=INK if key == "delta" else RUN) for key, label in labels.items()]
    rows[0] = replace(rows[0], lo=result["accuracy"]["lo"], hi=result["accuracy"]["hi"])
    if not split["right_unfinished"]["value"]:
        rows.pop()
    note = "Accuracy = share finished × share right of those. The parts add up; this is arithmetic, not cause."
    return drawn(
        "What the change in accuracy is made of", note, rows, scale=POINTS, label="percentage points", name=name
    )


def _bounds(block: Block) -> dict[str, Any]:
    return {key: block.get(key) for key in ("value", "lo", "hi")}


def _pass(result: Block, names: tuple[str, str]) -> str:
    curve = [block for block in result["pass_at_k"] if block["delta"] is not None]
    if len(curve) < 2:
        return ""
    fig, (top, bottom) = axes(3.5, rows=2)
    plots.pass_at_k(curve, names, top, bottom)
    spoken = "; ".join(f"k {b['k']}: {100 * b['base']:.1f} and {100 * b['run']:.1f} %" for b in curve)
    note = f"Share of {curve[0]['n_problems']:,} problems solved by at least one of k samples; intervals not corrected."
    return figure("pass@k", note, svg(fig, f"pass@k, {names[1]}", spoken))


def _lexicons(found: dict[str, Block], name: str) -> list[str]:
    """Markers by lexicon, and what their change is made of."""
    rows, parts = [], []
    for lexicon, block in found.items():
        rows += [
            Row(lexicon, heading=True),
            contrast_row("a trace", block["per_trace"], ratio=True),
            contrast_row("per 1,000 words", block["per_1k_words"], ratio=True),
            contrast_row("… without loops", block["robust"]["per_1k_words"], ratio=True, colour=BASE),
        ]
        split = block["decomposition"]
        parts += [
            Row(lexicon, heading=True),
            Row("markers a trace", **_bounds(split["markers"]), colour=INK),
            Row("= longer or shorter", **_bounds(split["length"])),
            Row("× denser or thinner", **_bounds(split["density"])),
        ]
    first, *rest = (*found, "")
    families = f"“claims” ({first})" + (" and “sensitivity”" if rest and rest[0] else "")
    return [
        drawn(
            "Epistemic markers by lexicon", f"Filled: p < 0.05 after Holm, families {families}. Grey: not corrected.",
            rows, scale=RATIO, label=RATIO_LABEL, name=name,
        ),
        drawn(
            "What the change in markers is made of", "Markers a trace = words a trace × markers a word; the two ratios multiply.",
            parts, scale=RATIO, label=RATIO_LABEL, name=name,
        ),
    ]  # fmt: skip


def _categories(lexicon: str, block: Block, name: str) -> str:
    rows = []
    for category in (c for c in CATEGORIES if c in block["per_category"]):
        label = f"{category} (control)" if category in CONTROLS else category
        rows.append(
            contrast_row(label, block["per_category"][category]["per_1k_words"], ratio=True, colour=PALETTE[category])
        )
    note = f"{lexicon}, per 1,000 words. Filled: p < 0.05 after Holm, family “categories/{lexicon}”."
    return drawn("Markers by category", note, rows, scale=RATIO, label=RATIO_LABEL, name=name)


def _words(lexicon: str, block: Block, name: str) -> str:
    found = {word: row for word, row in block["per_marker"].items() if row["category"] not in CONTROLS}
    top = sorted(
        found, key=lambda word: -max(found[word]["per_trace"]["base"] or 0, found[word]["per_trace"]["run"] or 0)
    )
    words = sorted(top[:MOST_WORDS], key=lambda word: -_order(found[word]["per_1k_words"]))
    rows = [
        contrast_row(word, found[word]["per_1k_words"], ratio=True, colour=PALETTE[found[word]["category"]])
        for word in words
    ]
    more = f"The {len(words)} most frequent of {len(found)}" if len(found) > len(words) else f"All {len(found)}"
    note = (
        f"{more} in {lexicon}, per 1,000 words, coloured by category. A screen: filled where the false discovery rate is "
        f"under 5 % (Benjamini-Hochberg, family “words/{lexicon}”). An arrow: absent from one run."
    )
    return drawn("Single words", note, rows, scale=RATIO, label=RATIO_LABEL, name=name)


def _order(block: Block) -> float:
    """Place of a word: its log ratio, beyond all others where one run lacks it."""
    logs = block["log_ratio"]
    if logs["value"] is not None:
        return float(logs["value"])
    return math.copysign(100.0, block["delta"] or 0.0)


def _profile(lexicon: str, block: Block, names: tuple[str, str]) -> str:
    course = block["trajectory"]
    if course is None:
        return ""
    fig, (top, bottom) = axes(3.5, rows=2)
    plots.profiles(course, names, top, bottom)
    band = (
        "The band holds all parts at once in 95 % of samples." if course["lo"] is not None else f"{course['reason']}."
    )
    note = f"{lexicon}, markers per 1,000 words in each twentieth of a response, loops left out. {band}"
    return figure("Along the response", note, svg(fig, f"Along the response, {names[1]}", band))


def _specificity(block: Block | None, name: str) -> list[str]:
    """Epistemic words beside their controls, and their ratio to each."""
    if not block or not block.get("controls"):
        return []
    labels = {"matched": "words as frequent", "booster": "boosters", "procedural": "procedural words"}
    own = Row("epistemic words", **_bounds(block["epistemic"]))
    controls = [Row(labels.get(k, k), **_bounds(v), colour=BASE) for k, v in block["controls"].items()]
    gaps = [Row(f"against {labels.get(k, k)}", **_bounds(v)) for k, v in block["difference"].items()]
    rows = [
        Row("Rate in the text", heading=True),
        own,
        *controls,
        Row("Epistemic, relative to each", heading=True),
        *gaps,
    ]
    note = (
        f"{block['n_markers']} epistemic words among {block['n_vocabulary']:,}; controls of the same frequency and spread. "
        "Below: a difference in differences; 1 means that epistemic words changed no more than the others."
    )
    return [drawn("Is it epistemic words, or all words?", note, rows, scale=RATIO, label=RATIO_LABEL, name=name)]


def _strata(strata: Sequence[Block], name: str) -> list[str]:
    labels = [" · ".join(filter(None, (s["benchmark"], s["domain"]))) or "not named" for s in strata]
    labels = [f"{label} (n={s['n_problems']})" for label, s in zip(labels, strata, strict=True)]
    right = [
        contrast_row(label, s["accuracy"], ratio=False)
        for label, s in zip(labels, strata, strict=True)
        if s["accuracy"]["delta"] is not None
    ]
    lexicon = next((n for s in strata for n, b in s["markers"].items() if not no_hits(b)), None)
    dense = [
        contrast_row(label, s["markers"][lexicon]["per_1k_words"], ratio=True)
        for label, s in zip(labels, strata, strict=True)
        if lexicon
    ]
    note = "n problems. Exploratory: each benchmark by itself, p values not corrected."
    return [
        drawn("Accuracy by benchmark", note, right, scale=POINTS, label=POINTS_LABEL, name=name),
        drawn(f"Marker density by benchmark ({lexicon})", note, dense, scale=RATIO, label=RATIO_LABEL, name=name),
    ]
