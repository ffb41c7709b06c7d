"""The page of `compare`: findings in plain words, figures and tables of each run, and the runs side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from epiverb.plots.forest import POINTS, RATIO, Row
from epiverb.report import pairs as side_by_side
from epiverb.report.contrasts import POINTS_LABEL, RATIO_LABEL, contrast_row, drawn, figures
from epiverb.report.html import bullets, links, notice, page, part, prose, text
from epiverb.report.labels import shorten, with_short_names
from epiverb.report.tables import families, tables
from epiverb.run import Run
from epiverb.stats.findings import no_hits, specificity_told

Block = dict[str, Any]
CAUTION = (
    "Brackets are 95 % intervals from resampling problems. They hold for these two models on such problems, not for "
    "another training seed. A marker is a form of words: it shows what a model says, not what it knows."
)


def write(document: Block, runs: Sequence[Run], out: Path, *, max_traces: int = 1000) -> list[Path]:
    """Write `out`, and `<out>-2.html` and so on where the traces do not fit on one page; the files written come back.

    Args:
        document: what `compare` returned.
        runs: the base, then the runs, in the document's order.
        max_traces: see `pairs.collect`.
    """
    results = document.get("comparisons", [document])
    short = shorten([document["base"], *(result["run"] for result in results)])
    names = list(short.values())
    lexicon = _lexicon(results[0], runs[0])
    shown = side_by_side.collect(runs, lexicon, max_traces=max_traces)
    count = len(shown.pages)
    files = [out.name if index == 0 else f"{out.stem}-{index + 1}{out.suffix}" for index in range(count)]
    body = _body(document, results, short)
    for index, file in enumerate(files):
        line = links(files, index)
        told = f"{shown.told(names)} Markers of {lexicon}."
        whole = page(
            title=f"epiverb: {', '.join(names[1:])} against {names[0]}",
            subtitle=_subtitle(document, results, short),
            pages=line,
            body=body if index == 0 else "",
            viewer=part("pairs", shown=text(told), pages=line) if shown.problems else "",
            script="pairs" if shown.problems else "",
            data=side_by_side.data(shown, index, names, files),
        )
        out.with_name(file).write_text(whole, "utf-8")
    return [out.with_name(file) for file in files]


def _lexicon(result: Block, base: Run) -> str:
    """The first lexicon that both runs were read with and that has markers; the base's own first where none has."""
    names = list(result["markers"])
    return next((n for n in names if not no_hits(result["markers"][n])), next(iter(names or base.manifest["lexicons"])))


def _subtitle(document: Block, results: Sequence[Block], short: dict[str, str]) -> str:
    runs = ", ".join(short[result["run"]] for result in results)
    n = results[0]["n_problems"] if len(results) == 1 else max(result["n_problems"] for result in results)
    return f"{runs} against {short[document['base']]} on {n:,} problem{'s' * (n != 1)}"


def _body(document: Block, results: Sequence[Block], short: dict[str, str]) -> str:
    if len(results) == 1:
        return _one(results[0], short, heading=False)
    links = "".join(f'<a href="#run-{i}">{text(short[r["run"]])}</a>' for i, r in enumerate(results, 1))
    sections = [
        "<h2>All runs</h2>",
        bullets([with_short_names(line, short) for line in document["findings"]]),
        f'<nav class="runs" aria-label="Runs">{links}<a href="#viewer">side by side</a></nav>',
        f'<div class="figures">{"".join(_across(results, short))}</div>',
        families(document["families"]),
    ]
    for i, result in enumerate(results, 1):
        sections.append(f'<section id="run-{i}">{_one(result, short, heading=True)}</section>')
    return "".join(sections)


def _one(result: Block, short: dict[str, str], *, heading: bool) -> str:
    base, run = short[result["base"]], short[result["run"]]
    level = "h3" if heading else "h2"
    first, *rest = [with_short_names(line, short) for line in result["findings"]]
    warnings = [*result["warnings"], *result["hints"], *(result.get("specificity") or {}).get("warnings", [])]
    return "".join(
        [
            f"<h2>{text(run)} against {text(base)}</h2>" if heading else "",
            f'<p class="lead">{prose(first)}</p>',
            f'<div class="columns">{"".join(_grouped(rest, result))}</div>',
            notice("Mind", [with_short_names(line, short) for line in warnings]),
            f'<p class="quiet">{prose(CAUTION)}</p>',
            f"<{level}>Figures</{level}>",
            figures(result, (base, run)),
            f"<{level}>Numbers</{level}>",
            tables(result, (base, run)),
        ]
    )


def _grouped(lines: Sequence[str], result: Block) -> Iterator[str]:
    """Findings under headings: outcomes, each lexicon, and what holds of words beyond one lexicon."""
    lexicons = [name for name, block in result["markers"].items() if not no_hits(block)]
    own = {name: [_bare(line, name) for line in lines if line.startswith(f"{name}: ")] for name in lexicons}
    others = [line for line in lines if not line.startswith(tuple(f"{name}: " for name in lexicons))]
    words = [line for line in others if "lexicons" in line or line.startswith("No marker of")]
    groups = {"Outcomes": [line for line in others if line not in words]}
    groups |= {f"Markers, {name}": own[name] for name in lexicons}
    groups["Which words"] = [*words, *_specific(result)]
    for title, said in groups.items():
        if said:
            yield f"<section><h3>{text(title)}</h3>{bullets(said)}</section>"


def _bare(line: str, name: str) -> str:
    """A finding under its lexicon's heading."""
    line = line.removeprefix(f"{name}: ")
    return line[:1].upper() + line[1:]


def _specific(result: Block) -> list[str]:
    return [said] if (said := specificity_told(result.get("specificity"))) else []


def _across(results: Sequence[Block], short: dict[str, str]) -> list[str]:
    """Accuracy and marker density of all runs, a row each."""
    right = [
        contrast_row(short[r["run"]], r["accuracy"], ratio=False) for r in results if r["accuracy"]["delta"] is not None
    ]
    dense: list[Row] = []
    for lexicon in results[0]["markers"]:
        found = [(r, r["markers"][lexicon]) for r in results if lexicon in r["markers"]]
        if all(no_hits(block) for _, block in found):
            continue
        dense += [Row(lexicon, heading=True)]
        dense += [contrast_row(short[r["run"]], block["per_1k_words"], ratio=True) for r, block in found]
    note = f"Filled: p < 0.05 after Holm over {len(results)} runs."
    return [
        drawn("Accuracy, run minus base", note, right, scale=POINTS, label=POINTS_LABEL, name="all runs"),
        drawn("Markers per 1,000 words", note, dense, scale=RATIO, label=RATIO_LABEL, name="all runs"),
    ]
