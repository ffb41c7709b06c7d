"""The record of a training run: every rollout with its markers, and what the loss saw of markers and of other tokens.

    monitor = Monitor("out", tokenizer, model=model)
    trainer = GRPO(..., watch=monitor); trainer.add_callback(monitor.callback())

It only looks: nothing it does changes a loss or draws a random number. `epiverb.train.shards` has the files.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from epiverb.errors import ConfigError, DataError, nearest
from epiverb.text import lexicon as lexicons
from epiverb.train import ranks, shards
from epiverb.train.marks import NONE, Marks
from epiverb.train.tables import Pending, hit_rows, rollout_rows, token_rows
from epiverb.train.tallies import GROUPS, Tally
from epiverb.train.watch import COLUMNS, Marked, Rollout

if TYPE_CHECKING:
    from torch import Tensor

    from epiverb.text.lexicon import Lexicon


Listener = Callable[[int, "dict[str, Any]", Any, Any], None]
"""Called by every process with each log: step, scalars, the trainer's state and control."""


class Monitor:
    """A `Watch` that records into a folder.

    Args:
        out: the training run's folder.
        lexicon: name, file, or one that is loaded.
        model: whose configs say what ends a response, besides the tokenizer.
        prompts: record the text of prompts; off, the shards hold the problem's id alone.
    """

    def __init__(
        self, out: str | Path, tokenizer: Any, lexicon: str | Lexicon = "epiverb-en", *, model: Any = None,
        prompts: bool = True,
    ) -> None:  # fmt: skip
        self.out = Path(out)
        configs = [c for c in (getattr(model, "generation_config", None), getattr(model, "config", None)) if c]
        self.marks = Marks(tokenizer, lexicons.load(lexicon) if isinstance(lexicon, str) else lexicon, *configs)
        self.classes: Sequence[str] = self.marks.classes
        self.prompts = prompts
        self.replaced = 0
        """Shards of steps that are run again, put aside when the record began."""
        self.listeners: list[Listener] = []
        self._tally = Tally(self.classes[2:])
        self._said: dict[str, float] = {}
        self._rows: dict[int, list[tuple[Rollout, Marked]]] = defaultdict(list)
        self._done: list[Pending] = []
        self._untold: list[Pending] = []
        self._codes: dict[str, Tensor] = {}
        self._generation: int | None = None
        self._begun = False
        self._closed: tuple[int, list[tuple[Rollout, Marked]], list[Pending]] | None = None

    def begin(self, step: int) -> None:
        """The run begins, or goes on, with a policy that has had `step` updates. A collective; once is enough."""
        if self._begun:
            return
        if ranks.rank() == 0:
            self.replaced = shards.roll_back(self.out, step)
        ranks.barrier()
        self._begun = True

    def end(self, step: int) -> None:
        """The run has ended: what was noted and not logged yet is written."""
        said, self._said = self._said, {}
        if said and ranks.rank() == 0:
            shards.append(self.out / shards.METRICS, {"step": step, "time": round(time.time(), 3), **said})
        self._begun = False

    def mark(self, ids: Sequence[Sequence[int]], prompts: Sequence[str | None] | None = None) -> list[Marked]:
        """See `Watch.mark`."""
        return self.marks(ids, prompts)

    def rollouts(self, step: int, rows: Sequence[Rollout]) -> None:
        """See `Watch.rollouts`."""
        unmarked = [row for row in rows if row.marked is None]
        fresh = iter(self.mark([row.ids for row in unmarked], [row.prompt for row in unmarked]) if unmarked else [])
        if self._generation != step:
            self._codes.clear()
            self._generation = step
        for row in rows:
            marked = row.marked if row.marked is not None else next(fresh)
            if row.key in self._codes:
                raise DataError(f"two rollouts of step {step} have the key {row.key!r}; keys are unique in a run.")
            self._codes[row.key] = torch.from_numpy(marked.classes.copy())
            self._rows[step].append((row, marked))
            self._tally.add(row, marked)

    def recall(self, keys: Sequence[str], ids: Sequence[Sequence[int]]) -> None:
        """See `Watch.recall`."""
        for key, marked in zip(keys, self.mark(ids), strict=True):
            self._codes[key] = torch.from_numpy(marked.classes.copy())

    @torch.no_grad()
    def tokens(self, step: int, keys: Sequence[str], columns: Mapping[str, Tensor], mask: Tensor) -> None:
        """See `Watch.tokens`."""
        for name in columns:
            if name not in COLUMNS:
                raise ConfigError(f"unknown column of tokens {name!r}.{nearest(name, COLUMNS)}")
        size = len(self.classes)
        codes = self._padded(keys, mask.shape[1]).to(mask.device)
        slots = (torch.arange(len(keys), device=mask.device)[:, None] * size + codes).flatten()
        exact = torch.float32 if mask.device.type == "mps" else torch.float64
        sums = torch.zeros(len(columns), 2, len(keys) * size, dtype=exact, device=mask.device)
        for i, values in enumerate(columns.values()):
            known = mask.bool() & ~values.isnan()
            sums[i, 0].index_add_(0, slots, known.flatten().to(exact))
            sums[i, 1].index_add_(0, slots, torch.where(known, values.detach().to(exact), 0).flatten())
        pending = Pending(tuple(keys), tuple(columns), sums.view(len(columns), 2, len(keys), size))
        self._done.append(pending)
        self._untold.append(pending)

    def _padded(self, keys: Sequence[str], width: int) -> Tensor:
        codes = torch.full((len(keys), width), NONE)
        for row, key in enumerate(keys):
            if not key:
                continue
            if key not in self._codes:
                raise DataError(f"tokens of {key!r}, of which no rollout was recorded; call rollouts first.")
            own = self._codes[key][:width]
            codes[row, : len(own)] = own
        return codes

    def note(self, scalars: Mapping[str, float]) -> None:
        """Scalars over all ranks that go with the next `metrics`."""
        self._said |= scalars

    def metrics(self) -> dict[str, float]:
        """See `Watch.metrics`."""
        groups = {"markers": self.marks.epistemic, "others": ~self.marks.epistemic}
        groups["others"][NONE] = False
        for pending in self._untold:
            real = [bool(key) for key in pending.keys]
            sums = pending.sums.cpu().numpy()[:, :, real].sum(2)
            for i, column in enumerate(pending.columns):
                for group in GROUPS:
                    n, total = sums[i][:, groups[group]].sum(1)
                    self._tally.add_tokens(column, group, n, total)
        self._untold.clear()
        scalars = self._tally.scalars(ranks.summed(self._tally.take().tolist()))
        said, self._said = self._said, {}
        return scalars | said

    def close_step(self, step: int) -> None:
        """See `Watch.close_step`.

        Raises:
            StorageError: the disk is full, or the folder cannot be written; what was recorded before is whole.
        """
        rows, done = self._rows.pop(step, []), self._done
        self._done = []
        more_rows, more_done = bool(rows), bool(done)
        if self._closed is not None and self._closed[0] == step:  # more of it: all of it is written anew
            rows, done = self._closed[1] + rows, self._closed[2] + done
        self._closed = (step, rows, done)
        folder, rank = self.out / shards.ROLLOUTS, ranks.rank()
        if more_done:
            shards.write(folder / shards.name_of("tokens", step, rank), token_rows(done, step, self.classes))
        if more_rows:  # last, the rollouts themselves: with them the step is there
            shards.write(folder / shards.name_of("hits", step, rank), hit_rows(rows))
            path = folder / shards.name_of("step", step, rank)
            shards.write(path, rollout_rows(rows, step, self.classes[2:], prompts=self.prompts))

    def listen(self, *listeners: Listener) -> None:
        """Have every log told, in every process: a live view, alarms. Those with `begin` and `end` are told of these, too."""
        self.listeners += listeners

    def callback(self, *listeners: Listener) -> Any:
        """See `Watch.callback`; with listeners as `listen` takes them."""
        self.listen(*listeners)
        from epiverb.train.callbacks import Recording

        return Recording(self)
