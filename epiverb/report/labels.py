"""Short names for files: what all of them share tells nothing apart and costs the room of a figure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath


def shorten(names: Iterable[str]) -> dict[str, str]:
    """Each name -> the parts of it in which the names differ; the last part of the path where there is only one name."""
    distinct = list(dict.fromkeys(names))
    if len(distinct) == 1:
        return {distinct[0]: PurePosixPath(distinct[0]).name or distinct[0]}
    parts = [re.split(r"[/_]", name) for name in _without_suffix(distinct)]
    short = ["_".join(own) for own in _differing(parts)]
    return dict(zip(distinct, short if all(short) and len(set(short)) == len(short) else distinct, strict=True))


def with_short_names(line: str, short: Mapping[str, str]) -> str:
    """A sentence with the short names of what it speaks of; the longest first, as one name may hold another."""
    for name in sorted(short, key=len, reverse=True):
        line = line.replace(name, short[name])
    return line


def _without_suffix(names: list[str]) -> list[str]:
    suffixes = {"".join(PurePosixPath(name).suffixes[-1:]) for name in names}
    suffix = suffixes.pop() if len(suffixes) == 1 else ""
    return [name.removesuffix(suffix) for name in names]


def _differing(parts: Sequence[Sequence[str]]) -> list[list[str]]:
    """Parts that not all share: in every place where the names have as many parts, else between what begins and ends all."""
    if len({len(own) for own in parts}) == 1:
        places = [i for i, column in enumerate(zip(*parts, strict=True)) if len(set(column)) > 1]
        return [[own[i] for i in places] for own in parts]
    head = _shared(parts)
    tail = _shared([own[head:][::-1] for own in parts])
    return [list(own[head : len(own) - tail]) for own in parts]


def _shared(parts: Sequence[Sequence[str]]) -> int:
    """How many leading parts all have in common."""
    columns = zip(*parts, strict=False)
    return next((i for i, column in enumerate(columns) if len(set(column)) > 1), min(map(len, parts), default=0))
