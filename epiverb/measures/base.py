"""A measure is a frozen dataclass: the traces and hits of a batch in, columns with one entry a trace out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl

from epiverb.schema import EPISTEMIC, SEGMENTS
from epiverb.text.cues import KINDS
from epiverb.text.lexicon import Lexicon
from epiverb.text.offsets import Flat
from epiverb.text.words import Words

Column = npt.NDArray[np.float64]
Columns = dict[str, Column]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Hits:
    """The hits of one lexicon as arrays, ordered by row and start."""

    row: Ints
    """Index of the trace in the batch."""
    start: Ints
    end: Ints
    category: npt.NDArray[np.uint8]
    """Index into `KINDS`; `named` tells a category by name."""
    in_loop: Mask
    thinking: Mask

    @classmethod
    def of(cls, frame: pl.DataFrame) -> Hits:
        """From rows of the `hits` table whose trace_id is the row number."""
        return cls(
            frame["trace_id"].cast(pl.Int64).to_numpy(),
            frame["start"].to_numpy(),
            frame["end"].to_numpy(),
            frame["category"].cast(pl.Enum(KINDS)).to_physical().to_numpy(),
            frame["in_loop"].to_numpy(),
            frame["segment"].cast(pl.Enum(SEGMENTS)).to_physical().to_numpy() == SEGMENTS.index("thinking"),
        )

    def select(self, keep: Mask) -> Hits:
        """Only some of them."""
        if keep.all():
            return self
        at = np.flatnonzero(keep)  # once, and not once an array as indexing by the mask would
        return Hits(
            self.row[at],
            self.start[at],
            self.end[at],
            self.category[at],
            self.in_loop[at],
            self.thinking[at],
        )

    def named(self, category: str) -> Mask:
        """Which of them are of a category."""
        return self.category == KINDS.index(category)

    @cached_property
    def epistemic(self) -> Hits:
        """Those of the epistemic categories."""
        return self.select(self.category < len(EPISTEMIC))


@dataclass(frozen=True)
class Batch:
    """What measures are computed from."""

    traces: pl.DataFrame
    """The `traces` table of the batch."""
    hits: dict[str, Hits]
    """By lexicon, the cues (questions, stated answers) among them."""
    lexicons: Sequence[Lexicon]
    """The first is the primary one."""
    counted: Words | None = None
    """Of the responses, for callers who have them already."""

    @property
    def primary(self) -> str:
        """Name of the primary lexicon."""
        return self.lexicons[0].name

    @cached_property
    def words(self) -> Column:
        """Words of each trace; NaN for none, so that a rate over nothing is unknown."""
        return _known(self.traces["n_words"].cast(pl.Float64).to_numpy())

    @cached_property
    def text(self) -> Words:
        """The words of the responses."""
        return self.counted or Words(Flat.of(self.traces["response"]))

    @cached_property
    def words_outside(self) -> Column:
        """Words of each trace before its loop."""
        return _known(self._words_between(None, "loop_start"))

    @cached_property
    def words_thinking(self) -> Column:
        """Words of each trace's thinking, NaN where there is none."""
        thinks = self.traces["thinking_start"].is_not_null().to_numpy()
        return _known(np.where(thinks, self._words_between("thinking_start", "thinking_end"), np.nan))

    @cached_property
    def words_answer(self) -> Column:
        """Words of each trace behind its thinking; all where there is none."""
        return _known(self._words_between("thinking_end", None))

    def _words_between(self, begin: str | None, end: str | None) -> Column:
        """Words of each response between places; where a place is null or not asked for, from its start or to its end."""
        places = self.text.flat.starts[:-1].copy(), self.text.flat.starts[1:].copy()
        for edge, name in zip(places, (begin, end), strict=True):
            if name is not None:
                rows = self.traces[name].is_not_null().arg_true().to_numpy()
                edge[rows] = self.text.flat.positions(self.traces[name].drop_nulls().to_numpy(), rows)
        return self.text.between(*places).astype(np.float64)

    @cached_property
    def length(self) -> Column:
        """Code points of each response; NaN for none."""
        return _known(self.traces["response"].str.len_chars().cast(pl.Float64).to_numpy())

    @cached_property
    def tallies(self) -> dict[str, tuple[Column, Column]]:
        """Markers, and the words among which they stand, by lexicon; of the primary one also by category and segment."""
        tallies: dict[str, tuple[Column, Column]] = {}
        for lex in self.lexicons:
            hits, told = self.hits[lex.name], self.hits[lex.name].epistemic
            tallies[lex.name] = self.count(told.row), self.words
            tallies[f"{lex.name}/outside-loops"] = self.count(told.row[~told.in_loop]), self.words_outside
            if lex.name == self.primary:
                table = self._by_category(hits)
                tallies |= {f"{lex.name}/{c}": (table[KINDS.index(c)], self.words) for c in lex.forms}
                none = np.where(self.traces["thinking_start"].is_null().to_numpy(), np.nan, 0)
                tallies[f"{lex.name}/thinking"] = self.count(told.row[told.thinking]) + none, self.words_thinking
                tallies[f"{lex.name}/answer"] = self.count(told.row[~told.thinking]), self.words_answer
        return tallies

    @cached_property
    def told(self) -> Hits:
        """Epistemic hits of the primary lexicon outside loops: in a loop, distances and successions say nothing."""
        told = self.hits[self.primary].epistemic
        return told.select(~told.in_loop)

    def count(self, row: Ints) -> Column:
        """How often each trace occurs among `row`."""
        return np.bincount(row, minlength=len(self.traces)).astype(np.float64)

    def _by_category(self, hits: Hits) -> Column:
        """How often each category occurs in each trace, category by trace."""
        cells = np.bincount(hits.row * len(KINDS) + hits.category, minlength=len(self.traces) * len(KINDS))
        return cells.reshape(-1, len(KINDS)).T.astype(np.float64)


def _known(number: Column) -> Column:
    """`number`, NaN where it is zero: what is divided by nothing is unknown."""
    return np.where(number > 0, number, np.nan)


def by_lexicon(found: pl.DataFrame) -> dict[str, Hits]:
    """The hits of each lexicon from rows ordered by lexicon, whose trace_id is the row number."""
    runs, start, hits = found["lexicon"].rle().struct.unnest(), 0, {}
    for length, name in runs.iter_rows():
        hits[name] = Hits.of(found.slice(start, length))
        start += length
    return hits


@dataclass(frozen=True)
class Measure:
    """A number for each trace, with what it means.

    Calling it gives columns by name: the measure's own, or several with a lexicon and category behind a slash. NaN is
    unknown.
    """

    name: str
    unit: str
    direction: str
    """What a larger value says."""
    about: str
    compute: Callable[[Batch], Columns]
    needs: tuple[str, ...] = ("response",)
    """Columns of `traces` without which it is unknown."""
    version: int = 1
    """Raised when the definition changes."""
    axis: str | None = None
    """For a measure with several points a trace, what they are along; then a column holds them trace by trace."""

    def __call__(self, batch: Batch) -> Columns:
        return self.compute(batch)
