"""Steering as a logits processor of transformers: all rows of a batch at once, each by its own text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from transformers import LogitsProcessor

from epiverb.models.automaton import Ints
from epiverb.models.steering import Compiled, Steering


class SteeringProcessor(LogitsProcessor):
    """Adds the bias to what would complete a marker in each row.

    Each call steps the automaton of every row by the token that came last. A call that does not continue the one before
    (another batch, rows gone or in another order) reads the end of each row again; nothing must be reset between batches.
    Call `begin` where a response starts that is to be counted apart, and `keep` where rows leave, to know which is which.

    Args:
        ends: ids that end a response by the generation config; behind one, a row is over and counts no more.
    """

    def __init__(self, steering: Steering, tokenizer: Any, ends: Iterable[int] = ()) -> None:
        self.steering = steering
        self.compiled = Compiled(steering, tokenizer, ends)
        self._ends = np.array(sorted({*ends, *([] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id])}))
        self._devices: dict[int, torch.Tensor] = {}
        self.total = {"n_steps": 0, "n_acted": 0, "mass": 0.0}
        self.begin()

    def begin(self) -> None:
        """A new batch: counts of rows start at zero with the next call."""
        self._states: Ints | None = None
        self._tail: Ints | None = None
        self._length = 0
        self._counts: list[dict[str, float]] = []

    def keep(self, rows: Sequence[int]) -> None:
        """Only these rows go on, in this order."""
        if self._states is not None and self._tail is not None:
            self._states, self._tail = self._states[list(rows)], self._tail[list(rows)]
            self._counts = [self._counts[row] for row in rows]

    def report(self, row: int) -> dict[str, Any]:
        """What was done to a row, for `Completion.extra`: flat."""
        counts = self._counts[row]
        return {
            "intervention": self.steering.action,
            "steered": self.steering.name,
            "n_acted": int(counts["n_acted"]),
            "steered_mass": counts["mass"],
        }

    def describe(self) -> dict[str, Any]:
        """For run.json: the steering and what it did in all.

        `n_acted` steps at which the most likely token was a steered one (a boost: became one), of `n_steps`;
        `steered_mass` is the probability of steered tokens before the bias, summed over steps at temperature 1: how many
        markers the model would have completed.
        """
        return {
            **self.steering.describe(),
            "n_steps": int(self.total["n_steps"]),
            "n_acted": int(self.total["n_acted"]),
            "steered_mass": self.total["mass"],
        }

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """`scores` (B, V) with the bias added behind `input_ids` (B, T)."""
        states = self._follow(input_ids)
        rows, ids = self._flat(states, scores)
        raised = scores.clone()
        if len(rows):
            raised[rows, ids] += self.steering.bias
        self._count(input_ids, scores, raised, rows, ids)
        return raised  # type: ignore[return-value]

    def _follow(self, input_ids: torch.Tensor) -> Ints:
        """The state of each row behind `input_ids`."""
        n, length = input_ids.shape
        window = min(length, self.compiled.automaton.depth + 2)
        tail = input_ids[:, length - window :].cpu().numpy()
        if self._goes_on(tail, n, length):
            self._states = self.compiled.advance(self._states, tail[:, -1])  # type: ignore[arg-type]
        else:
            # The whole text is no longer than the window, or its first token only tells that there is more before.
            more = input_ids[:, : min(length, window + 1)] if length <= window else input_ids[:, -window - 1 :]
            rows = more.cpu().tolist()
            self._states = np.array([self.compiled.behind(row) for row in rows], np.int64)
            if len(self._counts) != n:
                self._counts = [{"n_steps": 0, "n_acted": 0, "mass": 0.0} for _ in range(n)]
        self._tail, self._length = tail, length
        return self._states

    def _goes_on(self, tail: Ints, n: int, length: int) -> bool:
        """Whether this is the batch of the last call with one token more in each row."""
        if self._states is None or self._tail is None or length != self._length + 1 or n != len(self._tail):
            return False
        known = min(self._tail.shape[1], tail.shape[1] - 1)
        return bool((self._tail[:, self._tail.shape[1] - known :] == tail[:, -1 - known : -1]).all())

    def _flat(self, states: Ints, scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Row and id of every logit that gets the bias."""
        distinct, where = np.unique(states, return_inverse=True)
        ids = [self._on(int(state), scores) for state in distinct]
        lengths = torch.tensor([len(ids[k]) for k in where], device=scores.device)
        rows = torch.repeat_interleave(torch.arange(len(where), device=scores.device), lengths)
        return rows, torch.cat([ids[k] for k in where])

    def _on(self, state: int, scores: torch.Tensor) -> torch.Tensor:
        if state not in self._devices or self._devices[state].device != scores.device:
            ids = self.compiled.ids(state)
            self._devices[state] = torch.from_numpy(ids[ids < scores.shape[1]]).to(scores.device)
        return self._devices[state]

    def _count(
        self, input_ids: torch.Tensor, scores: torch.Tensor, raised: torch.Tensor, rows: torch.Tensor, ids: torch.Tensor
    ) -> None:
        n = len(scores)
        steered = torch.zeros_like(scores, dtype=torch.bool)
        steered[rows, ids] = True
        best = (raised if self.steering.action == "boost" else scores).argmax(-1)
        acted = steered.gather(1, best[:, None])[:, 0]
        mass = torch.zeros(n, device=scores.device)
        mass.index_add_(0, rows, (scores[rows, ids].float() - scores.float().logsumexp(-1)[rows]).exp())
        over = np.isin(input_ids[:, -1].cpu().numpy(), self._ends)
        for row, (one, share) in enumerate(zip(acted.tolist(), mass.tolist(), strict=True)):
            if over[row] and self._counts[row]["n_steps"]:
                continue
            for counts in (self._counts[row], self.total):
                counts["n_steps"] += 1
                counts["n_acted"] += one
                counts["mass"] += share
