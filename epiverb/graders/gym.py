"""reasoning-gym: answers scored by the library's own verifiers, in worker processes with a time limit.

Some verifiers evaluate what they are given, so none runs in our process.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar

from epiverb.errors import MissingExtra
from epiverb.graders.answers import NO_ANSWER, Rule, find
from epiverb.graders.base import Grade, Task
from epiverb.graders.exact import RULES
from epiverb.graders.workers import Workers


@dataclass(frozen=True)
class GymGrader:
    """Right where the verifier of the task family gives the answer a score of 1; anything less is wrong.

    `Task.extra` holds `entry`, the item as the library generated it, and may hold `family`, where the entry
    does not name it, and `config`, the settings it was generated with.
    """

    LENIENT: ClassVar[dict[str, str]] = {
        "whole": "without an <answer> tag, box or `Answer:` line, all text behind the thinking is the answer"
    }
    lenient: tuple[str, ...] = field(default=())
    limit: float = 10.0
    """Seconds of processor time for one answer."""

    def __call__(self, tasks: Sequence[Task]) -> list[Grade]:
        """One grade a task, in their order."""
        if importlib.util.find_spec("reasoning_gym") is None:
            raise MissingExtra("reasoning-gym", "gym")
        rules: dict[str, Rule] = {**RULES, "whole": _whole} if "whole" in self.lenient else RULES
        grades: list[Grade] = []
        jobs: list[tuple[int, tuple[str, str, str]]] = []
        for row, (task, found) in enumerate(zip(tasks, find(tasks, rules), strict=True)):
            job = _job(task, found.text if found else "")
            if job is None:
                grades.append(Grade(None, "no entry of reasoning-gym in the problem", found.text if found else None))
            elif found is None:
                grades.append(Grade(False, NO_ANSWER))
            else:
                grades.append(Grade(None, found.rule, found.text))
                jobs.append((row, job))
        outcomes = _workers(self.limit).map([job for _, job in jobs]) if jobs else []
        for (row, _), outcome in zip(jobs, outcomes, strict=True):
            rule, answer = grades[row].reason, grades[row].answer
            reason = outcome.failure or f"{rule}: score {outcome.value:g}"
            grades[row] = Grade(None if outcome.failure else outcome.value == 1, reason, answer)
        return grades


def _whole(text: str) -> str | None:
    return text.rpartition("</think>")[2].strip() or None


def _job(task: Task, answer: str) -> tuple[str, str, str] | None:
    """Family, settings and entry as JSON, and the answer; None where the task lacks them."""
    entry = task.extra.get("entry")
    if not isinstance(entry, dict):
        return None
    name = task.extra.get("family") or (entry.get("metadata") or {}).get("source_dataset")
    try:
        return (json.dumps([name, task.extra.get("config") or {}]), json.dumps(packed(entry)), answer) if name else None
    except TypeError:
        return None


def packed(value: Any) -> Any:
    """`value` for JSON, such that tuples and dicts whose keys are no strings come back as they were."""
    if isinstance(value, tuple):
        return {"tuple": [packed(item) for item in value]}
    if isinstance(value, dict):
        return {"dict": [[packed(key), packed(item)] for key, item in value.items()]}
    return [packed(item) for item in value] if isinstance(value, list) else value


def unpacked(value: Any) -> Any:
    """What was `packed`."""
    if isinstance(value, dict):
        (kind, items), *_ = value.items()
        if kind == "tuple":
            return tuple(unpacked(item) for item in items)
        return {unpacked(key): unpacked(item) for key, item in items}
    return [unpacked(item) for item in value] if isinstance(value, list) else value


def score(family: str, entry: str, answer: str) -> float:
    """The verifier's score. Runs in a worker."""
    return float(_verifier(family)(answer, unpacked(json.loads(entry))))


@cache
def _verifier(family: str) -> Callable[[str, dict[str, Any]], float]:
    import reasoning_gym

    name, config = json.loads(family)
    return reasoning_gym.create_dataset(name, **{"size": 1, "seed": 0, **config}).score_answer


@cache
def _workers(limit: float) -> Workers:
    return Workers("epiverb.graders.gym:score", limit=limit)
