"""What was sampled and graded: who has which demonstration, and the rows that a `Watch` is told."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from epiverb.contexts.base import Message
from epiverb.train import demonstrations
from epiverb.train.demonstrations import Demonstration, select_demonstration
from epiverb.train.reprompt import Reprompt, reprompt
from epiverb.train.settings import Distillation
from epiverb.train.watch import Marked, Rollout

SAID = ("answer", "correct", "grade_reason", "feedback")
"""Columns that a reward function may say of each response by `log_extra`, which the record has a place for."""


@dataclass
class Sampled:
    """The responses of this process to one batch of prompts, graded; rewards are those of all processes."""

    step: int
    """Updates that the policy had had."""
    rank: int
    group: int
    """Responses a problem."""
    rows: list[dict[str, Any]]
    """Of the data set, one a response."""
    ids: list[list[int]]
    ended: list[bool]
    """Whether the response ended by itself."""
    grades: Tensor
    """Rewards of all processes (N,), by the user's functions; NaN: unknown."""
    rewards: Tensor
    """The same with terms of the reward."""
    advantages: Tensor
    """Of all processes (N,)."""
    said: dict[str, list[Any]] = field(default_factory=dict)
    marked: list[Marked] | None = None

    @property
    def first(self) -> int:
        """Place of the first row among those of all processes."""
        return self.rank * len(self.ids)

    def key(self, place: int) -> str:
        """The name of the response at a place among those of all processes."""
        return f"{self.step}-{place // len(self.ids)}-{place % len(self.ids)}"

    def own(self, values: Tensor) -> Tensor:
        """The part of this process."""
        return values[self.first : self.first + len(self.ids)]

    def spread(self) -> bool:
        """Whether a group may lie in several processes; every process says the same."""
        return len(self.ids) % self.group != 0

    def peers(self, texts: Sequence[str]) -> list[demonstrations.Rollout]:
        """The responses as candidates for a demonstration."""
        grades = self.own(self.grades).tolist()
        marks: Sequence[Marked | None] = self.marked or [None] * len(self.ids)
        feedback = self.said.get("feedback") or [row.get("feedback") for row in self.rows]
        return [
            demonstrations.Rollout(
                text,
                None if grade != grade else grade,
                len(ids),
                None if mark is None else mark.n_markers,
                row.get("solution"),
                told,
            )
            for text, grade, ids, mark, row, told in zip(
                texts, grades, self.ids, marks, self.rows, feedback, strict=True
            )
        ]


@dataclass(frozen=True)
class Peers:
    """Candidates for a demonstration: those of this process, or of all where groups are spread."""

    first: int
    """Place of the first among those of all processes."""
    rollouts: list[demonstrations.Rollout]
    group: int

    def around(self, place: int) -> tuple[int, list[demonstrations.Rollout]]:
        """Where the group of the response at `place` begins, and the group."""
        start = (place - self.first) // self.group * self.group
        return self.first + start, self.rollouts[start : start + self.group]

    def stranger(self, place: int, threshold: float) -> Demonstration | None:
        """The first response that succeeded at the next problem that has one."""
        n = len(self.rollouts)
        start = (place - self.first) // self.group * self.group
        for step in range(self.group, n, self.group):
            at = (start + step) % n
            for i, peer in enumerate(self.rollouts[at : at + self.group]):
                if peer.reward is not None and peer.reward >= threshold:
                    return Demonstration("peer", peer.response, self.first + at + i)
        return None


@dataclass(frozen=True)
class Lesson:
    """What a teacher is shown for one response."""

    prompt: Reprompt
    demonstration: Demonstration | None = None
    """Its index is the peer's place among all processes."""
    ids: tuple[int, ...] = ()
    """The teacher's prompt; empty where there is no teacher."""


@dataclass(frozen=True)
class Teaching:
    """How lessons are made; all but the settings come from the trainer."""

    settings: Distillation
    encode: Callable[[Sequence[Message]], list[int]]
    positions: int | None
    """Tokens that the model can take."""
    seed: int

    def lessons(self, sampled: Sampled, peers: Peers, context: str, wanted: Callable[..., Any]) -> list[Lesson]:
        """The lesson for each response of this process.

        Args:
            wanted: function from a place, its group's begin and its group to a demonstration.
        """
        found = []
        for i, row in enumerate(sampled.rows):
            place = sampled.first + i
            shown = wanted(place, *peers.around(place))
            found.append(
                self._lesson(row, shown, peers.rollouts[place - peers.first].feedback, context, sampled.ids[i])
            )
        return found

    def demonstration(self, step: int) -> Callable[..., Demonstration | None]:
        """What the teacher is shown: by the settings."""
        asked = self.settings

        def wanted(place: int, start: int, group: Sequence[demonstrations.Rollout]) -> Demonstration | None:
            rng = random.Random(f"{self.seed}/{step}/{place}")
            shown = select_demonstration(
                group,
                place - start,
                sources=asked.sources,
                choose=asked.choose,
                threshold=asked.threshold,
                own=asked.own,
                rng=rng,
            )
            return _placed(shown, start)

        return wanted

    def contrast(self, peers: Peers, unrelated: bool) -> Callable[..., Demonstration | None]:
        """What the second teacher is shown: a peer that failed, or a solution to another problem."""
        threshold = self.settings.threshold

        def wanted(place: int, start: int, group: Sequence[demonstrations.Rollout]) -> Demonstration | None:
            if unrelated:
                return peers.stranger(place, threshold)
            return _placed(select_demonstration(group, place - start, threshold=threshold, correct=False), start)

        return wanted

    def _lesson(
        self, row: dict[str, Any], shown: Demonstration | None, feedback: str | None, context: str, ids: Sequence[int]
    ) -> Lesson:
        messages = chat_of(row["prompt"])
        room = self.settings.max_reprompt
        if self.positions is not None:
            room = min(room or self.positions, self.positions - len(ids))
        done = reprompt(
            messages,
            shown,
            context=context,
            feedback=feedback,
            gold=_text(row.get("gold")),
            room=room,
            count=lambda chat: len(self.encode(chat)),
        )
        return Lesson(done, shown, tuple(self.encode(done.messages)) if done.used else ())


def lesson_fractions(
    sampled: Sampled, peers: Peers, lessons: Sequence[Lesson], taught: Sequence[bool], threshold: float
) -> dict[str, float]:
    """How much of this process's part of a batch has a teacher, by the names of the published runs, and was cut."""
    n, first = len(lessons), sampled.first
    sources = [lesson.demonstration.source if lesson.demonstration else None for lesson in lessons]
    solved = [used and source in ("peer", "dataset") for used, source in zip(taught, sources, strict=True)]
    told = [used and not shown for used, shown in zip(taught, solved, strict=True)]
    own = peers.rollouts[first - peers.first :][:n]
    problems = [(first + i) // sampled.group for i in range(n)]
    found = demonstrations.fractions(own, problems, solved, told, threshold=threshold)
    # A group may lie in several processes: each counts the responses that it has of it.
    won = [any((peer.reward or 0) >= threshold for peer in peers.around(first + i)[1]) for i in range(n)]
    return found | {
        "success_group_fraction": sum(won) / n,
        "trimmed_fraction": sum(bool(lesson.prompt.trimmed) for lesson in lessons) / n,
    }


def chat_of(prompt: Any) -> list[Message]:
    """The prompt as messages; plain text is a message of the user's."""
    return [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)


def told(sampled: Sampled, prompts: Sequence[str], lessons: Sequence[Lesson] | None) -> list[Rollout]:
    """The rows for a `Watch`."""
    rewards, advantages = (sampled.own(of).tolist() for of in (sampled.rewards, sampled.advantages))
    rows = []
    for i, row in enumerate(sampled.rows):
        lesson = None if lessons is None else lessons[i]
        said = {name: values[i] for name, values in sampled.said.items() if len(values) == len(sampled.ids)}
        known = {name: said.pop(name, None) for name in SAID if name != "feedback"}
        rows.append(
            Rollout(
                key=sampled.key(sampled.first + i),
                ids=sampled.ids[i],
                problem_id=_text(row.get("problem_id")),
                benchmark=_text(row.get("benchmark")),
                domain=_text(row.get("domain")),
                sample=(sampled.first + i) % sampled.group,
                prompt=prompts[i],
                context=None if lesson is None else lesson.prompt.context,
                gold=_text(row.get("gold")),
                truncated=not sampled.ended[i],
                reward=None if rewards[i] != rewards[i] else rewards[i],
                advantage=None if rewards[i] != rewards[i] else advantages[i],
                has_demo=None if lesson is None else lesson.prompt.used,
                demo=_demo(sampled, lesson),
                trimmed=0 if lesson is None else lesson.prompt.trimmed,
                marked=None if sampled.marked is None else sampled.marked[i],
                extra={name: value for name, value in said.items() if isinstance(value, (str, int, float, bool))},
                **known,
            )
        )
    return rows


def _demo(sampled: Sampled, lesson: Lesson | None) -> str | None:
    if lesson is None or lesson.demonstration is None or not lesson.prompt.used:
        return None
    shown = lesson.demonstration
    return shown.source if shown.index is None else sampled.key(shown.index)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _placed(shown: Demonstration | None, start: int) -> Demonstration | None:
    """The same with the peer's place among all processes."""
    if shown is None or shown.index is None:
        return shown
    return Demonstration(shown.source, shown.text, start + shown.index)


def marker_mask(marked: Sequence[Marked], width: int, device: Any) -> Tensor:
    """Which tokens are part of an epistemic marker (B, T)."""
    mask = torch.zeros((len(marked), width), dtype=torch.bool)
    for i, mark in enumerate(marked):
        mask[i, : len(mark.is_marker)] = torch.from_numpy(mark.is_marker)
    return mask.to(device)
