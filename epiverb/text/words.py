"""Words as `str.split` sees them: runs of characters that are not white space."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from epiverb.text.offsets import BLOCK, Flat, Ints

_SPACE = np.zeros(256, bool)
_SPACE[[9, 10, 11, 12, 13, 28, 29, 30, 31, 32]] = True


def count(texts: pl.Series) -> pl.Series:
    """Number of words of each text, as `len(text.split())`; 0 for a null."""
    return pl.Series("n_words", Words(Flat.of(texts)).of_rows(), dtype=pl.Int64)


class Words:
    """The words of some texts, to be counted between any two places."""

    def __init__(self, flat: Flat) -> None:
        self.flat = flat
        self._spaces = _space_bits(flat)
        before = np.concatenate([np.zeros(1, np.uint64), self._spaces[:-1]])
        self._begins = ~self._spaces & (self._spaces << np.uint64(1) | before >> np.uint64(63))
        """Bit by bit whether a word begins there behind a space."""
        self._many = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.bitwise_count(self._begins), dtype=np.int64)])

    def of_rows(self) -> Ints:
        """Words of each text."""
        return self.between(self.flat.starts[:-1], self.flat.starts[1:])

    def between(self, begin: Ints, end: Ints) -> Ints:
        """Words of what stands between two bytes in the same text; what is cut counts."""
        first = ~self._spaces[begin // 64] >> (begin % 64).astype(np.uint64) & np.uint64(1)
        return np.where(begin < end, first.astype(np.int64) + self._until(end) - self._until(begin + 1), 0)

    def _until(self, place: Ints) -> Ints:
        """How many words begin before each byte."""
        at = place // 64
        low = (np.uint64(1) << (place % 64).astype(np.uint64)) - np.uint64(1)
        return self._many[at] + np.bitwise_count(self._begins[at] & low)


def _space_bits(flat: Flat) -> npt.NDArray[np.uint64]:
    """Whether white space stands at each byte, 64 to a number and at least one beyond the last."""
    bits = np.zeros(len(flat.data) // 64 * 8 + 16, np.uint8)
    for low in range(0, len(flat.data), BLOCK):
        space = np.packbits(_spaces(flat.data[low : low + BLOCK]), bitorder="little")
        bits[low // 8 : low // 8 + len(space)] = space
    wide = _wide_spaces(flat)
    for place in (wide, wide + 1, (wide + 2)[flat.data[wide] >= 0xE0]):  # of two bytes, or of three
        np.bitwise_or.at(bits, place // 8, (1 << place % 8).astype(np.uint8))
    return bits.view("<u8")


def _wide_spaces(flat: Flat) -> Ints:
    """Where a white-space character beyond ASCII begins."""
    lead = flat.continuation - 1
    lead = lead[flat.data[lead] >= 0xC2] if len(lead) else lead
    pair = flat.data[lead].astype(np.int64) << 8 | flat.data[lead + 1]
    suspect = lead[np.isin(pair, [0xC285, 0xC2A0, 0xE19A, 0xE280, 0xE281, 0xE380])]
    points = flat.char_after(suspect, flat.rows(suspect))
    distinct, where = np.unique(points, return_inverse=True)
    return suspect[np.array([chr(point).isspace() for point in distinct.tolist()], bool)[where]]


def _spaces(block: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Where white space stands."""
    if not len(block) or block.min() < 9 or (block - np.uint8(14) < 14).any():
        return _SPACE[block]  # other control characters are rare, and a look-up takes ten times as long
    return block <= 32
