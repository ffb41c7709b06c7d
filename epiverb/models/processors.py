"""Steering as a logits processor of transformers: all rows of a batch at once, each by its own text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from transformers import LogitsProcessor

from epiverb.models.automaton import Ints
from epiverb.models.base import Row
from epiverb.models.steering import Compiled, Steering


class SteeringProcessor(LogitsProcessor):
    """Adds the bias to what would complete a marker in each row; a `base.Processor`.

    Each call steps the automaton of every row by the token that came last. A call that does not continue the one before
    reads the end of each row again, so that nothing must be reset between batches. Where `begin` told the rows, their
    text is the response alone; without it (a plain `generate`) the prompt is read as the text before.

    Args:
        ends: ids that end a response by the generation config; behind one, a row is over and counts no more.
    """

    def __init__(self, steering: Steering, tokenizer: Any, ends: Iterable[int] = ()) -> None:
        self.steering = steering
        self.compiled = Compiled(steering, tokenizer, ends)
        self._ends = np.array(sorted({*ends, *([] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id])}))
        self._devices: dict[int, torch.Tensor] = {}
        self.total = _zero()
        self._rows: Sequence[Row] = ()
        self._states: Ints | None = None
        self._tail = np.zeros((0, 0), np.int64)
        self._length = 0
        self._counts: list[dict[str, float]] = []

    def begin(self, rows: Sequence[Row]) -> None:
        """Told which samples the rows of the next calls are; a sample that goes on keeps its counts."""
        known = {(row.key, row.sample): counts for row, counts in zip(self._rows, self._counts, strict=False)}
        self._rows, self._states = tuple(rows), None
        self._counts = [known.get((row.key, row.sample)) or _zero() for row in rows]

    def report(self, row: Row) -> dict[str, Any]:
        """What was done to a sample, for `Completion.extra`: flat."""
        counts = self._counts[[(r.key, r.sample) for r in self._rows].index((row.key, row.sample))]
        return {
            "steering": self.steering.action,
            "steered": self.steering.name,
            "n_steered": int(counts["n_acted"]),
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
        tail = input_ids[:, -self.compiled.automaton.depth - 2 :].cpu().numpy()
        if self._goes_on(tail, n, length):
            self._states = self.compiled.advance(self._states, tail[:, -1])  # type: ignore[arg-type]
        else:
            if len(self._rows) != n:  # nobody told of this batch
                self._rows, self._counts = (), [_zero() for _ in range(n)]
            starts = [row.start for row in self._rows] or [0] * n
            for counts, start in zip(self._counts, starts, strict=True):
                if length - start <= counts["length"]:  # decoded once more from its beginning
                    counts.update(_zero())
            texts = [ids[start:].cpu().tolist() for ids, start in zip(input_ids, starts, strict=True)]
            self._states = np.array([self.compiled.behind(text) for text in texts], np.int64)
        self._tail, self._length = tail, length
        return self._states

    def _goes_on(self, tail: Ints, n: int, length: int) -> bool:
        """Whether this is the batch of the last call with one token more in each row."""
        if self._states is None or length != self._length + 1 or n != len(self._tail):
            return False
        known = tail.shape[1] - 1
        return bool((self._tail[:, self._tail.shape[1] - known :] == tail[:, :-1]).all())

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
        """Add this step to the counts of the rows that are not over."""
        best = self._is_best(scores, rows, ids)
        if self.steering.action == "boost":
            best = self._is_best(raised, rows, ids) & ~best
        mass = torch.zeros(len(scores), device=scores.device)
        mass.index_add_(0, rows, (scores[rows, ids].float() - scores.float().logsumexp(-1)[rows]).exp())
        over = np.isin(input_ids[:, -1].cpu().numpy(), self._ends)
        for row, (acted, share) in enumerate(torch.stack([best.float(), mass]).T.tolist()):
            if over[row] and self._counts[row]["n_steps"]:
                continue
            for counts in (self._counts[row], self.total):
                counts["n_steps"] += 1
                counts["n_acted"] += acted
                counts["mass"] += share
            self._counts[row]["length"] = input_ids.shape[1] - (self._rows[row].start if self._rows else 0)

    @staticmethod
    def _is_best(scores: torch.Tensor, rows: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        """Of each row, whether its most likely token is one of its steered ones."""
        hits = torch.zeros(len(scores), device=scores.device)
        return hits.index_add_(0, rows, (scores.argmax(-1)[rows] == ids).float()) > 0


def _zero() -> dict[str, float]:
    return {"n_steps": 0, "n_acted": 0, "mass": 0.0, "length": -1}
