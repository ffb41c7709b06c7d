"""Every occurrence of a few short patterns, by pairs of bytes: less than half the time of an automaton.

Text is read as 16-bit numbers, so that one look-up tells for two bytes at once whether they may belong to a pattern. Each
pattern is told by two neighbouring pairs in it that are rare in English, one for even places and one for odd. Where one
stands, the eight bytes from the pattern's begin on are compared as one number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from epiverb.text.offsets import Ints

MOST = 32
"""Patterns; beyond that too many places have to be looked at."""
LONGEST = 16
"""Bytes of a pattern: two numbers."""
BLOCK = 1 << 15
ROOM = 64
"""Bytes at the end of the data that are searched in a copy, with room to read on behind them."""
COMMON = (
    "th he in er an re on at en nd ti es or te of ed is it al ar st to nt ng se ha as ou io le ve co me de hi ri ro ic ne "
    "ea ra ce li ch ll be ma si om ur"
)
"""Pairs of letters of English, the most frequent first. They bear on speed alone."""
ANY = range(256)

Mask = npt.NDArray[np.bool_]


def takes(patterns: Sequence[str]) -> bool:
    """Whether these patterns can be searched for in this way."""
    return 0 < len(patterns) <= MOST and all(pattern.isascii() and len(pattern) <= LONGEST for pattern in patterns)


class Few:
    """A few patterns to be found.

    Args:
        patterns: distinct, of ASCII, lower case; letters match in either case. `takes` must hold for them.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        self._length = np.array([len(pattern) for pattern in patterns], np.int64)
        self._by_length = np.argsort(self._length, kind="stable")
        self._rank = np.argsort(self._by_length)
        halves = [[_number(pattern[at : at + 8]) for pattern in patterns] for at in (0, 8)]
        self._masked = np.array(halves, np.uint64)
        """Half, pattern -> the mask of its letters, and what they come to under it."""
        entries = [(i, *entry) for i, pattern in enumerate(patterns) for entry in _pairs(pattern)]
        self._which = np.array([i for i, *_ in entries], np.int64)
        self._back = np.array([back for _, back, *_ in entries], np.int64)
        # Layer by layer one entry a pair, for those that several patterns share.
        self._layers: list[npt.NDArray[np.uint8]] = []
        for number, (_, _, first, second) in enumerate(entries):
            for pair in (a | b << 8 for a in first for b in second):
                layer = next((layer for layer in self._layers if layer[pair] == len(entries)), None)
                if layer is None:
                    layer = np.full(1 << 16, len(entries), np.uint8)
                    self._layers.append(layer)
                layer[pair] = number
        self._any = self._layers[0] < len(entries)

    def find(self, data: npt.NDArray[np.uint8]) -> tuple[Ints, Ints, Ints]:
        """Every occurrence in `data`: its begin, its end, and its pattern, by begin, then end."""
        cut = max(len(data) - ROOM, 0) // 8 * 8
        before = data[max(cut - ROOM, 0) : cut]
        blank = np.zeros(ROOM, np.uint8)
        rest = np.concatenate([blank[len(before) :], before, data[cut:], blank])
        found = [*self._found(data, 0, cut)] if cut else []
        found += [key + ((cut - ROOM) << 8) for key in self._found(rest, ROOM, len(rest) - ROOM)]
        key = np.sort(np.concatenate(found))
        begin, pattern = key >> 8, self._by_length[key & 255]
        return begin, begin + self._length[pattern], pattern

    def _found(self, data: npt.NDArray[np.uint8], low: int, high: int) -> Iterator[Ints]:
        """Occurrences told by the pairs from `low` to `high`, as begin and rank of the pattern in one number."""
        pairs = data[low : high + high % 2].view("<u2")
        some = [np.flatnonzero(self._any.take(pairs[at : at + BLOCK])) + at for at in range(0, len(pairs), BLOCK)]
        place = np.concatenate([np.zeros(0, np.int64), *some])
        pair, place = pairs.take(place), place * 2 + low
        eight = np.lib.stride_tricks.sliding_window_view(data, 8)
        for i, layer in enumerate(self._layers):
            entry = layer.take(pair)
            if i:
                also = np.flatnonzero(entry < len(self._which))
                entry, place, pair = entry[also], place[also], pair[also]
            begin, which = place - self._back.take(entry), self._which.take(entry)
            same = np.flatnonzero(self._spelled(eight, begin, which, 0))
            begin, which = begin[same], which[same]
            inside = begin >= 0
            long = np.flatnonzero(self._length[which] > 8)
            inside[long] &= self._spelled(eight, begin[long] + 8, which[long], 1)
            yield (begin << 8 | self._rank[which])[inside]

    def _spelled(self, eight: npt.NDArray[np.uint8], place: Ints, which: Ints, half: int) -> Mask:
        """Whether the eight bytes at each place spell that half of a pattern."""
        number = eight[np.maximum(place, 0)].view("<u8")[:, 0]
        mask, told = self._masked[half].T
        same: Mask = number & mask.take(which) == told.take(which)
        return same


def _number(text: str) -> tuple[int, int]:
    """A mask under which bytes that spell a text in either case are one number, and that number."""
    mask = bytes(0xDF if char.isalpha() else 0xFF for char in text).ljust(8, b"\0")
    return int.from_bytes(mask, "little"), int.from_bytes(text.upper().encode().ljust(8, b"\0"), "little")


def _pairs(pattern: str) -> Iterator[tuple[int, Sequence[int], Sequence[int]]]:
    """Two pairs of which one is read wherever the pattern stands: how far in it each begins, its first and second bytes."""
    if len(pattern) < 3:
        yield 0, _cases(pattern[0]), _cases(pattern[1]) if len(pattern) > 1 else ANY
        yield -1, ANY, _cases(pattern[0])
        return
    often = [_often(pattern[i : i + 2]) for i in range(len(pattern) - 1)]
    at = min(range(len(pattern) - 2), key=lambda i: often[i] + often[i + 1])
    for back in (at, at + 1):
        yield back, _cases(pattern[back]), _cases(pattern[back + 1])


def _often(pair: str) -> int:
    """How frequent a pair is, as far as it matters for choosing between pairs."""
    return len(COMMON) if " " in pair else len(COMMON) - COMMON.find(pair) if pair in COMMON else 0


def _cases(char: str) -> list[int]:
    return sorted({ord(char), ord(char.upper())})
