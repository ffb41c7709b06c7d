"""Choosing material: which response a later round is shown, and whose solution stands in for an unrelated one."""

from __future__ import annotations

import random
from collections.abc import Sequence


def pick(responses: Sequence[str], correct: Sequence[bool | None]) -> str:
    """The first correct response, or where none is the first one.

    Source: arXiv 2603.24472, beanie00/self-distillation-analysis@a354155 eval_with_hint.py, for every round but the first.
    """
    return next((text for text, right in zip(responses, correct, strict=True) if right), responses[0])


def strangers(problem_ids: Sequence[str], seed: int) -> dict[str, str]:
    """For each problem another one, drawn by `seed`; each stands in exactly once. Nothing for fewer than two."""
    order = sorted(set(problem_ids))
    random.Random(seed).shuffle(order)
    return dict(zip(order, order[1:] + order[:1], strict=True)) if len(order) > 1 else {}
