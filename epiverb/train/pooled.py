"""Sums that become means over all processes: what is logged belongs to the batch, not to the process that looked."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from torch import Tensor


class Pooled:
    """Named sums and counts of this process since the last log."""

    def __init__(self) -> None:
        self.sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        self._late: list[tuple[str, Tensor, Tensor]] = []

    def add(self, name: str, total: float, count: float = 1.0) -> None:
        """Add a sum over `count` things; with `count` 0 it is a sum and no mean."""
        held = self.sums[name]
        held[0], held[1] = held[0] + total, held[1] + count

    def tokens(self, name: str, values: Tensor, mask: Tensor) -> None:
        """Add the values of the tokens that `mask` keeps; NaN is unknown, and left out. Read only when it is logged."""
        keep = mask.bool() & ~values.isnan()
        self._late.append((name, values.detach().masked_fill(~keep, 0).sum(), keep.sum()))

    def state(self) -> dict[str, list[float]]:
        """All there is, for a checkpoint."""
        self._settle()
        return {name: list(held) for name, held in self.sums.items()}

    def load(self, state: dict[str, list[float]]) -> None:
        """Go on from a state."""
        self.sums.clear()
        self.sums.update({name: list(held) for name, held in state.items()})

    def drain(self, gather: Any) -> dict[str, float]:
        """Means (and sums, where nothing was counted) over all processes; then begin anew. A collective.

        Args:
            gather: `accelerate.utils.gather_object`.
        """
        total: dict[str, list[float]] = {}
        for state in gather([self.state()]):
            for name, (sum_, count) in state.items():
                held = total.setdefault(name, [0.0, 0.0])
                held[0], held[1] = held[0] + sum_, held[1] + count
        self.sums.clear()
        return {name: held[0] / held[1] if held[1] else held[0] for name, held in sorted(total.items())}

    def _settle(self) -> None:
        for name, total, count in self._late:
            if count:
                self.add(name, float(total), float(count))
        self._late.clear()
