"""Which solution the teacher is shown for a response: a peer's, the data set's, or none but feedback."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

from epiverb.errors import ConfigError, DataError, nearest

Source = Literal["peer", "dataset", "feedback"]
SOURCES = ("peer", "dataset", "feedback")
CHOICES = ("first", "random", "shortest", "longest", "most-markers", "fewest-markers")


@dataclass(frozen=True)
class Rollout:
    """One response to a problem, and what its row of the data set holds."""

    response: str
    reward: float | None
    """None: could not be graded, so it is no demonstration."""
    n_tokens: int | None = None
    n_markers: int | None = None
    solution: str | None = None
    """The data set's own."""
    feedback: str | None = None
    """What the environment said of this response."""


@dataclass(frozen=True)
class Demonstration:
    """What the teacher is shown."""

    source: Source
    text: str
    index: int | None = None
    """Place of the peer in the group."""


def select_demonstration(
    group: Sequence[Rollout],
    index: int,
    *,
    sources: Sequence[Source] = ("peer",),
    choose: str = "first",
    threshold: float = 0.5,
    own: bool = False,
    correct: bool = True,
    rng: random.Random | None = None,
) -> Demonstration | None:
    """The demonstration for response `index` of its group, from the first of `sources` that has one; None where none has.

    Args:
        group: all responses to the problem, in the order of the batch.
        sources: `peer`, a response that succeeded; `dataset`, the row's solution; `feedback`, what was said of this response.
        choose: among peers: `first` (the published runs, whose batches are in no order), `random`, `shortest`, `longest`,
            `most-markers`, `fewest-markers`; ties go to the first.
        threshold: reward from which a response succeeded.
        own: whether a response that succeeded may be its own demonstration.
        correct: False chooses among peers that failed, for contrast.
        rng: for `random`; seed it by run, step and problem and it is the same after a resume.

    Raises:
        ConfigError: a source or choice that there is not, or `random` without `rng`.
        DataError: a candidate without the length or marker count by which to choose.

    Source: arXiv 2603.24472, beanie00/self-distillation-analysis@5c51051 ray_trainer.py, which has `first` only.
    """
    for source in sources:
        if source not in SOURCES:
            raise ConfigError(f"unknown source of demonstrations {source!r}.{nearest(source, SOURCES)}")
        if source == "peer":
            if (chosen := _peer(group, index, choose, threshold, own, correct, rng)) is not None:
                return Demonstration("peer", group[chosen].response, chosen)
            continue
        text = group[index].solution if source == "dataset" else group[index].feedback
        if text and text.strip():
            return Demonstration(source, text)
    return None


def _peer(
    group: Sequence[Rollout],
    index: int,
    choose: str,
    threshold: float,
    own: bool,
    correct: bool,
    rng: random.Random | None,
) -> int | None:
    """Place of the chosen peer."""
    if choose not in CHOICES:
        raise ConfigError(f"unknown choice of demonstrations {choose!r}.{nearest(choose, CHOICES)}")
    able = [
        i
        for i, rollout in enumerate(group)
        if rollout.reward is not None and (rollout.reward >= threshold) == correct and (own or i != index)
    ]
    if not able or choose == "first":
        return able[0] if able else None
    if choose == "random":
        if rng is None:
            raise ConfigError("a random demonstration needs rng, a seeded random.Random.")
        return rng.choice(able)
    name, sign = {
        "shortest": ("n_tokens", 1),
        "longest": ("n_tokens", -1),
        "most-markers": ("n_markers", -1),
        "fewest-markers": ("n_markers", 1),
    }[choose]
    sizes = {i: getattr(group[i], name) for i in able}
    for i, size in sizes.items():
        if size is None:
            raise DataError(f"response {i} of the group has no {name}, by which {choose!r} chooses.")
    return min(able, key=lambda i: sign * sizes[i])


def groups_of(problems: Sequence[Hashable]) -> list[list[int]]:
    """Places of the responses of each problem, in the order of the batch; problems in order of appearance."""
    places: dict[Hashable, list[int]] = defaultdict(list)
    for place, problem in enumerate(problems):
        places[problem].append(place)
    return list(places.values())


def fractions(
    rollouts: Sequence[Rollout],
    problems: Sequence[Hashable],
    solved: Sequence[bool],
    told: Sequence[bool],
    *,
    threshold: float = 0.5,
) -> dict[str, float]:
    """How much of a batch has a teacher, by the names of the published runs.

    Args:
        problems: the problem of each rollout.
        solved, told: whether each rollout's teacher was shown a solution, and feedback.
    """
    n = len(rollouts)
    groups = groups_of(problems)
    won = [any((rollouts[i].reward or 0) >= threshold for i in places) for places in groups]
    return {
        "success_group_fraction": sum(won) / len(groups),
        "success_sample_fraction": sum(solved) / n,
        "feedback_available_fraction": sum(bool((r.feedback or "").strip()) for r in rollouts) / n,
        "feedback_used_fraction": sum(told) / n,
        "reprompt_sample_fraction": sum(a or b for a, b in zip(solved, told, strict=True)) / n,
    }
