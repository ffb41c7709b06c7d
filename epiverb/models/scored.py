"""What is scored and what comes back, and how a batch is cut into chunks of positions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from epiverb.models.heads import Row

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Item:
    """A response to be scored behind a prompt."""

    key: str
    prompt: tuple[int, ...]
    """Token ids; at least one, since the first token of the response needs something to stand behind."""
    response: tuple[int, ...]


@dataclass(frozen=True)
class Pair:
    """A response under two prompts or more: the student's, and those of teachers by the name of their context."""

    key: str
    student: tuple[int, ...]
    teachers: Mapping[str, tuple[int, ...]]
    response: tuple[int, ...]


@dataclass(frozen=True)
class Scored:
    """Columns of one response, an entry a token; of a pair, those of one context."""

    key: str
    columns: dict[str, Array] = field(default_factory=dict)
    """See `distributions.single` and `distributions.pair`."""
    fault: str | None = None
    """Why there are no columns."""
    n_unknown: int = 0
    """Positions at which the model gave no number."""
    context: str | None = None
    """Of a pair: the teacher's."""

    def __getitem__(self, name: str) -> Array:
        return self.columns[name]


@dataclass(frozen=True)
class Work:
    """A response and the prompts it is read behind: one for each context, and before them the student's where there is one."""

    key: str
    names: tuple[str | None, ...]
    prompts: tuple[tuple[int, ...], ...]
    response: tuple[int, ...]

    @property
    def size(self) -> int:
        """Tokens of all rows."""
        return sum(len(prompt) + len(self.response) for prompt in self.prompts)

    def rows(self) -> dict[tuple[int, ...], Row]:
        """A row for each distinct prompt: what is shown the same is computed once, and differs in nothing."""
        return {prompt: Row(prompt, self.response) for prompt in self.prompts}


Rows = dict[tuple[int, ...], Row]
Slice = tuple[int, int, int]
"""Index of the work in its batch, and positions [start, end) of its response."""


def chunks(batch: list[Work], chunk: int) -> Iterator[list[Slice]]:
    """All positions of a batch, `chunk` at a time; a short response shares its chunk with the next."""
    pieces: list[Slice] = []
    room = chunk
    for i, one in enumerate(batch):
        start = 0
        while start < len(one.response):
            end = min(start + room, len(one.response))
            pieces.append((i, start, end))
            room -= end - start
            start = end
            if not room:
                yield pieces
                pieces, room = [], chunk
    if pieces:
        yield pieces


def finished(key: str, context: str | None, columns: dict[str, Array]) -> Scored:
    """Columns with NaN in all of them where one has it."""
    unknown = np.isnan(columns["logprob" if "logprob" in columns else "log_ratio"])
    if unknown.any():
        columns = {
            name: values
            if name == "top_ids"
            else np.where(unknown if values.ndim == 1 else unknown[:, None], np.nan, values)
            for name, values in columns.items()
        }
    return Scored(key, columns, n_unknown=int(unknown.sum()), context=context)
