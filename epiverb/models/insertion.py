"""Recorded traces, cut at a fraction and continued behind a phrase: recovery experiments, and forced answers.

    cuts = insertions(traces, tokenizer, fractions=(0.2, 0.5, 0.8), phrases=[phrase("none"), phrase("wait-check")], n=4)
    completions = marked(engine.generate((cut.request for cut in cuts), sampling), cuts)

Every completion is a whole response again (what was kept of the trace, the phrase, what was sampled) and says in `extra`
where it was cut, what was put in, and whether the trace it came from was right; `stats.recovery` reads that.

Source: arXiv 2603.15500 v2, section 4.1. Ours differs: the paper cuts wrong traces only and does not say what it joins
the phrase with; here right traces can be cut as well (does doubt hurt them?), and the joint is an argument.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from epiverb.errors import ConfigError
from epiverb.models.base import Completion, Message, Request
from epiverb.models.phrases import Phrase, n_tokens

JOINT = "\n\n"
"""Between the trace and a phrase, where the trace does not end in a line break there."""


@dataclass(frozen=True)
class Recorded:
    """A trace to cut, and how its model was asked."""

    trace_id: str
    response: str
    messages: tuple[Message, ...] = ()
    text: str | None = None
    """The prompt as it was, instead of a chat."""
    thinking: bool | None = None
    correct: bool | None = None
    thinking_start: int | None = None
    thinking_end: int | None = None


@dataclass(frozen=True)
class Insertion:
    """One cut: the request that continues it, and what `extra` says of its completions."""

    request: Request
    extra: dict[str, Any]


def insertions(
    traces: Iterable[Recorded], tokenizer: Any, *, fractions: Sequence[float] = (), budgets: Sequence[int] = (),
    phrases: Sequence[Phrase], n: int | None = None, within: str = "response", wrong_only: bool = True,
    joint: str = JOINT,
) -> Iterator[Insertion]:  # fmt: skip
    """A request for each trace, place and phrase; the same places for all phrases.

    Args:
        tokenizer: of the model; a fast one, which knows where its tokens are. None: fractions count code points, where
            only a server knows the tokenizer.
        fractions: of the tokens of the response, 0 to 1.
        budgets: places in tokens, as well or instead; a trace that is not longer is not cut there.
        n: samples of each; None: as the sampling says.
        within: `response`, or `thinking`: then a fraction of the thinking, and traces without any are left out.
        wrong_only: only traces known to be wrong, as published.

    Raises:
        ConfigError: no place, a fraction outside 0 to 1, an unknown `within`.
    """
    _check(fractions, budgets, within, tokenizer)
    unit = "characters" if tokenizer is None else "tokens"
    for trace in traces:
        if wrong_only and trace.correct is not False:
            continue
        span = (0, len(trace.response)) if within == "response" else (trace.thinking_start, trace.thinking_end)
        if span[0] is None or span[1] is None:
            continue
        ends = _ends(trace.response[span[0] : span[1]], tokenizer)
        places = [(fraction, int(fraction * len(ends) + 1e-9)) for fraction in fractions]
        places += [(budget / len(ends), budget) for budget in budgets if budget < len(ends)]
        for fraction, position in places:
            kept = trace.response[: span[0] + (ends[position - 1] if position else 0)]
            place = {
                "fraction": fraction,
                "position": position,
                "n_original": len(ends),
                "unit": unit,
                "within": within,
            }
            for phrase in phrases:
                extra = place if tokenizer is None else {**place, "n_inserted": n_tokens(phrase.text, tokenizer)}
                yield _insertion(trace, kept, phrase, extra, joint, n)


def _check(fractions: Sequence[float], budgets: Sequence[int], within: str, tokenizer: Any) -> None:
    if not fractions and not budgets:
        raise ConfigError("nowhere to cut: give fractions of the trace (0.2, 0.5, ...) or budgets in tokens.")
    for fraction in fractions:
        if not 0 <= fraction <= 1:
            raise ConfigError(f"a fraction of a trace is 0 to 1, not {fraction}.")
    if any(budget < 0 for budget in budgets):
        raise ConfigError("a budget in tokens is 0 or more.")
    if within not in ("response", "thinking"):
        raise ConfigError(f"within is response or thinking, not {within!r}.")
    if tokenizer is not None and not getattr(tokenizer, "is_fast", False):
        raise ConfigError("cutting by tokens needs a fast tokenizer, which knows where its tokens are.")


def _ends(text: str, tokenizer: Any) -> list[int]:
    """Where each token of `text` ends, in code points; a character of several tokens ends with the last of them."""
    if tokenizer is None:
        return list(range(1, len(text) + 1))
    spans = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    ends = [end for _, end in spans]
    for i in range(len(spans) - 1):  # a cut inside a character keeps what is before it
        if spans[i + 1][0] < spans[i][1]:
            ends[i] = spans[i][0]
    return ends


def _insertion(
    trace: Recorded, kept: str, phrase: Phrase, place: dict[str, Any], joint: str, n: int | None
) -> Insertion:
    put_in = (("" if kept.endswith("\n") or not kept else joint) + phrase.text) if phrase.text else ""
    extra = {
        "intervention": "insertion",
        "phrase": phrase.name,
        "phrase_neutral": phrase.neutral,
        **place,
        "inserted_at": len(kept),
        "inserted": put_in,
        "original_trace": trace.trace_id,
        "original_correct": trace.correct,
    }
    key = f"{trace.trace_id}@{place['position']}/{place['n_original']}+{phrase.name}"
    request = Request(
        key=key, messages=trace.messages, text=trace.text, prefix=kept + put_in, thinking=trace.thinking, n=n
    )
    return Insertion(request, extra)


def marked(completions: Iterable[Completion], cuts: Iterable[Insertion]) -> Iterator[Completion]:
    """The completions, each with what was done to it in `extra`."""
    extras = {cut.request.key: cut.extra for cut in cuts}
    for completion in completions:
        yield replace(completion, extra={**completion.extra, **extras[completion.key]})


def stop_phrase(closing: str = "</think>", cue: str = "") -> Phrase:
    """The phrase that ends the thinking and begins the answer: with it, a cut becomes stop-thinking.

    Args:
        cue: how the answer begins, such as `**Final Answer**\n\\boxed{`.
    """
    return Phrase("stop-thinking", f"{closing}\n\n{cue}", "arXiv 2501.19393 (s1), section 3.1", neutral=True)


def describe(cuts: Sequence[Insertion], *, fractions: Sequence[float], phrases: Sequence[Phrase]) -> dict[str, Any]:
    """For run.json: what was asked for, and how many cuts and traces it made."""
    return {
        "intervention": "insertion",
        "fractions": list(fractions),
        "phrases": {phrase.name: {"text": phrase.text, "source": phrase.source} for phrase in phrases},
        "n_cuts": len(cuts),
        "n_traces": len({cut.extra["original_trace"] for cut in cuts}),
    }
