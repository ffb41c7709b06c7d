"""Where a marker stands, as far as bytes tell: at the start of a clause, in code or LaTeX, in text copied from the prompt."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from epiverb.text.offsets import BLOCK, Flat, Ints

Mask = npt.NDArray[np.bool_]

_BOUNDARY = np.zeros(256, bool)
_BOUNDARY[list(b".!?:;,\n\r-()>")] = True
_BOUNDARY[128:] = True  # dashes, quotation marks, ideographic stops
_SKIPPED = np.zeros(256, bool)
_SKIPPED[list(b" \t\"'*_`#[")] = True
ECHO_REACH = 24
"""Bytes on either side of a marker that must stand in the prompt as well for it to be a copy."""


def begins_clause(flat: Flat, begin: Ints, row: Ints) -> Mask:
    """Whether nothing but spaces, quotes and emphasis stands between a clause boundary (or the start) and the marker."""
    place, first = begin.copy(), flat.starts[row]
    for _ in range(6):
        inside = place > first
        inside[inside] = _SKIPPED[flat.data[place[inside] - 1]]
        if not inside.any():
            break
        place -= inside
    at_start = place <= first
    boundary = at_start.copy()
    boundary[~at_start] = _BOUNDARY[flat.data[place[~at_start] - 1]]
    return boundary


def in_code(flat: Flat, begin: Ints, end: Ints, row: Ints) -> Mask:
    """Whether a marker is a LaTeX command, stands alone in backticks, or lies in a fenced block of code."""
    before = np.where(begin > flat.starts[row], flat.data[np.maximum(begin - 1, 0)], 0)
    after = np.where(end < flat.starts[row + 1], flat.data[np.minimum(end, len(flat.data) - 1)], 0) if len(end) else end
    code = (before == ord("\\")) | ((before == ord("`")) & (after == ord("`")))
    fences = _fences(flat)
    if len(fences):
        lead = np.searchsorted(fences, flat.starts)  # fences before each row
        passed = np.searchsorted(fences, begin)
        # Only a block that is closed again: a lone fence may as well be the end of a block that was cut off.
        code |= ((passed - lead[row]) % 2 == 1) & (passed < lead[row + 1])
    return code


def _fences(flat: Flat) -> Ints:
    """Where three backticks begin."""
    places = [np.zeros(0, np.int64)]
    for low in range(0, len(flat.data), BLOCK):
        tick = flat.data[low : low + BLOCK] == ord("`")
        if tick.any():
            places.append(np.flatnonzero(tick) + low)
    ticks = np.concatenate(places)
    first = np.diff(ticks, prepend=-2) > 1
    return ticks[:-2][first[:-2] & (ticks[2:] - ticks[:-2] == 2)]


def echoed(flat: Flat, begin: Ints, end: Ints, row: Ints, prompts: pl.Series) -> Mask:
    """Whether a marker and what surrounds it stand in the prompt too: the model quotes, it does not doubt."""
    copied = np.zeros(len(begin), bool)
    if prompts.null_count() == len(prompts) or not len(begin):
        return copied
    distinct = prompts.drop_nulls().unique(maintain_order=True)
    number = prompts.replace_strict(distinct, np.arange(len(distinct)), default=-1, return_dtype=pl.Int64).to_numpy()[
        row
    ]
    texts = [prompt.lower().encode() for prompt in distinct.to_list()]
    suspects = (number >= 0) & _suspects(flat, begin, end, row, number, texts)
    for i in np.flatnonzero(suspects).tolist():
        low = max(int(begin[i]) - ECHO_REACH, int(flat.starts[row[i]]))
        high = min(int(end[i]) + ECHO_REACH, int(flat.starts[row[i] + 1]))
        copied[i] = _quoted(flat.data, low, int(begin[i]), int(end[i]), high, texts[number[i]])
    return copied


def _suspects(flat: Flat, begin: Ints, end: Ints, row: Ints, number: Ints, prompts: list[bytes]) -> Mask:
    """Markers near which two runs of eight bytes stand in their prompt: all that are copied, and few that are not.

    What is copied holds the `ECHO_REACH` bytes that end where the marker ends, or those that begin where it begins.
    """
    laid = np.frombuffer(b"".join(prompts) + bytes(8), np.uint8)
    owner = np.repeat(np.arange(len(prompts)), [len(prompt) for prompt in prompts])
    seen = np.zeros(1 << 22, bool)
    seen[_hashed(laid, np.arange(len(laid) - 8), owner)] = True
    suspects = np.zeros(len(begin), bool)
    left = np.flatnonzero(begin - flat.starts[row] >= ECHO_REACH)
    right = np.flatnonzero(flat.starts[row + 1] - end >= ECHO_REACH)
    for near, far, some in ((end - 8, end - ECHO_REACH, left), (begin, begin + ECHO_REACH - 8, right)):
        some = some[seen[_hashed(flat.data, near[some], number[some])]]
        suspects[some[seen[_hashed(flat.data, far[some], number[some])]]] = True
    return suspects


def _hashed(data: npt.NDArray[np.uint8], place: Ints, number: Ints) -> npt.NDArray[np.uint64]:
    """22 bits of the eight bytes at each place, in either case, and of a number that goes with them."""
    if len(data) < 8:
        return np.zeros(0, np.uint64)
    gram = np.ascontiguousarray(np.lib.stride_tricks.sliding_window_view(data, 8)[place]).view(np.uint64)[:, 0]
    mixed = (gram | np.uint64(0x2020202020202020)) + number.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return (mixed * np.uint64(0xD6E8FEB86659FD93)) >> np.uint64(42)


def _quoted(data: npt.NDArray[np.uint8], low: int, begin: int, end: int, high: int, prompt: bytes) -> bool:
    """Whether the marker with its context on at least one side stands in the prompt."""
    left, right = bytes(data[low:end]).lower(), bytes(data[begin:high]).lower()
    return (begin - low == ECHO_REACH and left in prompt) or (high - end == ECHO_REACH and right in prompt)
