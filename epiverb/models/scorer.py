"""The scorer: what a model thinks of tokens that are there already, without ever holding tokens x vocabulary.

    scorer = Scorer(HF("Qwen/Qwen3-8B", dtype="bfloat16"))
    for scored in scorer.score([Item("t1", prompt_ids, response_ids)], sets={"markers": ids}, k=20):
        scored["entropy"], scored["logprob"], scored["mass/markers"]     # one entry a token of the response
    for scored in scorer.compare([Pair("t1", student_ids, {"solution": teacher_ids}, response_ids)]):
        scored.context, scored["kl"], scored["log_ratio"]

What cannot be scored comes back with `fault`, a reason, and no columns; a position where the model gives no number has
NaN in every column and is counted in `n_unknown`. Nothing is cut.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from epiverb.errors import EngineError
from epiverb.models import distributions
from epiverb.models.heads import Row, take_apart
from epiverb.models.scored import Array, Item, Pair, Rows, Scored, Slice, Work, chunks, finished

if TYPE_CHECKING:
    from torch import Tensor

    from epiverb.models.hf import HF

AHEAD = 256
"""Items looked at together, so that those of like length share a batch."""
CHUNK = {"cpu": 128}
"""Positions whose logits are there at once, by device: on a CPU few, which stay near the caches."""
MOST_CHUNK = 1024
TOKENS = {"cpu": 4096}
"""Tokens of a batch by device; a longer trace is a batch by itself."""
MOST_TOKENS = 32_768


Fresh = Callable[[int], "Tensor"]
"""Logits behind the prompts at one place of `Work.prompts`, which may be overwritten."""
Read = Callable[[Fresh, "Tensor", int], list[dict[str, "Tensor"]]]
"""From those, the ids at the positions and the number of prompts: columns once a context."""


class Scorer:
    """Scores responses with a transformers model.

    Args:
        engine: the model, its tokenizer and chat template.
        chunk: positions whose logits are in memory at once.
        batch_tokens: tokens of a batch, padding included.
    """

    exact = True
    """The whole distribution is known."""

    def __init__(self, engine: HF, *, chunk: int | None = None, batch_tokens: int | None = None) -> None:
        self.engine = engine
        self.window = engine.window
        self.parts = take_apart(engine.model)
        device = engine.model.device.type
        self.chunk = chunk or CHUNK.get(device, MOST_CHUNK)
        self.batch_tokens = batch_tokens or TOKENS.get(device, MOST_TOKENS)
        self.used: dict[str, Any] = {**engine.used, "projection": self.parts.how}

    @property
    def vocabulary(self) -> int:
        """Tokens that the model gives logits for."""
        return self.parts.vocabulary

    def fault(self, prompt: Sequence[int], response: Sequence[int]) -> str | None:
        """Why this cannot be scored, or None."""
        size = len(prompt) + len(response)
        if not prompt:
            return "no prompt is known, so its first token stands behind nothing"
        if self.window is not None and size > self.window:
            return f"longer than the model: {size:,} tokens with the prompt, the window is {self.window:,}"
        largest = max(max(prompt), max(response, default=0))
        if largest >= self.vocabulary:
            return f"token id {largest} is not among the model's {self.vocabulary:,}: another tokenizer made it"
        return None

    def score(
        self, items: Iterable[Item], *, sets: Mapping[str, Sequence[int]] | None = None, k: int = 0
    ) -> Iterator[Scored]:
        """Each item's columns, in any order.

        Args:
            sets: name -> token ids whose probability together is wanted at every position.
            k: how many of the most likely tokens are wanted as well.

        Raises:
            EngineError: one trace is too much for the memory there is.
        """
        places = self._sets(sets or {})

        def read(fresh: Fresh, ids: Tensor, _: int) -> list[dict[str, Tensor]]:
            return [distributions.single(fresh(0), ids, places, k)]

        yield from self._all((Work(one.key, (None,), (one.prompt,), one.response) for one in items), read, self.chunk)

    def compare(
        self, pairs: Iterable[Pair], *, sets: Mapping[str, Sequence[int]] | None = None, divergences: bool = True
    ) -> Iterator[Scored]:
        """Each pair's columns, once a context, in any order.

        The student's distribution is computed once for all contexts of a pair. Raises as `score` does.

        Args:
            sets: as in `score`.
            divergences: whether more is wanted than the two log-probabilities of each token.
        """
        places = self._sets(sets or {})

        def read(fresh: Fresh, ids: Tensor, prompts: int) -> list[dict[str, Tensor]]:
            if divergences:
                return [distributions.pair(fresh(0), fresh(i), ids, places) for i in range(1, prompts)]
            return [distributions.ratio(fresh(0), fresh(i), ids) for i in range(1, prompts)]

        work = (
            Work(one.key, tuple(one.teachers), (one.student, *one.teachers.values()), one.response) for one in pairs
        )
        # Logits of each prompt are there at once, and of two prompts twice more.
        yield from self._all(work, read, max(1, self.chunk // 2))

    def _sets(self, sets: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
        import torch

        return {name: torch.tensor([i for i in ids if i < self.vocabulary]) for name, ids in sets.items()}

    def _all(self, work: Iterable[Work], read: Read, chunk: int) -> Iterator[Scored]:
        waiting = iter(work)
        while block := list(islice(waiting, AHEAD)):
            good: list[Work] = []
            for one in block:
                kept, faults = self._checked(one)
                yield from faults
                if kept is not None and one.response:
                    good.append(kept)
                elif kept is not None:
                    yield from (Scored(one.key, fault="no tokens", context=name) for name in one.names)
            for batch in self._batches(sorted(good, key=lambda one: (one.names, one.size))):
                yield from self._fitting(batch, read, chunk)

    def _checked(self, one: Work) -> tuple[Work | None, list[Scored]]:
        """The work without the contexts that cannot be scored, and those with the reason."""
        faults = [self.fault(prompt, one.response) for prompt in one.prompts]
        first, *others = faults if len(faults) > 1 else [None, *faults]
        reasons = [first or other for other in others]
        bad = [Scored(one.key, fault=why, context=name) for name, why in zip(one.names, reasons, strict=True) if why]
        if not bad:
            return one, []
        keep = [i for i, why in enumerate(reasons) if not why]
        if not keep:
            return None, bad
        prompts = (one.prompts[0], *(one.prompts[i + 1] for i in keep))
        return Work(one.key, tuple(one.names[i] for i in keep), prompts, one.response), bad

    def _batches(self, work: list[Work]) -> Iterator[list[Work]]:
        """Work of the same contexts and like length, as much as a batch may hold."""
        batch: list[Work] = []
        for one in work:
            full = sum(other.size for other in batch) + one.size > self.batch_tokens
            if batch and (full or batch[0].names != one.names):
                yield batch
                batch = []
            batch.append(one)
        if batch:
            yield batch

    def _fitting(self, batch: list[Work], read: Read, chunk: int) -> Iterator[Scored]:
        """A batch; one that does not fit into memory again in halves, and a single trace in smaller chunks."""
        import torch

        try:
            yield from self._batch(batch, read, chunk)
            return
        except torch.OutOfMemoryError as error:
            if len(batch) == 1 and chunk <= 8:
                raise EngineError(
                    f"{self.engine.chat.name} runs out of memory on trace {batch[0].key!r} of {batch[0].size:,} tokens; "
                    "choose a smaller --dtype, or spread the model with --device-map auto."
                ) from error
        torch.cuda.empty_cache()
        if len(batch) == 1:
            yield from self._fitting(batch, read, chunk // 4)
        else:
            middle = len(batch) // 2
            yield from self._fitting(batch[:middle], read, chunk)
            yield from self._fitting(batch[middle:], read, chunk)

    def _batch(self, batch: list[Work], read: Read, chunk: int) -> list[Scored]:
        import torch

        with torch.inference_mode():
            rows = [one.rows() for one in batch]  # one a distinct prompt
            self._prepare([row for own in rows for row in own.values()])
            found: list[list[dict[str, Array]]] = []
            for pieces in chunks(batch, chunk):
                found.append(self._chunk(batch, rows, pieces, read))
        columns = [
            {name: np.concatenate([part[i][name] for part in found]) for name in found[0][i]}
            for i in range(len(found[0]))
        ]
        ends = np.cumsum([len(one.response) for one in batch])
        return [
            finished(one.key, context, {name: values[end - len(one.response) : end] for name, values in own.items()})
            for one, end in zip(batch, ends, strict=True)
            for context, own in zip(one.names, columns, strict=True)
        ]

    def _prepare(self, rows: list[Row]) -> None:
        """Run the body over the rows, those of like length together where the model may pad."""
        rows = sorted(rows, key=len)
        group: list[Row] = []
        for row in rows:
            if group and (not self.parts.pads or (len(group) + 1) * len(row) > self.batch_tokens):
                self.parts.prepare(group)
                group = []
            group.append(row)
        self.parts.prepare(group)

    def _chunk(self, batch: list[Work], rows: list[Rows], pieces: list[Slice], read: Read) -> list[dict[str, Array]]:
        """Columns of a chunk, once a context."""
        import torch

        distinct = [(row, a, b) for i, a, b in pieces for row in rows[i].values()]
        whole = self.parts.logits(distinct)
        ends = np.cumsum([b - a for _, a, b in distinct])
        first = {id(row): end - (b - a) for (row, a, b), end in zip(distinct, ends, strict=True)}

        def fresh(place: int) -> Tensor:
            spans = [(first[id(rows[i][batch[i].prompts[place]])], b - a) for i, a, b in pieces]
            at = torch.cat([torch.arange(start, start + size) for start, size in spans])
            return whole if len(batch[0].prompts) == 1 else whole[at.to(whole.device)]

        ids = torch.tensor([token for i, a, b in pieces for token in batch[i].response[a:b]], device=whole.device)
        return [
            {name: values.cpu().numpy() for name, values in columns.items()}
            for columns in read(fresh, ids, len(batch[0].prompts))
        ]
