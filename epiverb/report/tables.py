"""The tables of a comparison: every number with its interval, its size n, and how it was tested."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from epiverb.report.html import Markup, interval, number, spread, table, text
from epiverb.schema import CATEGORIES, CONTROLS
from epiverb.stats.findings import no_hits

Block = dict[str, Any]
HEAD = ("difference", "ratio", "p", "p corrected", "n problems")
OUTCOMES = {
    "accuracy": "accuracy", "finished": "finished", "given_finished": "right if finished", "loops": "in a loop",
}  # fmt: skip
LENGTHS = {
    "mean": "words, mean",
    "median": "words, median",
    "trimmed": "words, 20 % trimmed",
    "robust": "words, no loops",
}


def tables(result: Block, names: tuple[str, str]) -> str:
    """All tables of one comparison."""
    markers = {name: block for name, block in result["markers"].items() if not no_hits(block)}
    silent = [name for name in result["markers"] if name not in markers]
    parts = [_outcomes(result, names), *_pass(result, names), _lexicons(markers, names), _shares(markers)]
    for name, block in markers.items():
        parts.append(details(f"Categories of {name}", _categories(name, block, names)))
    for name, block in markers.items():
        parts.append(details(f"Every marker of {name}", _words(name, block, names)))
    if silent:
        parts.append(f'<p class="quiet">No marker of {text(", ".join(silent))} in either run.</p>')
    parts += [*_specificity(result.get("specificity"), names), *_strata(result, names)]
    return "".join([*parts, details("How it was computed", _method(result, markers))])


def details(summary: str, body: str) -> str:
    """A part of the page that opens on demand."""
    return f"<details><summary>{text(summary)}</summary>{body}</details>"


def p_value(p: float | None) -> str:
    """A p value to three digits; a dash where nothing was tested."""
    return "–" if p is None else "<0.001" if p < 0.001 else f"{p:.3f}"


def row(
    label: str, block: Block, show: Callable[[float | None], str], change: Callable[[Block], object]
) -> list[object]:
    """A row of a contrast: base, run, difference, ratio, p twice, n."""
    corrected = p_value(block.get("p_adjusted")) if "p_adjusted" in block or block["p"] is None else "not corrected"
    told = (show(block["base"]), show(block["run"]), change(block), ratio(block))
    return [label, *told, p_value(block["p"]), corrected, f"{block.get('n_problems', 0) or '–'}"]


def ratio(block: Block) -> Markup:
    """Run over base with its interval; one bound where one of them is zero."""
    r = block["ratio"]
    if r["value"] == 0:
        r = {**r, "lo": 0.0}
    if r["value"] is not None:
        return spread(r if r["hi"] is not None else {**r, "lo": None})
    bound = f"≥ {number(r['lo'])}" if r["lo"] is not None else f"≤ {number(r['hi'])}" if r["hi"] is not None else "–"
    return Markup(f"<b>{bound}</b>")


def points(block: Block) -> Markup:
    """A difference of shares in percentage points."""
    return _difference(block, 100.0)


def plain(block: Block) -> Markup:
    """A difference in the unit of the figure."""
    return _difference(block, 1.0)


def _difference(block: Block, scale: float) -> Markup:
    if block["delta"] is None:
        return Markup(f"<b>–</b> <small>{text(block.get('reason', ''))}</small>")
    values = [None if block[key] is None else scale * block[key] for key in ("delta", "lo", "hi")]
    signed = [None if v is None else f"{'+' if v > 0 else ''}{number(v)}" for v in values]
    bounds = f" <small>[{signed[1]}, {signed[2]}]</small>" if signed[1] and signed[2] else ""
    return Markup(f"<b>{signed[0]}</b>{bounds}")


_share = partial(number, share=True)


def _outcomes(result: Block, names: tuple[str, str]) -> str:
    rows = [row(label, result[key], _share, points) for key, label in OUTCOMES.items()]
    length = result["length"]
    rows += [row(label, length if key == "mean" else length[key], number, plain) for key, label in LENGTHS.items()]
    unique = result["unique_answers"]
    rows.append(row("different answers a problem", unique, number, plain))
    n = result["n_traces"]
    size = (
        f"n = {n['base']:,} and {n['run']:,} traces, {result['n_problems']:,} problems; differences of shares in points"
    )
    return table(f"Outcomes ({size})", ("", *names, *HEAD), rows)


def _pass(result: Block, names: tuple[str, str]) -> list[str]:
    if len(result["pass_at_k"]) < 2:
        return []
    rows = [row(f"pass@{block['k']}", block, _share, points) for block in result["pass_at_k"]]
    return [table("pass@k, over problems with k graded samples in both", ("", *names, *HEAD), rows)]


def _lexicons(markers: dict[str, Block], names: tuple[str, str]) -> str:
    rows = []
    for name, block in markers.items():
        for key, label in (
            ("per_trace", "a trace"),
            ("per_1k_words", "per 1,000 words"),
            ("per_1k_tokens", "per 1,000 tokens"),
        ):
            if key in block:
                rows.append(row(f"{name}, {label}", block[key], number, plain))
            if key in block["robust"]:
                rows.append(row(f"{name}, {label}, no loops", block["robust"][key], number, plain))
        rows.append(row(f"{name}, traces with one", block["presence"], _share, points))
    return table("Epistemic markers", ("", *names, *HEAD), rows) if rows else ""


def _shares(markers: dict[str, Block]) -> str:
    rows = []
    for name, block in markers.items():
        for label, split in ((name, block["decomposition"]), (f"{name}, no loops", block["decomposition"]["robust"])):
            cells = [exponential(split[key]) for key in ("markers", "length", "density")]
            share = split["share_length"]
            rows.append(
                [label, *cells, spread(share, share=True) if share["value"] is not None else share.get("reason", "–")]
            )
    head = ("", "markers a trace", "= words a trace", "× markers a word", "share of length (log)")
    return table("What the change in markers is made of, as ratios", head, rows) if rows else ""


def exponential(block: Block) -> Markup:
    """A log ratio as a ratio with its interval."""
    from math import exp

    known = {key: None if block.get(key) is None else exp(min(block[key], 30)) for key in ("value", "lo", "hi")}
    if known["hi"] is None:
        known["lo"] = None
    return spread(known)


def _categories(name: str, block: Block, names: tuple[str, str]) -> str:
    rows = []
    for category in (c for c in CATEGORIES if c in block["per_category"]):
        label = f"{category} (control)" if category in CONTROLS else category
        one = block["per_category"][category]
        rows += [row(f"{label}, a trace", one["per_trace"], number, plain)]
        rows += [row(f"{label}, per 1,000 words", one["per_1k_words"], number, plain)]
        rows += [row(f"{label}, no loops", one["robust"]["per_1k_words"], number, plain)]
        rows += [row(f"{label}, traces with one", one["presence"], _share, points)]
    return table(f"{name} by category", ("", *names, *HEAD), rows)


def _words(name: str, block: Block, names: tuple[str, str]) -> str:
    rows = [
        [word, one["category"], *row("", one["per_1k_words"], number, plain)[1:-1]]
        for word, one in block["per_marker"].items()
    ]
    head = ("marker", "category", *names, *HEAD[:-1])
    return table(f"{name}, per 1,000 words (screen, Benjamini-Hochberg)", head, rows)


def _specificity(block: Block | None, names: tuple[str, str]) -> list[str]:
    if not block:
        return []
    if not block.get("controls"):
        return [f'<p class="quiet">Specificity: {text(block.get("reason", "not known"))}</p>']
    labels = {"matched": "words as frequent and as spread", "booster": "boosters", "procedural": "procedural words"}
    rows = [["epistemic words", exponential(block["epistemic"]), "–"]]
    rows += [
        [labels.get(k, k), exponential(v), exponential(block["difference"][k])] for k, v in block["controls"].items()
    ]
    caption = f"Specificity: rate per word of text, run over base (n = {block['n_problems']:,} problems)"
    placebo, shift = block["placebo"], block["raw_shift"]
    said = (
        f"Of {placebo['n_sets']:,} random sets of words as frequent, {100 * placebo['share_more_suppressed']:.1f} % fell as "
        f"much or more (two-sided p {p_value(placebo['p'])}). The raw mean shift a response is {number(shift['markers'])} for "
        f"markers and {number(shift['vocabulary'])} for all words; it favours frequent words (rank correlation of frequency "
        f"and size of shift {number(shift['frequency_bias'])})."
    )
    head = ("words", "ratio", "epistemic relative to them")
    lists = "".join(
        _extremes(title, block["words"][key])
        for key, title in (("suppressed", "Most suppressed"), ("favoured", "Most favoured"))
    )
    return [
        table(caption, head, rows),
        f'<p class="quiet">{text(said)}</p>',
        details(f"Words that changed most ({block['words']['family']})", lists),
    ]


def _extremes(title: str, words: Sequence[Block]) -> str:
    rows = [
        [
            f"{w['word']}{' (marker)' if w['marker'] else ''}", number(w["base_per_1k"]), number(w["run_per_1k"]),
            f"{w['log_odds']:+.2f}", f"{w['z_problems']:+.1f}", p_value(w["q"]),
        ]
        for w in words
    ]  # fmt: skip
    return table(f"{title} words", ("word", "base per 1,000", "run per 1,000", "log odds", "z", "q"), rows)


def _strata(result: Block, names: tuple[str, str]) -> list[str]:
    rows: list[list[object]] = []
    for stratum in result["strata"]:
        label = " · ".join(filter(None, (stratum["benchmark"], stratum["domain"]))) or "not named"
        rows += [
            row(f"{label}, {name}", stratum[key], _share, points)
            for key, name in OUTCOMES.items()
            if stratum[key]["delta"] is not None
        ]
        rows.append(row(f"{label}, words", stratum["length"], number, plain))
        for lexicon, block in stratum["markers"].items():
            if not no_hits(block):
                rows.append(row(f"{label}, {lexicon} per 1,000 words", block["per_1k_words"], number, plain))
    if not rows:
        return []
    return [
        details(
            "Each benchmark and domain by itself (exploratory, not corrected)",
            table("By benchmark and domain", ("", *names, *HEAD), rows),
        )
    ]


def families(listed: Iterable[Block]) -> str:
    """Which tests were corrected together."""
    rows = [[one["name"], one["method"], f"{one['n']}"] for one in listed if one["n"]]
    return table("Tests corrected together", ("family", "method", "tests"), rows)


def _method(result: Block, markers: dict[str, Block]) -> str:
    blocks = {label: result[key] for key, label in OUTCOMES.items()} | {"words": result["length"]}
    for name, block in markers.items():
        blocks |= {f"{name} a trace": block["per_trace"], f"{name} per 1,000 words": block["per_1k_words"]}
    rows = [
        [label, number(b["se"]), _bca(b), b["method"] or b.get("reason", "–"), b["test"] or "–"]
        for label, b in blocks.items()
    ]
    hashes = ", ".join(f"{name} {block['sha256'][:12]}" for name, block in result["markers"].items() if block["sha256"])
    out = result["left_out"]
    said = (
        f"Base: {result['base']}; run: {result['run']}. {result['draws']:,} draws, seed {result['seed']}. Problems without a "
        f"partner: {out.get('base', 0)} of the base, {out.get('run', 0)} of the run. Lexicons: {hashes or 'hash unknown'}."
    )
    head = ("", "cluster-robust SE", "BCa limits", "interval", "test")
    return (
        families(result["families"])
        + table("Errors, intervals and tests", head, rows)
        + f'<p class="quiet">{text(said)}</p>'
    )


def _bca(block: Block) -> str:
    low, high = block["bca"]["lo"], block["bca"]["hi"]
    return (
        "–" if low is None or high is None else interval({"value": low, "lo": None, "hi": None}) + " to " + number(high)
    )
