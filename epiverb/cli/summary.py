"""What the commands print on a terminal: a summary worth reading, width-aware, plain where colour is off."""

from __future__ import annotations

import os
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from epiverb.cli.terminal import printable
from epiverb.schema import CATEGORIES, CONTROLS

Figure = dict[str, Any]


def _console() -> Console:
    return Console(highlight=False, markup=False, soft_wrap=False)


def number(value: float | None, *, share: bool = False) -> str:
    """A figure for reading: three significant digits, a share in percent, an unknown as a dash."""
    if value is None:
        return "–"
    if share:
        shown = f"{100 * value:.1f}%" if value < 0.9995 else "100%"
    else:
        shown = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return shown if any(digit in shown for digit in "123456789") else shown.removeprefix("-")


def interval(figure: Figure | None, *, share: bool = False) -> str:
    """`value [lo, hi]`."""
    if not figure or figure["value"] is None:
        return "–"
    if figure["lo"] is None:
        return number(figure["value"], share=share)
    bounds = ", ".join(number(figure[key], share=share) for key in ("lo", "hi"))
    return f"{number(figure['value'], share=share)} [{bounds}]"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, header_style="dim")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right", overflow="fold")
    return table


def print_run(run: Any) -> None:
    """The findings of `analyze`; for a dry run, how each source would be read."""
    if isinstance(run, dict):
        return _print_plan(run)
    summary, console = run.summary, _console()
    console.print(_headline(summary))
    console.print(_lexicon_table(summary))
    absent = [name for name, block in summary["lexicons"].items() if not block["hits"]]
    if absent:
        console.print(Text(f"No hits: {', '.join(absent)}.", "dim"))
    console.print(_category_table(summary))
    if summary["groups"]:
        console.print(_group_table(summary))
    console.print(
        Text(
            "Every interval is 95 %, from resampling problems. Hits in loops count in all but the figures outside loops.",
            "dim",
        )
    )
    console.print(f"\nrun     {run.path}")
    if (run.path / "report.html").is_file():
        console.print(f"report  {run.path / 'report.html'}")


def run_notes(run: Any) -> list[str]:
    """What the user should know about how the sources were read."""
    if isinstance(run, dict):
        return []
    sources = run.summary["sources"]
    return [f"{s['path']}: {note}" for s in sources for note in s["notes"]] + [
        _skips(s) for s in sources if s["n_skipped"]
    ]


def _skips(source: dict[str, Any]) -> str:
    first = "; ".join(f"line {skip['line']}: {skip['reason']}" for skip in source["skipped"][:3])
    more = f" and {source['n_skipped'] - 3} more" if source["n_skipped"] > 3 else ""
    return f"{source['path']}: {source['n_skipped']} of {source['records']} records skipped ({first}{more})"


def _headline(summary: dict[str, Any]) -> Text:
    status = ", ".join(f"{count:,} {name}" for name, count in summary["status"].items() if count)
    lines = [
        (
            "traces   ",
            f"{summary['n_traces']:,} of {summary['n_problems']:,} problems: {status}; {summary['n_loops']:,} in a loop",
        ),
        ("length   ", f"{interval(summary['words'])} words a trace, median {number(summary['words']['median'])}"),
    ]
    accuracy = summary["accuracy"]
    if accuracy:
        done, right = (interval(accuracy[key], share=True) for key in ("finished", "given_finished"))
        told = f"{interval(accuracy, share=True)}; finished {done}, right given finished {right}"
        lines.append(("accuracy ", told))
    text = Text()
    for label, line in lines:
        text.append(label, "dim").append(line + "\n")
    return text


def _lexicon_table(summary: dict[str, Any]) -> Table:
    table = _table(
        "Epistemic markers, by lexicon", "lexicon", "hits", "per trace", "per 1,000 words", "outside loops", "in traces"
    )
    first = next(iter(summary["lexicons"]))
    for name, block in summary["lexicons"].items():
        if not block["hits"] and name != first:
            continue
        table.add_row(
            name,
            f"{block['hits']:,}",
            interval(block["per_trace"]),
            interval(block["per_1k_words"]),
            interval(block["robust"]["per_1k_words"]),
            interval(block["presence"], share=True),
        )
    return table


def _category_table(summary: dict[str, Any]) -> Table:
    name, block = next(iter(summary["lexicons"].items()))
    table = _table(f"\n{name}, per 1,000 words", "category", "hits", "all", "outside loops", "most frequent")
    table.columns[-1].justify = "left"
    for category in [c for c in CATEGORIES if c in block["per_category"]]:
        figures, robust = block["per_category"][category], block["robust"]["per_category"][category]
        markers = {
            m: row["hits"] for m, row in block["per_marker"].items() if row["category"] == category and row["hits"]
        }
        top = sorted(markers, key=lambda marker: -markers[marker])[:4]
        label = f"{category} (control)" if category in CONTROLS else category
        row = (f"{figures['hits']:,}", interval(figures["per_1k_words"]), interval(robust["per_1k_words"]))
        table.add_row(label, *row, ", ".join(f"{marker} {markers[marker]:,}" for marker in top))
    return table


def _group_table(summary: dict[str, Any]) -> Table:
    name = next(iter(summary["lexicons"]))
    keys = [key for key in ("condition", "source", "step", "domain", "benchmark") if key in summary["groups"][0]]
    labels = short_names([[group[key] for key in keys] for group in summary["groups"]])
    head = ("traces", "accuracy", "finished", "words", "per trace", "per 1,000 words")
    table = _table(f"\nBy {' and '.join(keys)} ({name})", *keys, *head)
    for group, label in zip(summary["groups"], labels, strict=True):
        accuracy, block = group["accuracy"], group["lexicons"][name]
        table.add_row(
            *label,
            f"{group['n_traces']:,}",
            number(accuracy and accuracy["value"], share=True),
            number(group["status"]["complete"] / group["n_traces"], share=True),
            number(group["words"]["value"]),
            number(block["per_trace"]["value"]),
            interval(block["per_1k_words"]),
        )
    return table


def short_names(rows: list[list[Any]]) -> list[list[str]]:
    """The rows as text, each column without the folders and endings that all its values share."""
    columns = []
    for column in zip(*rows, strict=True):
        values = [printable(str(value)) if value is not None else "–" for value in column]
        distinct = sorted(set(values))
        if len(distinct) > 1 and all("/" in value or "." in value for value in distinct):
            start = os.path.commonprefix(distinct).rfind("/") + 1
            shared = os.path.commonprefix([value[::-1] for value in distinct])[::-1]
            end = len(shared) - shared.find(".") if "." in shared else 0
            values = [value[start : len(value) - end] or value for value in values]
        columns.append(values)
    return [list(row) for row in zip(*columns, strict=True)]


def _print_plan(plan: dict[str, Any]) -> None:
    table = _table("Would read", "source", "format", "because")
    table.columns[1].justify = table.columns[2].justify = "left"
    for source in plan["sources"]:
        table.add_row(printable(source["path"]), source["format"] or "–", printable(source["why"]))
    _console().print(table)


def print_validation(result: dict[str, Any]) -> None:
    """Precision and recall per category and marker, and the confusions."""
    console, binary = _console(), result["binary"]
    console.print(f"{result['lexicon']} on {result['n']} labelled occurrences ({result['sha256'][:12]})")
    scores = ", ".join(f"{key} {number(binary[key])}" for key in ("precision", "recall", "f1"))
    console.print(f"epistemic or not: {scores}; macro F1 over the categories {number(result['macro_f1'])}\n")
    for title, key in (("category", "per_category"), ("marker", "per_marker")):
        table = _table(f"By {title}", title, "n", "precision", "recall", "F1")
        for name, row in sorted(result[key].items(), key=lambda item: -item[1]["n"]):
            table.add_row(name, str(row["n"]), *(number(row.get(score)) for score in ("precision", "recall", "f1")))
        console.print(table)
    confusions = result.get("confusions") or []
    if confusions:
        table = _table("\nConfusions", "label", "found as", "n")
        table.columns[1].justify = "left"
        for row in confusions:
            table.add_row(row["label"], row["found"], str(row["n"]))
        console.print(table)


def print_listing(result: dict[str, Any]) -> None:
    """The rows of `ls` as columns."""
    rows = result["rows"]
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in rows[0] if rows else []:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(printable(str(value)) for value in row.values()))
    _console().print(table)


def print_lexicon(result: dict[str, Any]) -> None:
    """A lexicon's entries by category."""
    console = _console()
    console.print(Text(result["name"], "bold"), f"{result['title']} ({result['source']})")
    reviewed = "" if result["reviewed"] else ", not reviewed by native speakers"
    console.print(f"match {result['match']}, language {result['language']}{reviewed}, sha256 {result['sha256'][:12]}")
    for category, entries in result["categories"].items():
        console.print(Text(f"\n{category}", "bold"))
        console.print(printable(", ".join(entries)))


def print_trace(view: Any) -> None:
    """One trace with its markers in colour."""
    _console().print(view.text())
