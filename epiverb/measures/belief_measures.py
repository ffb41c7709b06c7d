"""The measures of beliefs: along a trace, and one number a trace."""

from __future__ import annotations

from functools import partial

import numpy as np

from epiverb.measures.base import Column
from epiverb.measures.beliefs import BeliefMeasure, Beliefs, changes, eat_stop, entropy

DELTAS = (1e-2, 1e-3, 1e-4, 1e-5)
"""Thresholds of the EAT rule, which the source leaves as a dial."""


def _or_nan(column: Column | None, like: Beliefs) -> Column:
    return np.full(len(like.p_N_K), np.nan) if column is None else column


def _gain(b: Beliefs) -> Column:
    return np.concatenate([[np.nan], -np.diff(b.entropy_N)])


def _gold_gain(b: Beliefs) -> Column:
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = np.diff(np.log(b.gold_N))
    return np.concatenate([[np.nan], np.where(np.isfinite(gain), gain, np.nan)])


def _mean_entropy(b: Beliefs) -> Column:
    return _or_nan(None if b.mean_N_K is None else entropy(b.mean_N_K), b)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def _commit(b: Beliefs) -> float:
    return float(b.commit)


def _post_commit(b: Beliefs) -> float:
    return 1 - b.commit / b.steps if b.steps else float("nan")


def _last_gold(b: Beliefs) -> float:
    return float(b.gold_N[-1])


def _last_entropy(b: Beliefs) -> float:
    return float(b.entropy_N[-1])


def _total_gain(b: Beliefs) -> float:
    return float(b.entropy_N[0] - b.entropy_N[-1])


def _followed(b: Beliefs) -> float:
    return float("nan") if b.own is None else float(b.leader_N[-1] == b.own)


def _lost(b: Beliefs) -> float:
    """Unknown without gold or without the trace's answer; 0 where the answer is right or was never led by."""
    if b.own is None or not b.right_K.any():
        return float("nan")
    return float(bool(b.right_K[b.leader_N].any()) and not b.right_K[b.own])


def _switches(b: Beliefs) -> float:
    return float(np.count_nonzero(np.diff(b.leader_N)))


def _changed_marker(b: Beliefs) -> float:
    marked, _, changed = changes(b)
    return _share(int(changed[marked].sum()), len(marked))


def _changed_control(b: Beliefs) -> float:
    _, control, changed = changes(b)
    return _share(int(changed[control].sum()), len(control))


def _rumination(b: Beliefs) -> float:
    marked = np.flatnonzero(b.marked_N[: b.steps + 1])
    return _share(int((marked > b.commit).sum()), len(marked))


def _underthinking(b: Beliefs) -> float:
    """Unknown for a trace that is right, or of which that is not known; 0 where no thought is right."""
    if b.own is None or not b.right_K.any() or b.right_K[b.own] or not b.steps or not b.tokens_N[-1]:
        return float("nan")
    right = np.flatnonzero(b.right_K[b.leader_N[1:]])
    return float(1 - b.tokens_N[right[0] + 1] / b.tokens_N[-1]) if len(right) else 0.0


def _importance(b: Beliefs) -> Column:
    return np.concatenate([[np.nan], np.diff(b.gold_N)])


def _area(b: Beliefs) -> float:
    start = b.entropy_N[0]
    return float(b.entropy_N[1:].mean() / start) if b.steps and start > 0 else float("nan")


def _monotone(b: Beliefs) -> float:
    return float((np.diff(b.entropy_N) <= 1e-12).mean()) if b.steps else float("nan")


def stop_of(b: Beliefs, delta: float) -> int:
    """The entry at which the EAT rule stops, the last one where it does not."""
    found = eat_stop(b.eat_N, delta=delta) if b.eat_N is not None else None
    return b.steps if found is None else found


def _stop_share(b: Beliefs, delta: float) -> float:
    if b.eat_N is None or not np.isfinite(b.eat_N).all() or not len(b.tokens_N) or not b.tokens_N[-1]:
        return float("nan")
    return float(b.tokens_N[stop_of(b, delta)] / b.tokens_N[-1])


def _stop_right(b: Beliefs, delta: float) -> float:
    if b.eat_N is None or not np.isfinite(b.eat_N).all() or not b.right_K.any():
        return float("nan")
    return float(b.right_K[b.leader_N[stop_of(b, delta)]])


def _forced_right(b: Beliefs) -> float:
    return float(b.right_K[b.leader_N[-1]]) if b.right_K.any() else float("nan")


_SELF = "arXiv 2603.15500, 3.1"
POINTS: tuple[BeliefMeasure, ...] = (
    BeliefMeasure("belief-entropy", "nats", "less decided", "Entropy over the candidate answers.", lambda b: b.entropy_N,
                  axis="sentence"),
    BeliefMeasure("belief-entropy/mean-logprob", "nats", "less decided",
                  "The same, candidates weighed by their mean log-probability a token instead of the sum.", _mean_entropy,
                  axis="sentence"),
    BeliefMeasure("belief-gold", "probability", "nearer to the right answer", "Probability of the right answer.",
                  lambda b: b.gold_N, needs=("beliefs", "gold"), axis="sentence"),
    BeliefMeasure("belief-gain", "nats", "the sentence decides more",
                  f"Information gained by a sentence: entropy before less entropy behind it. Source: {_SELF}.", _gain,
                  axis="sentence"),
    BeliefMeasure("belief-gold-gain", "nats", "the sentence speaks for the right answer",
                  "Change of the log-probability of the right answer.", _gold_gain, needs=("beliefs", "gold"),
                  axis="sentence"),
    BeliefMeasure("belief-importance", "probability", "the sentence speaks for the right answer",
                  "Change of the probability of the right answer, answers forced before and behind the sentence. Source: "
                  "forced importance in thought anchors, arXiv 2506.19143.", _importance, needs=("beliefs", "gold"),
                  axis="sentence"),
    BeliefMeasure("belief-coverage", "probability", "the candidates are what the model would say",
                  "The model's probability of all candidates together, as it would write them behind the stem.",
                  lambda b: _or_nan(b.coverage_N, b), axis="sentence"),
    BeliefMeasure("eat", "nats", "less decided",
                  "Entropy of the next token behind the closing tag. Source: arXiv 2509.26522.",
                  lambda b: _or_nan(b.eat_N, b), needs=("eat",), axis="sentence"),
    BeliefMeasure("eat/answer", "nats", "less decided", "Entropy of the first token of the answer, behind the stem.",
                  lambda b: _or_nan(b.asked_N, b), needs=("eat",), axis="sentence"),
)  # fmt: skip

VALUES: tuple[BeliefMeasure, ...] = (
    BeliefMeasure("belief-last-entropy", "nats", "less decided in the end", "Entropy behind the last sentence.",
                  _last_entropy),
    BeliefMeasure("belief-last-gold", "probability", "nearer to the right answer",
                  "Probability of the right answer behind the last sentence.", _last_gold, needs=("beliefs", "gold")),
    BeliefMeasure("belief-total-gain", "nats", "the thinking decides more",
                  "Entropy before the thinking less entropy behind it.", _total_gain),
    BeliefMeasure("belief-commit", "sentences", "the answer settles later",
                  "The first belief from which on the likeliest answer stays the last one's.", _commit),
    BeliefMeasure("belief-post-commit", "share of the sentences", "more thinking after the answer is settled",
                  "Sentences behind the commit point (overthinking).", _post_commit),
    BeliefMeasure("belief-underthinking", "share of the thinking's tokens", "a wrong trace leaves a right thought earlier",
                  "Of wrong traces: the tokens behind the first sentence that makes a right answer lead; 0 where none does. "
                  "Source: arXiv 2501.18585. Ours differs: a sentence is right where the forced answer is, instead of a "
                  "thought that a judge model finds right.", _underthinking, needs=("beliefs", "gold", "own")),
    BeliefMeasure("belief-switches", "changes", "the likeliest answer changes more often",
                  "How often the likeliest answer changes.", _switches),
    BeliefMeasure("belief-followed", "0 or 1", "the trace answers what it believed last",
                  "Whether the trace's answer is the likeliest one behind its last sentence.", _followed,
                  needs=("beliefs", "own")),
    BeliefMeasure("belief-lost", "0 or 1", "a right answer was given up",
                  "Whether the right answer led at some point and the trace answers another one.", _lost,
                  needs=("beliefs", "gold", "own")),
    BeliefMeasure("belief-changed/marker", "share of marked sentences", "doubt changes the answer more often",
                  "Marked sentences within three sentences of which another answer comes to lead.", _changed_marker,
                  needs=("beliefs", "hits")),
    BeliefMeasure("belief-changed/control", "share of control sentences", "answers change without doubt, too",
                  "The same of the nearest unmarked sentences of the trace, one for each marked one.", _changed_control,
                  needs=("beliefs", "hits")),
    BeliefMeasure("belief-rumination", "share of marked sentences", "more doubt that changes nothing",
                  "Marked sentences behind the commit point.", _rumination, needs=("beliefs", "hits")),
    BeliefMeasure("belief-area", "share of the first entropy", "undecided for longer",
                  "Mean entropy over that before the thinking. Source: InfoDensity v1, arXiv 2603.17310.", _area),
    BeliefMeasure("belief-monotone", "share of the sentences", "steadier",
                  "Sentences that do not raise the entropy. Source: InfoDensity v1, arXiv 2603.17310.", _monotone),
    BeliefMeasure("belief-forced-right", "0 or 1", "right when made to answer",
                  "Whether the likeliest answer behind the last sentence is right.", _forced_right,
                  needs=("beliefs", "gold")),
    *(BeliefMeasure(f"eat-stop/{delta:g}", "share of the thinking's tokens", "stops later",
                    f"What is read before the variance of EAT falls below {delta:g}; 1: it never does.",
                    partial(_stop_share, delta=delta), needs=("eat",)) for delta in DELTAS),
    *(BeliefMeasure(f"eat-stop-right/{delta:g}", "0 or 1", "right where it stops",
                    f"Whether the likeliest answer is right where EAT stops at {delta:g}.",
                    partial(_stop_right, delta=delta), needs=("eat", "gold")) for delta in DELTAS),
)  # fmt: skip
