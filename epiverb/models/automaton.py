"""Where in a stream of bytes a marker is complete: all markers in one automaton, whatever tokens the bytes come in.

A sampler can spell a word in tokens that no tokenizer would choose ("Wa", "it"), so that a list of token sequences never
holds all of them. Bytes do. The automaton is that of Aho and Corasick (1975) over bytes folded to lower case, with one
sign added: `EDGE` follows every byte that is no letter, and stands before the first one. A marker that must not touch a
letter begins with an edge, in the patterns as in the text, and the shortest of its places is told from the rest by that.

What a byte cannot tell: only ASCII letters are letters here, so that a marker beside an accented or a Chinese letter
counts as standing free.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
LETTERS = frozenset(range(ord("a"), ord("z") + 1))
EDGE = -1
ROOT = 0


class Automaton:
    """Reads bytes and says where patterns end.

    Args:
        patterns: in lower case, as bytes; ASCII letters are met in either case.
        free: of each pattern, whether no letter may touch it.
    """

    def __init__(self, patterns: Sequence[bytes], free: Sequence[bool]) -> None:
        children, ends = _trie(patterns, free)
        folded = np.arange(256)
        folded[ord("A") : ord("Z") + 1] += 32
        used = sorted({byte for pattern in patterns for byte in pattern})
        # Classes 0 and 1 are the letters and the other bytes that no pattern holds; the last one is the edge.
        rank = {byte: i + 2 for i, byte in enumerate(used)}
        self.byte_class = np.array([rank.get(int(b), 0 if int(b) in LETTERS else 1) for b in folded], np.int64)
        self.is_letter: Mask = np.isin(folded, list(LETTERS))
        table, self.free_end, self.any_end = _close(children, ends, rank | {EDGE: len(used) + 2})
        self.edged: Mask = np.zeros(len(children), bool)
        self.edged[[node for edges in children for sign, node in edges.items() if sign == EDGE]] = True
        # A byte that is no letter is followed by an edge at once: states between the two are never seen.
        others = [1] + [c for byte, c in rank.items() if byte not in LETTERS]
        table[:, others] = table[table[:, others], -1]
        self.table = np.ascontiguousarray(table[:, :-1])
        self.start = int(table[ROOT, -1])
        """State at the start of a text, and behind a byte that is no letter and begins nothing."""
        self.depth = max(map(len, patterns), default=0)
        """Bytes of the longest pattern."""

    def read(self, state: int, data: bytes) -> int:
        """The state behind `data`."""
        for byte in data:
            state = int(self.table[state, self.byte_class[byte]])
        return state


def _trie(patterns: Sequence[bytes], free: Sequence[bool]) -> tuple[list[dict[int, int]], dict[int, bool]]:
    """Children of every node, and node -> whether the pattern that ends there must stand free."""
    children: list[dict[int, int]] = [{}]
    ends: dict[int, bool] = {}
    for pattern, is_free in zip(patterns, free, strict=True):
        node = ROOT
        for sign in _signs(pattern, is_free):
            if sign not in children[node]:
                children[node][sign] = len(children)
                children.append({})
            node = children[node][sign]
        ends[node] = is_free and ends.get(node, True)
    return children, ends


def _signs(pattern: bytes, is_free: bool) -> list[int]:
    signs = [EDGE] if is_free else []
    for byte in pattern:
        signs += [byte] if byte in LETTERS else [byte, EDGE]
    return signs


def _close(children: list[dict[int, int]], ends: dict[int, bool], rank: dict[int, int]) -> tuple[Ints, Mask, Mask]:
    """Transitions (state, class) with every failure followed, and where patterns end that are free, and that are not."""
    table = np.zeros((len(children), max(rank.values()) + 1), np.int64)
    free_end, any_end = np.zeros(len(children), bool), np.zeros(len(children), bool)
    for node, is_free in ends.items():
        (free_end if is_free else any_end)[node] = True
    fail, queue = [ROOT] * len(children), deque([ROOT])
    while queue:
        node = queue.popleft()
        back = fail[node]
        if node != ROOT:
            free_end[node] |= free_end[back]
            any_end[node] |= any_end[back]
            table[node] = table[back]
        for sign, child in children[node].items():
            fail[child] = int(table[back, rank[sign]]) if node != ROOT else ROOT
            table[node, rank[sign]] = child
            queue.append(child)
    return table, free_end, any_end


class Completions:
    """Which tokens complete a pattern, from any state of an automaton.

    A token completes a pattern that must stand free where no letter follows it in the token, or where the token ends:
    whether the next token goes on with a letter ("check", "mate") cannot be told before it is chosen.

    Args:
        pieces: the bytes of each token, by id; empty for a token without text.
    """

    def __init__(self, automaton: Automaton, pieces: Sequence[bytes]) -> None:
        self.automaton = automaton
        data = np.frombuffer(b"".join(pieces), np.uint8)
        self._class = automaton.byte_class[data]
        self._letter = np.append(automaton.is_letter[data], False)
        self._length = np.array([len(piece) for piece in pieces], np.int64)
        self._begin = np.append(0, np.cumsum(self._length))[:-1]
        self._first = np.full(len(pieces), -1, np.int64)
        some = np.flatnonzero(self._length)
        self._first[some] = self._class[self._begin[some]]
        self._by_first = {int(c): np.flatnonzero(self._first == c) for c in np.unique(self._first[some])}
        self._known: dict[int, Ints] = {}

    def ids(self, state: int) -> Ints:
        """Ids of the tokens that complete a pattern behind `state`, ascending."""
        if state not in self._known:
            self._known[state] = self._ids(state)
        return self._known[state]

    def _ids(self, state: int) -> Ints:
        automaton = self.automaton
        if state in (ROOT, automaton.start):
            return self._completing(state, np.flatnonzero(self._length))
        # Tokens whose first byte leads where it leads from a plain place complete the same patterns as there.
        base = automaton.start if automaton.edged[state] else ROOT
        other = np.flatnonzero(automaton.table[state] != automaton.table[base])
        changed = [self._by_first[c] for c in other.tolist() if c in self._by_first]
        if not changed:
            return self.ids(base)
        same = self.ids(base)
        same = same[~np.isin(self._first[same], other)]
        return np.sort(np.concatenate([same, self._completing(state, np.sort(np.concatenate(changed)))]))

    def _completing(self, state: int, tokens: Ints) -> Ints:
        """Those of `tokens` that complete a pattern, found by reading all of them at once, a byte at a time."""
        automaton, found = self.automaton, []
        states = np.full(len(tokens), state)
        place, left = self._begin[tokens], self._length[tokens]
        while len(tokens):
            states = automaton.table[states, self._class[place]]
            last = left == 1
            done = automaton.any_end[states] | (automaton.free_end[states] & (last | ~self._letter[place + 1]))
            found.append(tokens[done])
            on = ~(done | last)
            tokens, states, place, left = tokens[on], states[on], place[on] + 1, left[on] - 1
        return np.sort(np.concatenate(found)) if found else np.zeros(0, np.int64)

    def advance(self, states_B: Ints, tokens_B: Ints) -> Ints:
        """The state of each row behind one more token; an id beyond the vocabulary is a token without text."""
        states = states_B.copy()
        known = tokens_B < len(self._length)
        tokens = np.where(known, tokens_B, 0)
        place, left = self._begin[tokens], np.where(known, self._length[tokens], 0)
        on = np.flatnonzero(left > 0)
        while len(on):
            states[on] = self.automaton.table[states[on], self._class[place[on]]]
            place, left = place + 1, left - 1
            on = on[left[on] > 0]
        return states
