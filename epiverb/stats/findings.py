"""A comparison in sentences: the number, its interval, and what it does not show."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from epiverb.stats.caveats import LOOPS


def findings(result: Mapping[str, Any]) -> list[str]:
    """What `compare` found, one sentence a claim, for readers who will not see the tables."""
    said = [_accuracy(result), _solved(result), _finished(result), _parts(result), _length(result)]
    looping = max(result["loops"]["base"] or 0.0, result["loops"]["run"] or 0.0) > LOOPS
    empty = [name for name, block in result["markers"].items() if no_hits(block)]
    if empty:
        said.append(f"No marker of {', '.join(empty)} is in either run.")
    for name, block in result["markers"].items():
        if name in empty:
            continue
        said += [_density(name, block), _without_loops(name, block) if looping else "", _split(name, block)]
    said += [_sensitivity(result), _profile(result)]
    return [sentence for sentence in said if sentence]


def no_hits(block: Mapping[str, Any]) -> bool:
    """True for a lexicon (often of another script) of which neither run has a marker, so that nothing is tested."""
    return block["per_trace"]["base"] == 0 and block["per_trace"]["run"] == 0


def specificity_told(block: Mapping[str, Any] | None) -> str:
    """The sentence of a `specificity` block, or why there is none; empty where it was not asked for."""
    if not block:
        return ""
    return str(
        block.get("sentence") or f"Whether markers changed more than other words cannot be said: {block['reason']}"
    )


def _points(x: float) -> str:
    return f"{100 * x:+.1f}"


def _interval(low: float, high: float) -> str:
    return f"95 % interval {_points(low)} to {_points(high)} points"


def _size(block: Mapping[str, Any]) -> str:
    n = block["n_problems"]
    return f"{n} problem{'s' * (n != 1)}"


def _verdict(block: Mapping[str, Any], interval: Mapping[str, Any], null: float) -> str:
    """Whether test (after correction) and interval show a difference, and what that does not mean."""
    p = block.get("p_adjusted", block["p"])
    name = (f"p = {p:.3g}" if p >= 0.001 else "p < 0.001") + _corrected(block)
    low = -math.inf if interval["lo"] is None else interval["lo"]
    high = math.inf if interval["hi"] is None else interval["hi"]
    if p >= 0.05:
        return f"The data leave open whether there is a difference ({name})."
    if low <= null <= high:
        return f"The test finds a difference ({name}), but the interval holds {null:g}: take it as open."
    return f"The data show a difference ({name}); they do not show why."


def _corrected(block: Mapping[str, Any]) -> str:
    """How p was corrected, with the family where it spans runs."""
    if "p_adjusted" not in block:
        return ""
    return f" after Holm, {block['family']}" if " over " in block["family"] else " after Holm"


def _accuracy(result: Mapping[str, Any]) -> str:
    block = result["accuracy"]
    if block["delta"] is None:
        return f"Accuracy cannot be compared: {block.get('reason', 'it is unknown')}."
    text = f"Accuracy is {block['run']:.1%} against {block['base']:.1%} in the base on {_size(block)}"
    if block["lo"] is None:
        return f"{text}; {block.get('reason', 'no interval')}."
    change = f"{_points(block['delta'])} points, {_interval(block['lo'], block['hi'])}"
    return f"{text} ({change}). {_verdict(block, block, 0)}"


def _solved(result: Mapping[str, Any]) -> str:
    """pass@k at the largest k that both runs have."""
    block = next(iter(reversed(result["pass_at_k"])), None)
    if block is None or block["k"] < 2 or block["lo"] is None:
        return ""
    held = "holds 0: open" if block["lo"] <= 0 <= block["hi"] else "leaves out 0"
    return (
        f"With {block['k']} tries {block['run']:.1%} of the problems are solved, against {block['base']:.1%} "
        f"({_points(block['delta'])} points, {_interval(block['lo'], block['hi'])}, which {held}; not corrected)."
    )


def _finished(result: Mapping[str, Any]) -> str:
    done, given = result["finished"], result["given_finished"]
    if done["delta"] is None or given["delta"] is None or done["base"] == done["run"] == 1:
        return ""
    return (
        f"{done['run']:.1%} of the run's traces finish, against {done['base']:.1%} of the base's; of the finished ones "
        f"{given['run']:.1%} against {given['base']:.1%} are right. Each run finishes other traces, so that the second "
        "difference is not one between equal traces."
    )


def _parts(result: Mapping[str, Any]) -> str:
    split = result["decomposition"]["accuracy"]
    done = result["finished"]
    if split["delta"]["value"] is None or done["base"] == done["run"] == 1:
        return ""
    words = []
    for name, label in (("finished", "finishing"), ("given_finished", "accuracy given finished")):
        part = split[name]
        bounds = "" if part["lo"] is None else f" ({_points(part['lo'])} to {_points(part['hi'])})"
        words.append(f"{_points(part['value'])} points{bounds} from {label}")
    return f"Of the change in accuracy, {' and '.join(words)}; this is arithmetic, not cause."


def _length(result: Mapping[str, Any]) -> str:
    block = result["length"]
    if block["delta"] is None:
        return ""
    text = f"A trace has {block['run']:,.0f} words against {block['base']:,.0f}"
    return f"{text}{_ratio(block)}. Markers a trace follow length; per 1,000 words they need not."


def _ratio(block: Mapping[str, Any]) -> str:
    ratio = block["ratio"]
    if ratio["value"] is None:
        return f" ({block.get('reason', 'the ratio is unknown')})"
    bounds = (
        "" if ratio["lo"] is None or ratio["hi"] is None else f", 95 % interval {ratio['lo']:.2f} to {ratio['hi']:.2f}"
    )
    return f" (ratio {ratio['value']:.2f}{bounds})"


def _density(name: str, block: Mapping[str, Any]) -> str:
    density, trace = block["per_1k_words"], block["per_trace"]
    if density["delta"] is None:
        return f"{name}: markers cannot be compared: {density.get('reason', 'unknown')}."
    text = (
        f"{name}: {trace['run']:.1f} markers a trace against {trace['base']:.1f}{_ratio(trace)}, and "
        f"{density['run']:.2f} per 1,000 words against {density['base']:.2f}{_ratio(density)}"
    )
    if density["p"] is None:
        return f"{text}; {density.get('reason', 'no test')}."
    return f"{text}. {_verdict(density, density['ratio'], 1)}"


def _without_loops(name: str, block: Mapping[str, Any]) -> str:
    density = block["robust"]["per_1k_words"]
    if density["delta"] is None:
        return ""
    rates = f"{density['run']:.2f} per 1,000 words against {density['base']:.2f}"
    return f"{name}: without degenerate loops, {rates}{_ratio(density)}."


def _split(name: str, block: Mapping[str, Any]) -> str:
    share = block["decomposition"]["share_length"]
    if share["value"] is None:
        return ""
    text = (
        f"{name}: {share['value']:.0%} of the log change in markers a trace is length "
        f"({share['lo']:.0%} to {share['hi']:.0%}), the rest density"
    )
    return f"{text}." if 0 <= share["value"] <= 1 else f"{text}; the two went opposite ways."


def _profile(result: Mapping[str, Any]) -> str:
    """Where along the response the first lexicon with markers changed."""
    found: Iterator[tuple[str, Any]] = ((n, b["trajectory"]) for n, b in result["markers"].items() if not no_hits(b))
    name, course = next(found, ("", None))
    if not course or course["lo"] is None:
        return ""
    pairs = list(zip(course["x"], course["lo"], course["hi"], strict=True))
    outside = [x for x, low, high in pairs if low is not None and (low > 0 or high < 0)]
    if not outside:
        return f"{name}: along the response, no twentieth differs once all are looked at together (simultaneous band)."
    where = "all" if len(outside) == len(pairs) else f"{len(outside)}"
    return (
        f"{name}: along the response, {where} of {len(pairs)} twentieths differ, looked at together (simultaneous 95 % "
        f"band; first at {outside[0]:.0%}, last at {outside[-1] + 1 / len(pairs):.0%}). Parts of equal share are "
        "compared, not equal numbers of words."
    )


def _sensitivity(result: Mapping[str, Any]) -> str:
    """Whether the lexicons agree on the direction of the change in density."""
    signs = {n: b["per_1k_words"]["delta"] for n, b in result["markers"].items() if b["per_1k_words"]["delta"]}
    if len(signs) < 2:
        return ""
    fewer = sorted(name for name, delta in signs.items() if delta < 0)
    if len(fewer) in (0, len(signs)):
        direction = "fewer" if fewer else "more"
        who = "Both" if len(signs) == 2 else f"All {len(signs)}"
        return f"{who} lexicons with markers agree on the direction: {direction} per word in the run."
    return (
        f"The lexicons disagree: {', '.join(fewer)} see fewer markers per word, the others more. Report them together."
    )
