"""What is asked behind every prefix: the closing tag, the stem and the candidate answers as one tree of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from epiverb.errors import DataError
from epiverb.models.stems import Stem

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Probe:
    """Continuations of a prefix, one a candidate answer, that share the tokens with which they begin."""

    paths: tuple[tuple[int, ...], ...]
    """Token ids of each continuation: closing tag, stem, answer, end."""
    closed: int
    """Tokens up to the end of the closing tag."""
    asked: int
    """Tokens that all continuations share, the stem's last ones perhaps not among them; those behind are scored."""

    @classmethod
    def of(cls, tokenizer: Any, closing: str, stem: Stem, candidates: Sequence[str]) -> Probe:
        """The probe of these candidates.

        The closing tag is encoded by itself; stem, answer and end in one piece, as the model would have written them.
        Where an answer's first characters join the stem's last ones in a token, all answers are scored from there.

        Raises:
            DataError: no candidates, or two that encode alike.
        """
        if not candidates:
            raise DataError(
                "no candidate answers: no sample of the problem has an answer that can be read, nor a gold."
            )
        head = _ids(tokenizer, stem.lead + closing)
        tails = [_ids(tokenizer, stem.text + candidate + stem.end) for candidate in candidates]
        if len({tuple(tail) for tail in tails}) < len(tails):
            raise DataError(f"two candidate answers are the same tokens: {', '.join(map(repr, candidates))}.")
        common = _common([_ids(tokenizer, stem.text), *tails])
        # An answer needs a token of its own: "12" where "12" and "120" are the candidates and nothing ends an answer.
        common = min(common, *(len(tail) - 1 for tail in tails))
        if common < 1:
            raise DataError(f"the answer stem {stem.text!r} leaves no token that all candidates share.")
        return cls(tuple(tuple(head + tail) for tail in tails), len(head), len(head) + common)

    @property
    def scored_K(self) -> Ints:
        """Tokens of each candidate that are scored."""
        return np.array([len(path) - self.asked for path in self.paths])

    @property
    def longest(self) -> int:
        """Tokens of the longest continuation."""
        return max(map(len, self.paths))

    @cached_property
    def tree(self) -> Tree:
        """The continuations as a tree."""
        return Tree.of(self.paths)


@dataclass(frozen=True)
class Tree:
    """Token sequences that share what they begin with; parents stand before their children."""

    token: Ints
    parent: Ints
    """-1: the prefix."""
    depth: Ints
    paths: tuple[tuple[int, ...], ...]
    """Nodes of each sequence."""

    @classmethod
    def of(cls, sequences: Sequence[Sequence[int]]) -> Tree:
        """The tree of these sequences."""
        nodes: dict[tuple[int, int], int] = {}
        depth: list[int] = []
        paths = []
        for sequence in sequences:
            at, path = -1, []
            for step, token in enumerate(sequence):
                known = nodes.setdefault((at, token), len(nodes))
                if known == len(depth):
                    depth.append(step)
                at = known
                path.append(at)
            paths.append(tuple(path))
        parents, tokens = zip(*nodes, strict=True)
        return cls(np.array(tokens), np.array(parents), np.array(depth), tuple(paths))

    @cached_property
    def fed(self) -> Ints:
        """Nodes whose output is asked for: those with children. A parent is fed where its child is."""
        return np.unique(self.parent[self.parent >= 0])

    @cached_property
    def sees(self) -> npt.NDArray[np.bool_]:
        """Whether each fed node (row) has each fed node (column) on its way from the prefix, itself included."""
        place = {int(node): i for i, node in enumerate(self.fed)}
        seen = np.eye(len(place), dtype=bool)
        for node, i in place.items():
            if self.parent[node] >= 0:
                seen[i] |= seen[place[int(self.parent[node])]]
        return seen


def _ids(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer.encode(text, add_special_tokens=False)) if text else []


def _common(sequences: Sequence[Sequence[int]]) -> int:
    """How many first items all sequences share."""
    count = 0
    for items in zip(*sequences, strict=False):
        if len(set(items)) > 1:
            break
        count += 1
    return count
