"""Where in a column of texts some pattern may begin: a few places, cheaply found, that hold all true ones.

Polars' `str.find_many` compiles up to 100 needles into a table that reads 640 MB/s on one thread; from 101 on it takes
a form that reads a third of that. Lexicons have thousands of patterns but few stems, so the search is for stems: every
pattern is anchored at one short needle that it contains, the needles are found, and where one stands, the bytes where a
pattern would begin are compared with the beginnings of the patterns. A pattern beyond ASCII is anchored at its first
character beyond ASCII; those places are known without a search.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from epiverb.text.offsets import Flat, Ints

MOST = 100
"""Needles that the fast form of the search takes."""
NEEDLES = (
    "tenta|whoo|skep|presu|triple-|rer|huh|or el|hard|uh|needl|evid|triv|sani|oop|obv|reder| mom|plau|natura|"
    "potent|ambi|flawe|redo|appa|clea|cross-|probabl|appears|cer|may |umm|henc|look |definit|likel|right?|dou|"
    "incor|verif|erro|i'|ret|never|gues|wha|re-|absol|test|wro|accor| resu|inste|should |to be|rev|suppos|answ|"
    "start|sur|anot|box|try |actuall|it's |differe|poss|thu|ree|see|over|ba|other |chec|hm|han|it |mayb|rea|alte|"
    "theref|va|rec|then|un|i |per| se|ho|thi|mi|that|wa|no|so|co"
)
"""Stems of English markers, the rarest in mathematical reasoning first. They bear on speed alone: a pattern that
holds none of them is searched for as it is, or by a shorter one in it."""
PAIRS = 1 << 16


class Anchors:
    """Where patterns may begin.

    Args:
        patterns: distinct, not empty, lower case; their ASCII letters match in either case.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        ascii_patterns = [pattern for pattern in patterns if pattern.isascii()]
        known = NEEDLES.split("|") if len(ascii_patterns) > MOST else []
        # What holds no stem is a needle itself, and one for the longer patterns around it. It takes two bytes to be that.
        bare = [p for p in ascii_patterns if len(p) > 1 and not any(needle in p for needle in known)]
        known += sorted(bare, key=len)
        anchor = {pattern: _needle(pattern, known) for pattern in patterns}
        self.needles = list(dict.fromkeys(anchor[pattern] for pattern in ascii_patterns))
        self._beyond = len(ascii_patterns) < len(patterns)
        self._long, self._short, self._lead = (np.zeros(PAIRS, bool) for _ in range(3))
        leads = [needle.encode()[:2] + b"  " for needle in anchor.values() if not needle.isascii()]
        self._lead[_pair(*_columns(leads)[:2])] = True
        encoded = [pattern.encode() for pattern in patterns]
        self._long[_mixed(*_columns([text[:4] for text in encoded if len(text) >= 4]))] = True
        short = [text[:1] + bytes([then]) for text in encoded if len(text) < 4 for then in text[1:2] or range(256)]
        self._short[_pair(*_columns([text + b"  " for text in short])[:2])] = True
        # How far back from an anchor a pattern begins, by the two bytes before the anchor and the two from there on.
        steps = [len(pattern[: pattern.index(needle)].encode()) for pattern, needle in anchor.items()]
        inside = [(text[step - 2 : step + 2], step) for text, step in zip(encoded, steps, strict=True) if step >= 2]
        group = _mixed(*_columns([context for context, _ in inside])).astype(np.int64)
        back = np.unique(group << 32 | np.array([step for _, step in inside], np.int64))
        self._back = back & 0xFFFFFFFF
        self._many = np.bincount(back >> 32, minlength=PAIRS)
        self._first = np.cumsum(self._many) - self._many

    def places(self, texts: pl.Series, flat: Flat) -> Ints:
        """Positions in `flat`, the bytes of `texts`, where a pattern may begin: all where one does, ascending."""
        anchors = [self._found(texts, flat)] if self.needles else []
        if self._beyond and len(flat.continuation):
            lead = flat.continuation - 1
            anchors.append(lead[self._lead[_pair(flat.data[lead], flat.data[lead + 1])]])
        anchor = np.concatenate([np.zeros(0, np.int64), *anchors])
        # Two bytes to the left, four from the anchor on: they decide for patterns that begin there or one before...
        around = _bytes(flat.data, anchor - 2, 6)
        found = [anchor[self._begins(around[2:])], anchor[self._begins(around[1:5])] - 1]
        # ...and tell how far back others would begin; most anchors stand in no pattern, and leave here.
        group = _mixed(*around[:4])
        inside = np.flatnonzero(self._many[group])
        many, group = self._many[group[inside]], group[inside]
        nth = np.arange(many.sum()) - np.repeat(np.cumsum(many) - many, many)
        farther = np.repeat(anchor[inside], many) - self._back[np.repeat(self._first[group], many) + nth]
        found.append(farther[self._begins(_bytes(flat.data, farther, 4))])
        place = np.sort(np.concatenate(found))
        # np.unique would hash them, which takes ten times as long.
        return place[np.flatnonzero((np.diff(place, prepend=-1) > 0) & (place >= 0))]

    def _begins(self, four: list[npt.NDArray[np.uint8]]) -> npt.NDArray[np.bool_]:
        """Whether some pattern begins with these bytes, or all but."""
        return self._long[_mixed(*four)] | self._short[_pair(*four[:2])]

    def _found(self, texts: pl.Series, flat: Flat) -> Ints:
        offsets = texts.str.find_many(self.needles, ascii_case_insensitive=True, overlapping=True)
        counts = offsets.list.len().fill_null(0).to_numpy().astype(np.int64)
        inside = offsets.explode(empty_as_null=False, keep_nulls=False).to_numpy().astype(np.int64)
        return inside + np.repeat(flat.starts[:-1], counts)


def _needle(pattern: str, known: Sequence[str]) -> str:
    if not pattern.isascii():
        return next(char for char in pattern if not char.isascii())
    return next((needle for needle in known if needle in pattern), pattern)


def _columns(fours: list[bytes]) -> npt.NDArray[np.uint8]:
    """The first bytes of texts of four bytes, their second ones, and so on."""
    return np.frombuffer(b"".join(fours), np.uint8).reshape(-1, 4).T


def _bytes(data: npt.NDArray[np.uint8], place: Ints, n: int) -> list[npt.NDArray[np.uint8]]:
    """The bytes at each place and after it; beyond the ends of the data, those at the ends."""
    return [data.take(place + i, mode="clip") for i in range(n)]


def _pair(first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint16]:
    """Two bytes as one number, the same for both cases of a letter."""
    high: npt.NDArray[np.uint16] = (first | np.uint8(32)).astype(np.uint16) << np.uint16(8)
    return high | (second | np.uint8(32))


def _mixed(*four: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint16]:
    """Sixteen bits of four bytes, the same for both cases of a letter."""
    mixed: npt.NDArray[np.uint16] = _pair(*four[:2]) * np.uint16(0x9E37) ^ _pair(*four[2:]) * np.uint16(0x79B9)
    return mixed
