"""What a model computes about a run, as a section of its report: made of `score.json`, which `epiverb score` writes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from epiverb.plots import scores as plots
from epiverb.plots.style import axes, svg
from epiverb.report import beliefs
from epiverb.report.html import figure, interval, number, prose, spread, table, text

Figure = dict[str, Any]


def section(run: Path) -> str:
    """The section as HTML; nothing where the run is not scored."""
    path = run / "score.json"
    if not path.is_file():
        return ""
    document = json.loads(path.read_text("utf-8"))
    parts = [
        draw(document[stage])
        for stage, draw in (("tokens", _tokens), ("richness", _richness), ("pressure", _pressure))
        if stage in document
    ]
    if "beliefs" in document:
        parts.append(_beliefs(run, document["beliefs"]))
    if "mi" in document:
        parts.append(beliefs.information(document["mi"]))
    if "agreement" in document:
        parts.append(beliefs.agreed(document["agreement"]))
    if "signals" in document:
        parts.append(beliefs.judged(document["signals"]))
    return f"<h2>What the model computes</h2>{''.join(parts)}" if any(parts) else ""


def _tokens(block: Figure) -> str:
    used = (block["model"] or {}).get("model") or "stored log-probabilities"
    used = Path(used).name if Path(used).is_absolute() else used
    told = (
        f"{block['n_scored']:,} of {block['n_traces']:,} traces, {block['n_tokens']:,} tokens, read by {used}; "
        f"entropy: {block['entropy']}."
    )
    drawn = [_heat(row, block["shown"]) for row in block.get("shown", {}).get("rows", ())]
    drawn += [_event(row, block["events"]) for row in block["events"].get("rows", ())]
    return _prelude("Tokens", told, block) + _figures(drawn) + _measures(block) + _forks(block["forks"])


def _heat(row: Figure, block: Figure) -> str:
    count, each = f"{row['n_tokens']:,} tokens", row["tokens_per_stripe"]
    stripes = "a stripe a token" if each == 1 else f"a stripe is the mean of {each} tokens"
    hits = pl.DataFrame(row["markers"], schema={"category": pl.String, "x": pl.Int64})
    fig, (ax,) = axes(1.1 + 0.14 * hits["category"].n_unique())
    plots.heat([float("nan") if value is None else value for value in row["entropy"]], hits, ax, each=each)
    told = f"{count}, {len(hits)} markers"
    title = f"{block['of'].capitalize()} along {row['trace_id']}"
    return figure(
        title, f"{count}, {stripes}; the more ink, the more of it. Above: where markers begin.", svg(fig, title, told)
    )


def _event(row: Figure, block: Figure) -> str:
    fig, (ax,) = axes(2.3)
    plots.event(row, ax)
    title = f"{block['of'].capitalize()} around {row['category']}"
    note = (
        f"Mean over the {row['n_matched']:,} of {row['n']:,} markers that stand alone and have a matched position in their "
        f"trace. The rise behind a marker less that at controls: {interval(row['difference'])} nats."
    )
    return figure(title, note, svg(fig, title, interval(row["difference"])))


def _measures(block: Figure) -> str:
    rows = block["measures"]
    conditions = list(dict.fromkeys(row["condition"] for row in rows))
    by = {(row["measure"], row["condition"]): row for row in rows}
    names = {row["measure"]: row["unit"] for row in rows}
    lines = [(name, unit, *(spread(by.get((name, one))) for one in conditions)) for name, unit in names.items()]
    body = table("Mean of a trace", ("measure", "unit", *(str(one or "all traces") for one in conditions)), lines)
    return f"<details><summary>Every measure of tokens</summary>{body}</details>"


def _forks(block: Figure) -> str:
    if not block.get("rows"):
        return f'<p class="quiet">Forks: {text(block.get("reason", "no marker begins a token"))}.</p>'
    share = number(block["share_of_tokens"], share=True)
    title = f"Markers that begin in a fork, one of the {share} of tokens with the highest {block['of']}"
    rows = [
        (row["category"], f"{row['n']:,}", spread(row["share"], share=True), spread(row["lift"]))
        for row in block["rows"]
    ]
    return table(title, ("category", "markers", "begin in a fork", "times as often as any token"), rows)


def _richness(block: Figure) -> str:
    told = f"{block['n_traces']:,} traces: how much likelier a response is behind the context than behind the question alone."
    head = ("context", "traces", "nats a trace", "nats a token", "a token, traces without it", "H(y|x) − H(y|x,c)")
    rows = [
        (
            row["condition"],
            f"{row['guided']['n_traces']:,}",
            spread(row["guided"]["per_trace"]),
            spread(row["guided"]["per_token"]),
            spread(row["unguided"]["per_token"]),
            spread(row["entropy_difference"]),
        )
        for row in block["rows"]
    ]
    note = (
        "How much likelier a token is behind each context, on the traces written under it; whiskers are 95 % intervals."
    )
    drawn = _whiskers("The ladder of contexts", note, plots.ladder, block, len(rows))
    body = table("Information richness of each context, nats", head, rows)
    return _prelude("Information richness", told, block) + _figures([drawn]) + body


def _pressure(block: Figure) -> str:
    drawn = [
        _whiskers(
            "Expected suppression",
            "Markers a teacher shown each context gives less or more probability, along the student's own traces.",
            plots.suppression,
            block,
            len(block["ranking"]),
        )
    ]
    for one in block["contexts"]:
        title = f"Pressure by category, shown {one['context']}"
        note = "KL of student from teacher on tokens of each kind, as a multiple of the mean token's."
        drawn.append(_whiskers(title, note, plots.pressure, one, len(one["classes"])))
    rows = [
        (
            row["context"],
            spread(row["relative_change"], share=True),
            spread(row["student_mass"]),
            spread(row["teacher_mass"]),
        )
        for row in block["ranking"]
    ]
    head = ("context", "change asked for", "student, per 1,000 tokens", "teacher, per 1,000 tokens")
    body = table("Contexts by the change in marker probability that they ask for", head, rows)
    return _prelude("Suppression pressure", block["sentence"], block) + _figures(drawn) + body + _words(block)


def _words(block: Figure) -> str:
    """KL on each marker over that on all tokens, a column a context: the paper's table."""
    by = {(row["marker"], one["context"]): row for one in block["contexts"] for row in one["words"]}
    contexts = [one["context"] for one in block["contexts"]]
    count = {marker: row["n"] for (marker, _), row in by.items()}
    rows = [
        (marker, f"{n:,}", *(spread(by[marker, one]["ratio"] if (marker, one) in by else None) for one in contexts))
        for marker, n in sorted(count.items(), key=lambda item: -item[1])
    ]
    if not rows:
        return ""
    body = table(
        "KL of student from teacher on a marker, times the mean of all tokens", ("marker", "tokens", *contexts), rows
    )
    return f"<details><summary>Pressure on every marker</summary>{body}</details>"


def _beliefs(run: Path, block: Figure) -> str:
    asked = f"{block['n_scored']:,} of {block['n_traces']:,} traces, {block['n_places']:,} places; {block['how']}."
    drawn = _figures([*beliefs.bands(run), *beliefs.gained(block)])
    return _prelude("Beliefs", asked, block) + drawn + beliefs.told(block)


def _whiskers(title: str, note: str, draw: Callable[..., Any], block: Figure, rows: int) -> str:
    fig, (ax,) = axes(0.8 + 0.24 * max(rows, 2))
    draw(block, ax)
    return figure(title, note, svg(fig, title, note))


def _figures(drawn: list[str]) -> str:
    return f'<div class="figures">{"".join(drawn)}</div>' if drawn else ""


def _prelude(title: str, sentence: str, block: Figure) -> str:
    """A heading, what was found or read in a sentence, and what is unknown with its reason."""
    unknown = "; ".join(f"{n:,} unknown: {why}" for why, n in block["unknown"].items())
    rest = f'<p class="quiet">{text(unknown.rstrip("."))}.</p>' if unknown else ""
    return f"<h3>{text(title)}</h3><p>{prose(sentence)}</p>{rest}"
