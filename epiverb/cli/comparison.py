"""What `compare`, `link` and `plan` print: the tables, then the findings in sentences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from epiverb.cli.gate import verdict
from epiverb.cli.summary import _console, _table, number
from epiverb.cli.terminal import printable
from epiverb.report.labels import shorten, with_short_names
from epiverb.stats.findings import specificity_told

Block = dict[str, Any]
_SHARES = {"accuracy": "accuracy", "finished": "finished", "given_finished": "right if finished", "loops": "in a loop"}


def notes(result: Block) -> list[str]:
    """Warnings, and hints on what would have been needed."""
    parts = result.get("comparisons", [result])
    said = [line for one in parts for line in (*one.get("warnings", []), *one.get("hints", []))]
    gate = result.get("gate")
    passed = [verdict(gate)] if gate and gate["failed"] is False else []  # of the others `gate.exit_code` speaks
    return [*dict.fromkeys(said), *([f"report: {result['report']}"] if result.get("report") else []), *passed]


def print_comparison(result: Block) -> None:
    """Of several runs what holds of them together; then each comparison: numbers, findings."""
    parts = result.get("comparisons", [result])
    names = shorten([result["base"], *(one["run"] for one in parts)])
    if len(parts) > 1:
        _console().print(Text(f"{len(parts)} runs against {printable(result['base'])}", "bold"))
        _print_sentences(result["findings"], names)
    for one in parts:
        _print_one(one, names)


def _print_one(result: Block, names: dict[str, str]) -> None:
    console, n = _console(), result["n_traces"]
    heads = names[result["base"]], names[result["run"]]
    console.print(Text(f"\n{printable(heads[1])} against {printable(heads[0])}", "bold"))
    size = f"{result['n_problems']:,} {'common ' if result['paired'] else ''}problems"
    console.print(f"{size}, {n['base']:,} and {n['run']:,} traces; 95 % intervals; p with * is corrected (Holm)")
    console.print(_outcome_table(result, heads))
    console.print(_marker_table(result, heads))
    _print_sentences([*result["findings"], specificity_told(result.get("specificity"))], names)


def _print_sentences(lines: Iterable[str | None], names: dict[str, str]) -> None:
    """Sentences as a list, whose later lines stand under the first, with runs by their short names."""
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True)
    grid.add_column()
    for line in filter(None, lines):
        grid.add_row("-", Text(printable(with_short_names(line, names))))
    console = _console()
    console.print()
    console.print(grid)


def _outcome_table(result: Block, names: tuple[str, str]) -> Any:
    table = _table("\nOutcomes (differences of shares in points)", "", *map(printable, names), "difference", "p")
    shares = [(label, result[key]) for key, label in _SHARES.items() if result.get(key)]
    shares += [(f"pass@{block['k']}", block) for block in result["pass_at_k"][-1:] if block["k"] > 1]
    for label, block in shares:
        if block["delta"] is not None:
            sides = (number(block[side], share=True) for side in ("base", "run"))
            table.add_row(label, *sides, _change(block, 100), _p(block))
    length = result["length"]
    for label, block in (("words, mean", length), ("words, median", length["median"])):
        if block["delta"] is not None:
            table.add_row(label, number(block["base"]), number(block["run"]), _change(block, 1), _p(block))
    return table


def _change(block: Block, scale: float) -> str:
    value = scale * block["delta"]
    told = f"{value:+,.1f}" if abs(value) < 1000 else f"{value:+,.0f}"
    if block["lo"] is None or block["hi"] is None:
        return told
    low, high = scale * block["lo"], scale * block["hi"]
    form = ",.1f" if max(abs(low), abs(high)) < 1000 else ",.0f"
    return f"{told} [{low:+{form}}, {high:+{form}}]"


def _p(block: Block) -> str:
    p = block.get("p_adjusted", block.get("p"))
    mark = "*" if "p_adjusted" in block else " "
    return "–" if p is None else ("<0.001" if p < 0.001 else f"{p:.3f}") + mark


def _marker_table(result: Block, names: tuple[str, str]) -> Any:
    table = _table("\nEpistemic markers", "", *map(printable, names), "ratio", "p")
    for name, block in result["markers"].items():
        if not (block["per_trace"]["base"] or block["per_trace"]["run"]):
            continue
        rows: Sequence[tuple[str, Block]] = (
            ("a trace", block["per_trace"]), ("per 1,000 words", block["per_1k_words"]),
            ("  without loops", block["robust"]["per_1k_words"]),
        )  # fmt: skip
        for label, rate in rows:
            if rate["delta"] is not None and (
                rate is not rows[2][1] or result["loops"]["base"] or result["loops"]["run"]
            ):
                table.add_row(
                    f"{printable(name)} {label}", number(rate["base"]), number(rate["run"]), _ratio(rate), _p(rate)
                )
    return table


def _ratio(block: Block) -> str:
    """Run over base with its interval, or the one bound that is known."""
    ratio = block["ratio"]
    if ratio["value"] is not None:
        low, high = ratio["lo"] if ratio["value"] else 0.0, ratio["hi"]
        bounds = "" if low is None or high is None else f" [{_digits(low)}, {_digits(high)}]"
        return f"{_digits(ratio['value'])}{bounds}"
    return (
        f"≥ {_digits(ratio['lo'])}"
        if ratio["lo"] is not None
        else f"≤ {_digits(ratio['hi'])}"
        if ratio["hi"] is not None
        else "–"
    )


def _digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def print_link(result: Block) -> None:
    """The table of runs and benchmarks, then the findings: domains, slope, within problems, mediation, steps."""
    console = _console()
    rows = _last_steps(result["rows"])
    names = shorten([result["base"], *dict.fromkeys(row["run"] for row in rows)])
    head = ("accuracy, points", "markers, ratio", "words, ratio")
    table = _table(f"Change against {printable(names[result['base']])}", "run, benchmark", "", *head)
    for row in rows:
        parts = (names[row["run"]], None if row["step"] is None else f"step {row['step']}", row["benchmark"])
        label = printable(" ".join(part for part in parts if part))
        words = _exponential({**row["log_ratio_length"], "lo": None, "hi": None})
        markers = _exponential(row["log_ratio_markers"])
        table.add_row(label, row["domain"] or "–", _points(row["delta_accuracy"]), markers, words)
    console.print(table)
    if len(rows) < len(result["rows"]):
        console.print(f"The last step of each run; --json and --out hold all {len(result['rows'])} rows.")
    _print_sentences(result["findings"], names)


def _last_steps(rows: Sequence[Block]) -> list[Block]:
    last = {row["run"]: row["step"] for row in rows}
    return [row for row in rows if row["step"] == last[row["run"]]]


def _points(figure: Block) -> str:
    if figure["value"] is None:
        return "–"
    bounds = (
        ""
        if figure["lo"] is None or figure["hi"] is None
        else f" [{100 * figure['lo']:+.1f}, {100 * figure['hi']:+.1f}]"
    )
    return f"{100 * figure['value']:+.1f}{bounds}"


def _exponential(figure: Block) -> str:
    from math import exp

    ratio = {key: None if figure[key] is None else exp(min(figure[key], 30)) for key in ("value", "lo", "hi")}
    return _ratio({"ratio": ratio})


def print_plan(result: Block) -> None:
    """The plan in sentences, and what more samples would bring."""
    console = _console()
    for sentence in result["sentences"]:
        console.print(printable(sentence))
