"""The report of one run: what was found in plain words, figures, tables, and the viewer, on as many pages as it takes."""

from __future__ import annotations

from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from epiverb.report import scores, training
from epiverb.report.figures import figures
from epiverb.report.html import links, number, page, spread, table, text
from epiverb.report.html import part as viewer_part
from epiverb.report.labels import shorten
from epiverb.report.payload import Page, choose, embedded, pages
from epiverb.run import Run
from epiverb.schema import CONTROLS

_RATES = ("presence", "per_trace", "per_1k_words")


def renew(run_path: str | Path, *, max_traces: int) -> list[Path]:
    """Write a run's report.html anew where it has one, each page whole or as before; the files written come back."""
    run = Path(run_path)
    if not (run / "report.html").is_file():
        return []
    for left in run.glob(".report-*"):  # by a command that was killed
        rmtree(left, ignore_errors=True)
    with TemporaryDirectory(prefix=".report-", dir=run) as scratch:
        pages = write(run, Path(scratch) / "report.html", max_traces=max_traces)
        return [Path(page.replace(run / page.name)) for page in pages]


def write(run_path: str | Path, out: str | Path, *, max_traces: int = 1000) -> list[Path]:
    """Write `out`, and `<out>-2.html` and so on where the traces do not fit on one page; the files written come back.

    Args:
        max_traces: show at most this many traces, spread evenly over the run; the report says how many it leaves out.
    """
    run, out = Run(run_path), Path(out)
    summary = run.summary
    lexicon = next(iter(summary["lexicons"]))
    chosen = choose(summary["n_traces"], max_traces)
    parts = list(pages(run, lexicon, chosen))
    names = [out.name if index == 0 else f"{out.stem}-{index + 1}{out.suffix}" for index in range(len(parts))]
    title = f"epiverb: {summary['n_traces']:,} traces"
    written = []
    for index, part in enumerate(parts):
        body = _findings(run, summary) if index == 0 else ""
        shown = text(_shown(summary["n_traces"], chosen, parts, index))
        pages_line = links(names, index)
        document = page(
            title=title,
            subtitle=_subtitle(summary),
            pages=pages_line,
            body=body,
            viewer=viewer_part("viewer", shown=shown, pages=pages_line),
            script="report",
            data={"facts": embedded(part.facts), "packed": embedded(part.packed)},
        )
        written.append(out.with_name(names[index]))
        written[-1].write_text(document, "utf-8")
    return written


def _subtitle(summary: dict[str, Any]) -> str:
    names = list(shorten(source["path"] for source in summary["sources"]).values())
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{summary['n_traces']:,} traces of {summary['n_problems']:,} problems from {', '.join(names[:3])}{more}"


def _shown(total: int, chosen: np.ndarray, parts: list[Page], index: int) -> str:
    first = sum(len(part.facts) for part in parts[:index])
    here = f"Traces {first + 1:,} to {first + len(parts[index].facts):,} of {len(chosen):,}"
    if len(chosen) == total:
        return f"{here}; none is left out."
    return f"{here} shown, spread evenly over all {total:,}; --report-traces {total} shows every one."


def _findings(run: Run, summary: dict[str, Any]) -> str:
    sections = [
        _lead(summary),
        "<h2>Figures</h2>",
        figures(run, summary),
        training.section(run, summary),
        scores.section(run.path),
        "<h2>Numbers</h2>",
        _lexicons(summary),
        _categories(summary),
    ]
    if summary["groups"]:
        sections.append(_groups(summary))
    sections += [_markers(summary), "<h2>Where it comes from</h2>", _sources(summary), _provenance(run, summary)]
    return "".join(sections)


def _lead(summary: dict[str, Any]) -> str:
    name, block = next(iter(summary["lexicons"].items()))
    presence, trace, words = (spread(block[key], share=key == "presence") for key in _RATES)
    sentences = [
        f"{presence} of traces hold an epistemic marker; there are {trace} a trace, {words} per 1,000 words ({text(name)})."
    ]
    if accuracy := summary["accuracy"]:
        right, done, given = (
            spread(part, share=True) for part in (accuracy, accuracy["finished"], accuracy["given_finished"])
        )
        sentences.append(f"{right} are right: {done} finish, and of those {given} are right.")
    if summary["n_loops"]:
        outside = spread(block["robust"]["per_1k_words"])
        sentences.append(f"<b>{summary['n_loops']:,}</b> run into a loop; outside loops the density is {outside}.")
    note = (
        f"{summary['n_traces']:,} traces, {summary['n_problems']:,} problems. Brackets are 95 % intervals from resampling "
        "problems. A marker is a form of words: it shows what a model says, not what it knows."
    )
    return f'<p class="lead">{" ".join(sentences)}</p><p class="quiet">{text(note)}</p>'


def _lexicons(summary: dict[str, Any]) -> str:
    found = {name: block for name, block in summary["lexicons"].items() if block["hits"]} or summary["lexicons"]
    rows = [
        (
            name,
            f"{block['hits']:,}",
            spread(block["per_trace"]),
            spread(block["per_1k_words"]),
            spread(block["robust"]["per_1k_words"]),
            spread(block["presence"], share=True),
            block["match"],
            block["sha256"][:12],
        )
        for name, block in found.items()
    ]
    head = ("lexicon", "hits", "per trace", "per 1,000 words", "outside loops", "in traces", "match", "sha256")
    size = f"n = {summary['n_traces']:,} traces, {summary['n_problems']:,} problems"
    absent = [f"{name} ({block['sha256'][:12]})" for name, block in summary["lexicons"].items() if name not in found]
    rest = f'<p class="quiet">No hits of {text(", ".join(absent))}.</p>' if absent else ""
    return table(f"Epistemic markers by lexicon ({size})", head, rows) + rest


def _categories(summary: dict[str, Any]) -> str:
    name, block = next(iter(summary["lexicons"].items()))
    rows = []
    for category, row in block["per_category"].items():
        robust = block["robust"]["per_category"][category]
        label = f"{category} (control)" if category in CONTROLS else category
        rows.append(
            (
                label,
                f"{row['hits']:,}",
                spread(row["per_trace"]),
                spread(row["per_1k_words"]),
                spread(robust["per_1k_words"]),
                spread(row["presence"], share=True),
            )
        )
    return table(
        f"{name} by category", ("category", "hits", "per trace", "per 1,000 words", "outside loops", "in traces"), rows
    )


def _groups(summary: dict[str, Any]) -> str:
    name = next(iter(summary["lexicons"]))
    keys = [key for key in ("condition", "source", "step", "domain", "benchmark") if key in summary["groups"][0]]
    short = shorten(source["path"] for source in summary["sources"])
    rows = []
    for group in summary["groups"]:
        accuracy, block = group["accuracy"], group["lexicons"][name]
        label = " · ".join(short.get(group[key], str(group[key])) for key in keys if group[key] is not None)
        finished = spread(accuracy["finished"], share=True) if accuracy else "–"
        rows.append(
            (
                label, f"{group['n_traces']:,} / {group['n_problems']:,}", spread(accuracy, share=True), finished,
                number(group["words"]["value"]), spread(block["per_trace"]), spread(block["per_1k_words"]),
            )
        )  # fmt: skip
    head = (" · ".join(keys), "traces / problems", "accuracy", "finished", "words", "per trace", "per 1,000 words")
    return table(f"By {' and '.join(keys)} ({name})", head, rows)


def _markers(summary: dict[str, Any]) -> str:
    name, block = next(iter(summary["lexicons"].items()))
    found = sorted(
        ((m, row) for m, row in block["per_marker"].items() if row["hits"]), key=lambda item: -item[1]["hits"]
    )
    rows = [
        (
            marker,
            row["category"],
            f"{row['hits']:,}",
            spread(row["per_1k_words"]),
            spread(row["presence"], share=True),
        )
        for marker, row in found
    ]
    absent = [marker for marker, row in block["per_marker"].items() if not row["hits"]]
    body = table(f"{name} by marker", ("marker", "category", "hits", "per 1,000 words", "in traces"), rows)
    rest = f'<p class="quiet">Not found: {text(", ".join(absent))}.</p>' if absent else ""
    return f"<details><summary>Every marker of {text(name)}</summary>{body}{rest}</details>"


def _sources(summary: dict[str, Any]) -> str:
    rows = [
        (
            source["path"],
            source["format"] or "not read",
            f"{source['records']:,}",
            f"{source['traces']:,}",
            f"{source['n_skipped']:,}",
        )
        for source in summary["sources"]
    ]
    notes = [f"{source['path']}: {note}" for source in summary["sources"] for note in source["notes"]]
    notes += [
        f"{source['path']}, line {skip['line']}: {skip['reason']}"
        for source in summary["sources"]
        for skip in source["skipped"][:20]
    ]
    listed = "".join(f"<li>{text(note)}</li>" for note in notes)
    return table("Sources", ("file", "format", "records", "traces", "skipped"), rows) + (
        f"<ul>{listed}</ul>" if notes else ""
    )


def _provenance(run: Run, summary: dict[str, Any]) -> str:
    made = run.manifest
    versions = ", ".join(f"{name} {number}" for name, number in made["versions"].items())
    kept = {key: value for key, value in made["config"].items() if key != "sources" and value not in (None, [], {}, "")}
    settings = ", ".join(f"{key}={value}" for key, value in kept.items())
    return f'<p class="quiet">Made {text(made["created"])} with {text(versions)}. Settings: <code>{text(settings)}</code></p>'
