"""What `sample`, `eval` and `sft-data` print: progress while they run, then a table worth reading."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.text import Text

from epiverb.cli.summary import _console, _table, interval, number, run_notes
from epiverb.cli.terminal import printable

Figure = dict[str, Any]
Progress = Callable[[str, int, "int | None", int], None]
WIDE = 150
"""Columns of a terminal in which outcomes and markers stand beside each other."""
EVERY = 10.0
"""Seconds between two lines of progress where there is no terminal."""


class Rate:
    """Tokens a second and time left, from what was drawn since the start; samples of an earlier command count as there."""

    def __init__(self) -> None:
        self.start = time.monotonic()
        self.before: int | None = None

    def line(self, stage: str, done: int, total: int | None, tokens: int) -> str:
        """`solution: 120/800 samples, 950 tokens/s, 0:07:12 left`."""
        spent = max(time.monotonic() - self.start, 1e-6)
        if not tokens:
            self.before, self.start = done, time.monotonic()
        new = done - (self.before or 0)
        of = f"/{total:,}" if total else ""
        left = f", {_clock((total - done) * spent / new)} left" if total and new and total > done else ""
        return f"{stage}: {done:,}{of} samples, {tokens / spent:,.0f} tokens/s{left}"


def _clock(seconds: float) -> str:
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}"


@contextmanager
def progress(label: str, *, quiet: bool = False) -> Iterator[Progress]:
    """A callback that shows progress on stderr: one moving line on a terminal, a line every ten seconds elsewhere."""
    rate, moving = Rate(), sys.stderr.isatty()
    last = 0.0 if moving else time.monotonic()

    def update(stage: str, done: int, total: int | None, tokens: int) -> None:
        nonlocal last
        line, now = rate.line(stage, done, total, tokens), time.monotonic()
        if quiet or now - last < (0.2 if moving else EVERY):
            return
        last = now
        print(f"\r\x1b[K{label}: {line}" if moving else f"{label}: {line}", end="" if moving else "\n", file=sys.stderr)
        sys.stderr.flush()

    try:
        yield update
    finally:
        if moving and last and not quiet:
            print("\r\x1b[K", end="", file=sys.stderr)


def notes(run: Any) -> list[str]:
    """What the user should know: sets, skipped problems, contexts that were cut, samples that failed."""
    if isinstance(run, dict):
        return [*run["notes"], *(f"{source['path']}: {note}" for source in run["sources"] for note in source["notes"])]
    lines = run_notes(run)
    for arm in run.summary["arms"]:
        if arm["n_trimmed"]:
            lines.append(
                f"{arm['condition']}: the context of {arm['n_trimmed']} of {arm['n_problems']} problems was cut to fit "
                "the window; fewer --max-tokens leave it more room"
            )
    return lines


def print_sample(run: Any) -> None:
    """The arms of a run beneath each other; for a dry run, what would be asked."""
    if isinstance(run, dict):
        return _print_plan(run)
    _print_table(run)
    if "recovery" in run.summary:
        _console().print(_recovery(run.summary["recovery"]))
    _print_end(run)


def print_eval(run: Any) -> None:
    """The benchmarks of a run beneath each other; for a dry run, what would be asked."""
    if isinstance(run, dict):
        return _print_plan(run)
    _print_table(run, passes=True)
    _print_end(run)


def _print_table(run: Any, *, passes: bool = False) -> None:
    """One table: what was right and finished, how long it was, and the markers in it."""
    console, by, rows = _console(), run.summary["table"]["by"], run.summary["table"]["rows"]
    console.print(Text(_decoding(run.manifest), "dim"))
    samples = max((row["n_traces"] // max(row["n_problems"], 1) for row in rows), default=0)
    names = _lexicons(rows)
    head = ["problems", f"avg@{samples}" if passes else "score"]
    head += [f"pass@{_passed(rows)}"] if passes else []
    head += ["finished", "given finished", "tokens"]
    markers = [f"{name}\n{unit}" for name in names for unit in ("a response", "per 1k tokens")]
    first = [_name(row, by) for row in rows]
    outcomes = [_outcomes(row, passes) for row in rows]
    hits = [[_cell(row["markers"][name][k]) for name in names for k in ("per_trace", "per_1k_tokens")] for row in rows]
    title = " and ".join(by)
    if console.width >= WIDE:
        blocks = [([*head, *markers], [[*left, *right] for left, right in zip(outcomes, hits, strict=True)])]
    else:  # columns that are squeezed break words and figures
        blocks = [(head, outcomes), (markers, hits)]
    for columns, lines in blocks:
        table = _table("", title, *columns)
        for name, line in zip(first, lines, strict=True):
            table.add_row(name, *line)
        console.print(table)
    console.print(Text("Intervals are 95 %, from resampling problems; tokens and markers are means a response.", "dim"))


def _outcomes(row: Figure, passes: bool) -> list[str]:
    """Problems and samples, and what was right and finished and how long it was."""
    failed = f"\n{row['n_failed']} failed" if row["n_failed"] else ""
    shares = [row["score"], *([row["pass_at_k"][-1] if row["pass_at_k"] else None] if passes else [])]
    cells = [_cell(figure, share=True) for figure in (*shares, row["finished"], row["given_finished"])]
    return [f"{row['n_problems']:,}\n× {row['n_traces'] / row['n_problems']:.3g}{failed}", *cells, _cell(row["tokens"])]


def _cell(figure: Figure | None, *, share: bool = False) -> str:
    """The figure, and its interval beneath it."""
    return interval(figure, share=share).replace(" [", "\n[", 1)


def _lexicons(rows: list[Figure]) -> list[str]:
    """The two lists that are shown: the paper's and our own, where they were matched, else the first two with hits."""
    names = list(rows[0]["markers"]) if rows else []
    usual = [name for name in ("kim2026", "epiverb-en") if name in names]
    found = [name for name in names if any(row["markers"][name]["per_trace"]["value"] for row in rows)]
    return usual or found[:2] or names[:1]


def _passed(rows: list[Figure]) -> int:
    return max((row["pass_at_k"][-1]["k"] for row in rows if row["pass_at_k"]), default=0)


def _name(row: Figure, by: list[str]) -> str:
    return printable(" ".join(str(row[key]) for key in by if row[key] is not None) or "–")


def _decoding(manifest: dict[str, Any]) -> str:
    told = (
        (key.replace("_", " "), value) for key, value in manifest["decoding"].items() if value not in (None, [], {})
    )
    shown = ", ".join(key if value is True else f"{key} {value}" for key, value in told)
    return printable(f"{manifest['model']} ({manifest['published']['family']}): {shown}")


def _recovery(recovery: Figure) -> Any:
    table = _table("\nWrong responses that came out right", "cut at", "phrase", "traces", "mean", "any")
    table.columns[1].justify = "left"
    for row in recovery["rows"]:
        rates = (interval(row[key], share=True) for key in ("mean", "any"))
        table.add_row(number(row["fraction"], share=True), printable(row["phrase"]), f"{row['n_traces']:,}", *rates)
    return table


def _print_end(run: Any) -> None:
    console = _console()
    console.print(f"\nrun     {printable(str(run.path))}")
    if (run.path / "report.html").is_file():
        console.print(f"report  {printable(str(run.path / 'report.html'))}")


def _print_plan(plan: dict[str, Any]) -> None:
    import yaml

    from epiverb.config import plain

    console = _console()
    console.print(printable(yaml.safe_dump(plain(plan["config"]), sort_keys=False, allow_unicode=True)).rstrip())
    shown = ", ".join(f"{key} {value}" for key, value in plan["decoding"].items() if value not in (None, [], ""))
    console.print(f"\ndecoding   {printable(shown)}")
    console.print(f"published  {plan['published']['family']} ({plan['published']['source']})")
    console.print(f"window     {plan['window'] or 'not known'}")
    total = "not known before sampling" if plan["n_requests"] is None else f"{plan['n_requests']:,}"
    console.print(f"requests   {total}, {plan['decoding']['n']} samples each")
    console.print(f"out        {printable(plan['out'])}")
    for arm in plan["arms"]:
        reason = f": {printable(arm['reason'])}" if arm.get("reason") else ""
        skipped = f"; {arm['n_skipped']:,} problems skipped{reason}" if arm["n_skipped"] else ""
        told = f"not known yet{reason}" if arm["n_requests"] is None else f"{arm['n_requests']:,} requests{skipped}"
        console.print(Text(f"\n{arm['condition']}: {told}", "bold"))
        if arm["prompt"] is not None:
            tokens = number(arm["prompt_tokens"])
            console.print(f"prompt of {printable(arm['problem'])}, {tokens} tokens:\n{printable(arm['prompt'])}")


def sft_notes(manifest: Figure) -> list[str]:
    """What was left out, and sets that are empty."""
    lines = []
    for side, counts in manifest["excluded"].items():
        told = ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in counts.items() if count)
        if told:
            lines.append(f"{side}: left out {told}")
    for arm, sets in manifest["arms"].items():
        if not sets["unguided"]["n"]:
            lines.append(f"{arm}: empty; no two responses differ by at most {manifest['caliper']:.0%} in length")
    return lines


def print_sft(manifest: Figure) -> None:
    """The sets with their tokens and markers."""
    console = _console()
    names = list(manifest["lexicons"])
    head = ["responses", "problems", "tokens", "mean", *(f"{name} per 1,000 tokens" for name in names)]
    arms = ", ".join(f"{side} {name}" for side, name in manifest["conditions"].items())
    table = _table(f"Sets for fine-tuning ({printable(arms)})", "set", *head)
    for arm, sets in manifest["arms"].items():
        for side, row in sets.items():
            markers = (number(row["markers"][name]["per_1k_tokens"]) for name in names)
            sizes = (f"{row['n']:,}", f"{row['n_problems']:,}", f"{row['tokens']:,}", number(row["mean_tokens"]))
            table.add_row(f"{arm} {side}", *sizes, *markers)
    console.print(table)
    console.print(f"\nsets  {printable(manifest['out'])}")
