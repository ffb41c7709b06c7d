"""Degenerate loops: where a response begins to say the same thing over and over until it is cut off.

A loop that lasts to the end shows in the last few kilobytes. One columnar search asks of every response whether its
last words stand in its tail before; only the few where they do are looked at one by one. Numbers count as equal there: a
model that tries n = 12, n = 13, n = 14 in the same sentence for ever is in a loop too; a list of numbers is not.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import polars as pl

from epiverb.text.offsets import Flat

REACH = 4096
"""Code points from the end in which the last words must recur; a longer unit is not found."""
SHORTEST = 120
"""A response shorter than this is not looked at."""
KEY = r"(?s)([^0-9]{8,24})[0-9]*(?:[^0-9]{1,7}[0-9]+)*[^0-9]{0,7}$"
"""The last words: the last run of eight to 24 characters other than figures."""
ENDING = 24
"""Bytes at the very end by which the period is found."""
TRIES = 12
"""Places looked at for the period: a unit may repeat its own end within itself."""
FIGURES = b"0123456789.,"
"""Left out where numbers count as equal."""
VERBATIM = (4, 3, 300)
"""Copies of a short and of a long unit, and bytes they cover together, that make a verbatim loop..."""
COUNTING = (8, 5, 2500)
"""...and one in which only numbers change. Models that reason on also try case after case in equal sentences, but not
for so long: of 32,000 beginnings of LIMO traces, cut anywhere, none is taken for a loop."""
LONG = 200
"""Bytes from which a unit is long."""
NOT_LETTERS = bytes(byte for byte in range(128) if not chr(byte).isalpha())
"""Bytes of ASCII other than letters; what is beyond ASCII counts as a letter."""
LETTERS = 0.25
"""Share of letters in a unit below which it is a list of numbers, and numbers do not count as equal."""
TAIL = 6000
"""Bytes from the end whose redundancy shows a loop that varies its words."""
REDUNDANT = 0.10
"""A tail without its figures that deflates to less than this share of itself is a loop. In 680 traces that base and
LIMO-tuned Qwen models wrote, loops came to 0.01-0.07 and all else to 0.15 or more."""
CHUNK = 32
"""Bytes in a row by which a part of the text is recognised as a part of the loop."""
STRIDE = 8
"""Bytes between the places at which such a part is looked for."""
PROBE = 8
"""Chunks looked at when asking whether a place lies in the loop."""
UNIT = 200
"""Code points of the repeated unit that are kept."""


@dataclass(frozen=True)
class Period:
    """What an ending repeats."""

    length: int
    """Bytes of one unit."""
    start: int
    """Where the first whole copy begins that equals the rest up to the end."""


def find(responses: pl.Series, flat: Flat | None = None) -> pl.DataFrame:
    """For each response `loop_start` (code points) and `loop_unit`, the repeated text; null where there is no loop.

    The loop begins with the first copy of what is repeated. `flat` is `Flat.of(responses)`, for callers who have it
    already.
    """
    flat = flat or Flat.of(responses)
    starts: list[int | None] = [None] * len(responses)
    units: list[str | None] = [None] * len(responses)
    for row in _candidates(responses).to_list():
        if loop := _loop(flat.data[flat.starts[row] : flat.starts[row + 1]].tobytes()):
            starts[row], units[row] = loop
    return pl.DataFrame(
        {"loop_start": starts, "loop_unit": units}, schema={"loop_start": pl.Int64, "loop_unit": pl.String}
    )


def _candidates(responses: pl.Series) -> pl.Series:
    """Rows whose last words stand in their tail before, or that end in figures only."""
    text = pl.col("text")
    ends = pl.DataFrame({"text": responses}).select(
        tail=text.str.slice(-REACH, REACH),
        key=text.str.slice(-4 * ENDING, 4 * ENDING).str.extract(KEY, 1),
        long=text.str.len_bytes() >= SHORTEST,
    )
    again = (pl.col("tail").str.count_matches(pl.col("key"), literal=True) > 1) | pl.col("key").is_null()
    return ends.select(pl.arg_where(again & pl.col("long"))).to_series()


def _loop(text: bytes) -> tuple[int, str] | None:
    """Start of the loop in code points and its unit; None where there is none."""
    if period := _period(text, VERBATIM):
        return _described(text, _begin(text, period.start), period.start, period.start + period.length)
    plain = text.translate(None, FIGURES)
    period = _period(plain, COUNTING) or _redundant(plain)
    if period is None or not _wordy(plain[-max(period.length, CHUNK) :]):
        return None
    places = np.flatnonzero(~_FIGURE[np.frombuffer(text, np.uint8)])  # of what is left, in `text`
    ends = (_begin(plain, period.start), period.start, period.start + period.length)
    return _described(text, *places[np.minimum(ends, len(places) - 1)].tolist())


_FIGURE = np.zeros(256, bool)
_FIGURE[list(FIGURES)] = True


def _period(text: bytes, enough: tuple[int, int, int]) -> Period | None:
    """What `text` repeats to its end so often and so long that it is a loop."""
    size, place = len(text), len(text) - ENDING
    key = text[-ENDING:]
    short, long, cover = enough
    for _ in range(TRIES):
        place = text.rfind(key, max(0, size - REACH - ENDING), place + ENDING - 1)
        if place < 0:
            return None
        length = size - ENDING - place
        start = _reach(text, length)
        if size - start >= max(cover, (long if length >= LONG else short) * length):
            return Period(length, start)
    return None


def _reach(text: bytes, length: int) -> int:
    """Where the stretch begins that repeats every `length` bytes up to the end: the first copy's start."""
    low, high = 0, len(text) - length  # text[high:-length] is empty and equal
    step = 256
    while high > 0:  # gallop back, then close in; comparing slices runs at the speed of memory
        probe = max(high - step, 0)
        if text[probe:high] != text[probe + length : high + length]:
            low = probe
            break
        high, step = probe, 2 * step
    while high - low > 0:
        middle = (low + high) // 2
        if text[middle:high] == text[middle + length : high + length]:
            high = middle
        else:
            low = middle + 1
    return high


def _redundant(text: bytes) -> Period | None:
    """What a tail repeats in varying words, if it deflates to next to nothing."""
    place = text.rfind(text[-ENDING:], 0, -1)  # looked for first, for it rules out most and costs next to nothing
    tail = text[-TAIL:]
    if place < 0 or len(tail) < COUNTING[2] or len(zlib.compress(tail, 1)) >= REDUNDANT * len(tail):
        return None
    return Period(len(text) - ENDING - place, max(len(text) - TAIL // 2, 0))


def _wordy(unit: bytes) -> bool:
    """Whether a unit without its figures says something: enough of it is letters."""
    return len(unit.translate(None, NOT_LETTERS)) >= LETTERS * len(unit)


def _described(text: bytes, begin: int, unit: int, end: int) -> tuple[int, str]:
    """Begin of the loop in code points, and a unit of it."""
    return len(text[:begin].decode(errors="ignore")), text[unit:end].decode(errors="ignore")[:UNIT]


def _begin(text: bytes, known: int) -> int:
    """Where the text begins to be made of what its end repeats, also with other words between the repetitions."""
    loop, inside, step = text[known:][-REACH:], known, 2 * PROBE * CHUNK
    while inside > 0 and _within(text, max(inside - step, 0), loop):
        inside, step = max(inside - step, 0), 2 * step
    outside = max(inside - step, 0)
    while inside - outside > CHUNK:
        middle = (inside + outside) // 2
        inside, outside = (middle, outside) if _within(text, middle, loop) else (inside, middle)
    # Most of what follows is in the loop, but not all of it: on to the first part that is.
    begin = next((i for i in range(inside, known, STRIDE) if text[i : i + CHUNK] in loop), known)
    while begin > inside and text[begin - 1 : begin - 1 + CHUNK] in loop:
        begin -= 1
    return begin


def _within(text: bytes, place: int, loop: bytes) -> bool:
    """Whether most of what stands from a place on is a part of the loop."""
    chances, needed = PROBE, PROBE // 2 + 1
    while 0 < needed <= chances:
        needed -= text[place : place + CHUNK] in loop
        chances, place = chances - 1, place + CHUNK
    return needed == 0
