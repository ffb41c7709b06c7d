"""Columns of text as one flat buffer of UTF-8 bytes, and byte offsets in it as code points.

Searching is fastest on bytes, but an offset that users slice with must count code points. Most text is ASCII, where the
two agree; elsewhere a code point's number is the byte offset less the continuation bytes before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

Ints = npt.NDArray[np.int64]
BLOCK = 1 << 17
"""Bytes looked at together: small enough that masks stay in the cache."""


@dataclass(frozen=True)
class Flat:
    """The rows of a text column laid end to end as UTF-8 bytes."""

    data: npt.NDArray[np.uint8]
    """All bytes."""
    starts: Ints
    """Where each row begins in `data`, and at the end the length: (rows + 1,)."""
    array: Any = None
    """The same as an Arrow array of text that shares the bytes, for who writes them; None where it was not made from one."""

    @classmethod
    def of(cls, texts: pl.Series) -> Flat:
        """The flat bytes of a text column; a null is an empty row. Copies once at most."""
        return cls.over(texts.fill_null("").rechunk().to_arrow(compat_level=pl.CompatLevel.oldest()))

    @classmethod
    def over(cls, array: Any) -> Flat:
        """The bytes of an Arrow array of large text without nulls, which are not copied."""
        _, offsets, data = array.buffers()
        starts = (
            np.frombuffer(offsets, np.int64, len(array) + 1, 8 * array.offset) if offsets else np.zeros(1, np.int64)
        )
        flat = np.frombuffer(data, np.uint8) if data is not None and data.size else np.zeros(0, np.uint8)
        return cls(flat, starts, array)

    @cached_property
    def continuation(self) -> Ints:
        """Where `data` holds the second or later byte of a code point, ascending; empty for ASCII."""
        parts = [np.zeros(0, np.int64)]
        for low in range(0, len(self.data), BLOCK):
            inside = self.data[low : low + BLOCK].view(np.int8) < -64
            if inside.any():
                parts.append(np.flatnonzero(inside) + low)
        return np.concatenate(parts)

    def rows(self, position: Ints) -> Ints:
        """The row that each position in `data` lies in."""
        return np.searchsorted(self.starts, position, side="right") - 1

    def code_points(self, position: Ints, row: Ints) -> Ints:
        """Positions in `data` (at the start of a code point) as code points from the start of their row."""
        offset = position - self.starts[row]
        if not len(self.continuation):
            return offset
        before = np.searchsorted(self.continuation, position) - np.searchsorted(self.continuation, self.starts)[row]
        return offset - before

    def positions(self, code_point: Ints, row: Ints) -> Ints:
        """Where the code points with these numbers in their row begin in `data`; the row's end for those beyond it."""
        first, end = self.starts[row], self.starts[row + 1]
        if not len(self.continuation):
            return np.minimum(first + code_point, end)
        number = first - np.searchsorted(self.continuation, self.starts)[row] + code_point
        # A continuation byte lies before a code point if as many code points as it has, or fewer, begin before it.
        begun = self.continuation - np.arange(len(self.continuation))
        return np.minimum(number + np.searchsorted(begun, number, side="right"), end)

    def char_before(self, position: Ints, row: Ints) -> Ints:
        """The code point that ends just before each position, -1 at the start of the row."""
        char = np.where(position > self.starts[row], self._byte(position - 1), -1)
        if (rare := np.flatnonzero(char > 127)).size:
            end, step = position[rare], np.ones(rare.size, np.int64)
            for _ in range(3):
                step += (self._byte(end - step) & 0xC0) == 0x80
            char[rare] = self._decode(end - step)
        return char

    def char_after(self, position: Ints, row: Ints) -> Ints:
        """The code point that begins at each position, -1 at the end of the row."""
        char = np.where(position < self.starts[row + 1], self._byte(position), -1)
        if (rare := np.flatnonzero(char > 127)).size:
            char[rare] = self._decode(position[rare])
        return char

    def _byte(self, position: Ints) -> Ints:
        if not len(self.data):  # positions in an empty text: whatever is read, they are its edges
            return np.zeros(len(position), np.int64)
        return self.data.take(position, mode="clip").astype(np.int64)

    def _decode(self, position: Ints) -> Ints:
        """The code point whose first byte is at each position; it is not ASCII."""
        lead = self._byte(position)
        more = (lead >= 0xE0).astype(np.int64) + (lead >= 0xF0)
        value = lead & (0x1F >> more)
        for index in range(1, 4):
            value = np.where(index <= 1 + more, value << 6 | (self._byte(position + index) & 0x3F), value)
        return value


def is_letter(code_points: Ints) -> npt.NDArray[np.bool_]:
    """Whether each code point is a letter in the sense of Unicode; -1, the edge of a text, is none."""
    ascii_letter = ((code_points | 0x20) >= 97) & ((code_points | 0x20) <= 122)
    if not (beyond := code_points > 127).any():
        return ascii_letter
    distinct, where = np.unique(code_points[beyond], return_inverse=True)
    letters = np.array([chr(point).isalpha() for point in distinct.tolist()])
    ascii_letter[beyond] = letters[where]
    return ascii_letter
