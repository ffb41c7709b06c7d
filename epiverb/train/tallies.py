"""Sums of what a trainer did since its last log, over all ranks, and the scalars that come of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from epiverb.train.watch import COLUMNS, Marked, Rollout

Floats = npt.NDArray[np.float64]
COUNTED = (
    "rollouts", "words", "tokens", "markers", "with_markers", "end_known", "finished", "graded", "correct", "rewarded",
    "reward", "demo_known", "has_demo",
)  # fmt: skip
GROUPS = ("markers", "others")
"""Tokens of epistemic markers, and all others that have a text."""


class Tally:
    """Sums under fixed names in a fixed order, so that ranks can add them up.

    Args:
        categories: of the lexicon.
    """

    def __init__(self, categories: Sequence[str]) -> None:
        self.categories = tuple(categories)
        self.names = [
            *COUNTED,
            *(f"category/{name}" for name in categories),
            *(f"{part}/{column}/{group}" for column in COLUMNS for group in GROUPS for part in ("n", "total")),
        ]
        self._index = {name: i for i, name in enumerate(self.names)}
        self.sums: Floats = np.zeros(len(self.names))

    def add(self, row: Rollout, marked: Marked) -> None:
        """Count one rollout."""
        told = {
            "rollouts": 1.0,
            "words": marked.n_words,
            "tokens": marked.n_tokens,
            "markers": marked.n_markers,
            "with_markers": marked.n_markers > 0,
            "end_known": row.truncated is not None,
            "finished": row.truncated is False,
            "graded": row.correct is not None,
            "correct": bool(row.correct),
            "rewarded": row.reward is not None,
            "reward": row.reward or 0.0,
            "demo_known": row.has_demo is not None,
            "has_demo": bool(row.has_demo),
        }
        for name, value in told.items():
            self.sums[self._index[name]] += value
        for category, count in marked.counts.items():
            self.sums[self._index[f"category/{category}"]] += count

    def add_tokens(self, column: str, group: str, n: float, total: float) -> None:
        """Count tokens of one group in one column."""
        self.sums[self._index[f"n/{column}/{group}"]] += n
        self.sums[self._index[f"total/{column}/{group}"]] += total

    def take(self) -> Floats:
        """The sums since the last call."""
        sums, self.sums = self.sums, np.zeros(len(self.names))
        return sums

    def scalars(self, sums: Sequence[float]) -> dict[str, float]:
        """What is logged of some sums; what nothing was counted for is left out."""
        of = dict(zip(self.names, sums, strict=True))
        ratios = {
            "markers_per_1k_words": ("markers", "words", 1000.0),
            "markers_per_trace": ("markers", "rollouts", 1.0),
            "presence": ("with_markers", "rollouts", 1.0),
            **{f"{name}_per_1k_words": (f"category/{name}", "words", 1000.0) for name in self.categories},
            "words": ("words", "rollouts", 1.0),
            "tokens": ("tokens", "rollouts", 1.0),
            "finished": ("finished", "end_known", 1.0),
            "accuracy": ("correct", "graded", 1.0),
            "reward": ("reward", "rewarded", 1.0),
            "has_demo": ("has_demo", "demo_known", 1.0),
            **{f"{column}/{g}": (f"total/{column}/{g}", f"n/{column}/{g}", 1.0) for column in COLUMNS for g in GROUPS},
        }
        return {
            f"epiverb/{name}": factor * of[over] / of[under]
            for name, (over, under, factor) in ratios.items()
            if of[under] > 0
        }
