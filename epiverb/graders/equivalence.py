r"""Which answers are the same: answers of one problem grouped by mathematical equality, so that 1/2 and \frac{1}{2} are one.

Most pairs are settled by their text or as whole numbers; the others go to Math-Verify in worker processes, each pair of
a run once. Equality there is not transitive: an answer joins the first group whose first member it equals, groups in the
order of their first members, the gold answer's first. A pair that cannot be compared (time limit, error) is not the same,
and is counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from epiverb.graders.math import LONGEST, _workers, key, plain, same

LIMIT = 3.0
"""Seconds for one pair."""
GROUPS = 64
"""Groups of a problem that a new answer is compared with by algebra; beyond them only by its text."""

Pair = tuple[str, str]


@dataclass(frozen=True)
class Groups:
    """Answers grouped, problem by problem."""

    of: list[list[int | None]]
    """For each problem, the group of each of its answers, from 0 in order of appearance; None: no answer."""
    n_compared: int
    """Pairs that went to Math-Verify."""
    n_failed: int
    """Of those, pairs that could not be compared."""


def group(problems: Sequence[Sequence[str | None]], *, algebra: bool = True) -> Groups:
    """The groups of equal answers of each problem.

    Args:
        problems: the answers of each problem; put the gold answer first where there is one.
        algebra: compare by Math-Verify what texts do not settle; False: by text and whole numbers only.
    """
    verdicts: dict[Pair, bool | None] = {}
    pending = [_State(answers) for answers in problems]
    # All problems advance together, one answer each, so that the workers get their pairs in large lots.
    while running := [state for state in pending if state.advance(verdicts)]:
        wanted = list(dict.fromkeys(pair for state in running for pair in state.wanted))
        if not algebra or not wanted:
            verdicts |= dict.fromkeys(wanted, False)
            continue
        for pair, outcome in zip(wanted, _workers(LIMIT).map(wanted), strict=True):
            failed = outcome.failure or outcome.value["failure"]
            verdicts[pair] = None if failed else bool(outcome.value["equal"])
    told = list(verdicts.values()) if algebra else []
    return Groups([state.groups for state in pending], len(told), sum(verdict is None for verdict in told))


class _State:
    """One problem on the way: answers are placed in order until pairs are met that only algebra can settle."""

    def __init__(self, answers: Sequence[str | None]) -> None:
        self.answers = [answer if answer is not None and answer.strip() else None for answer in answers]
        self.groups: list[int | None] = []
        self.wanted: list[Pair] = []
        self._first: list[str] = []
        self._by_key: dict[str, int] = {}

    def advance(self, verdicts: dict[Pair, bool | None]) -> bool:
        """Place answers as far as the verdicts reach; whether some are left, which `wanted` would settle."""
        while len(self.groups) < len(self.answers):
            answer = self.answers[len(self.groups)]
            if answer is None:
                self.groups.append(None)
                continue
            text = key(answer)
            place = self._by_key.get(text)
            if place is None:
                self.wanted = self._unsettled(answer, verdicts)
                if self.wanted:
                    return True
                place = self._join(answer, verdicts)
            self._by_key[text] = place
            self.groups.append(place)
        return False

    def _join(self, answer: str, verdicts: dict[Pair, bool | None]) -> int:
        for place, first in enumerate(self._first):
            quick = same(first, answer)
            if quick[0] if quick else verdicts.get((plain(first), plain(answer))):
                return place
        self._first.append(answer)
        return len(self._first) - 1

    def _unsettled(self, answer: str, verdicts: dict[Pair, bool | None]) -> list[Pair]:
        short = [first for first in self._first[:GROUPS] if len(first) <= LONGEST >= len(answer)]
        pairs = [(plain(first), plain(answer)) for first in short if same(first, answer) is None]
        return [pair for pair in pairs if pair not in verdicts]
