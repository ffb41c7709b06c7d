"""Words as `str.split` sees them: runs of characters that are not white space."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from epiverb.text.offsets import BLOCK, Flat, Ints

_SPACE = np.zeros(256, bool)
_SPACE[[9, 10, 11, 12, 13, 28, 29, 30, 31, 32]] = True
WIDE_SPACES = "\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
"""White space beyond ASCII, as a character class."""


def count(texts: pl.Series, flat: Flat | None = None) -> pl.Series:
    """Number of words of each text, as `len(text.split())`; 0 for a null.

    `flat` is `Flat.of(texts)`, for callers who have it already.
    """
    flat = flat or Flat.of(texts)
    counts = np.diff(_ended_before(flat.data, flat.starts))
    # Wide spaces are rare: only the texts that hold one are counted again, by the book.
    wide = np.unique(flat.rows(_wide_spaces(flat)))
    if len(wide):
        counts[wide] = texts.gather(wide).str.count_matches(rf"[^\s\x1c-\x1f{WIDE_SPACES}]+").to_numpy()
    return pl.Series("n_words", counts, dtype=pl.Int64)


def _wide_spaces(flat: Flat) -> Ints:
    """Where a white-space character beyond ASCII begins."""
    lead = flat.continuation - 1
    lead = lead[flat.data[lead] >= 0xC2] if len(lead) else lead
    pair = flat.data[lead].astype(np.int64) << 8 | flat.data[lead + 1]
    suspect = lead[np.isin(pair, [0xC285, 0xC2A0, 0xE19A, 0xE280, 0xE281, 0xE380])]
    points = flat.char_after(suspect, flat.rows(suspect))
    distinct, where = np.unique(points, return_inverse=True)
    return suspect[np.array([chr(point).isspace() for point in distinct.tolist()], bool)[where]]


def _ended_before(data: npt.NDArray[np.uint8], starts: Ints) -> Ints:
    """For each row boundary, how many words end before it; a row's own end ends its last word."""
    bits = np.zeros(len(data) // 64 * 8 + 8, np.uint8)  # one a byte: whether a word ends there
    for low in range(0, len(data), BLOCK):
        space = _spaces(data[low : low + BLOCK + 1])  # one byte more: a word ends where the next byte is a space
        word_end = np.packbits(space[1:] > space[:-1], bitorder="little")
        bits[low // 8 : low // 8 + len(word_end)] = word_end
    whole = bits.view("<u8")
    before = np.zeros(len(whole) + 1, np.int64)
    np.cumsum(np.bitwise_count(whole), out=before[1:])
    at = starts // 64
    rest = whole[at] & ((np.uint64(1) << (starts % 64).astype(np.uint64)) - np.uint64(1))
    return before[at] + np.bitwise_count(rest) + _cut_words(data, starts)


def _spaces(block: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Where white space stands."""
    if not len(block) or block.min() < 9 or (block - np.uint8(14) < 14).any():
        return _SPACE[block]  # other control characters are rare, and a look-up takes ten times as long
    return block <= 32


def _cut_words(data: npt.NDArray[np.uint8], starts: Ints) -> Ints:
    """For each boundary, the words before it that end at a row's end and not at a space: counted there or not at all.

    A word that runs up to its row's end is counted by `word_end` only if the next row begins with a space, and then it
    is counted as ending before that boundary, which is right. Otherwise it has to be added.
    """
    cut = np.zeros(len(starts), np.int64)
    filled = np.flatnonzero(starts[1:] > starts[:-1])
    last = data[starts[filled + 1] - 1]
    following = data[np.minimum(starts[filled + 1], len(data) - 1)]
    cut[filled + 1] = ~_SPACE[last] & (~_SPACE[following] | (starts[filled + 1] == len(data)))
    return np.cumsum(cut)
