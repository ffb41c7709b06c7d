"""The paper's section 3 as one job: how a model reasons, the more it is told.

Source: arXiv 2603.24472, Table 1; beanie00/self-distillation-analysis@5c51051 `eval_dapo_dataset.py`, `eval_with_hint.py`.
Ours differs: all samples are kept, right and wrong; the unguided arm is drawn anew, because the samples that a problem was
selected by are biased by the selection (a problem with 1 to 4 right of 8 has, drawn again, a rate nearer to the mean of
all problems); and solutions without thinking are an arm of the command, which the published scripts do not have.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from epiverb.configs.sample import Selection
from epiverb.errors import ConfigError, DataError
from epiverb.verbs.sampling.arms import Arm, Placed
from epiverb.verbs.sampling.material import rates, selected

if TYPE_CHECKING:
    from epiverb.verbs.sampling.session import Session

SELECTION = "selection"
UNGUIDED = "unguided"
SOLUTION = "solution"
NO_THINK = "solution-no-think"
BATCH = 64
"""Problems drawn before it is looked whether enough are kept, as in the published script."""


def bounds(selection: Selection, n: int) -> tuple[int, int]:
    """Fewest and most right samples of a problem that is kept; raises `ConfigError` where there is nothing between."""
    low = 1 if selection.min_correct is None else selection.min_correct
    high = max(n // 2, low) if selection.max_correct is None else selection.max_correct
    if not 0 <= low <= high:
        raise ConfigError(f"--min-correct {low} and --max-correct {high}: no number is between them.")
    return low, high


def rungs(rounds: int) -> list[str]:
    """The conditions of the table, from the least to the most informed."""
    return [UNGUIDED, NO_THINK, *[_round(i) for i in range(rounds, 0, -1)], SOLUTION]


def _round(number: int) -> str:
    return "regenerated" if number == 1 else f"regenerated:{number}"


def climb(session: Session, selection: Selection) -> list[Placed]:
    """The problems that were kept; unless there are none, every arm of the ladder is drawn."""
    kept = select(session, selection)
    if not kept:
        return kept
    n = session.sampling.n
    session.tally.total = session.tally.done + len(kept) * n * len(rungs(selection.rounds))
    session.run(UNGUIDED, "none", kept)
    session.run(SOLUTION, SOLUTION, kept)
    session.run(NO_THINK, NO_THINK, kept)
    for number in range(1, selection.rounds + 1):
        session.run(_round(number), _round(number), kept)
    return kept


def select(session: Session, selection: Selection) -> list[Placed]:
    """The first problems whose rate is within bounds: of samples drawn now, or of earlier runs where those are given."""
    problems = session.job.problems
    if len(session.earlier):
        return selected(problems, session.earlier, *bounds(selection, _most(session)))[: selection.problems]
    n = selection.selection_samples
    low, high = bounds(selection, n)
    whole: Arm | None = None
    kept: list[Placed] = []
    for start in range(0, len(problems), BATCH):
        arm = session.run(SELECTION, "none", problems[start : start + BATCH], n=n)
        whole = _joined(session, whole, arm)
        kept = selected(problems[: start + BATCH], session.known(), low, high)
        if len(kept) >= selection.problems:
            break
    return kept[: selection.problems]


def _joined(session: Session, whole: Arm | None, arm: Arm) -> Arm:
    """The batches of the selection as one arm."""
    if whole is None:
        return arm
    session.arms.remove(arm)
    whole.asked += arm.asked
    whole.skipped += arm.skipped
    return whole


def _most(session: Session) -> int:
    """Samples a problem has in the earlier runs."""
    return max((graded for _, graded in rates(session.earlier).values()), default=0)


def nothing_kept(session: Session, selection: Selection, problems: Sequence[Placed]) -> DataError:
    """The error that says why no problem was kept, and how to go on from the samples that there are."""
    counted = rates(session.known())
    rights = [counted.get(placed.key, (0, 0)) for placed in problems]
    n = max((graded for _, graded in rights), default=0)
    low, high = bounds(selection, n)
    never, above = sum(right < low for right, _ in rights), sum(right > high for right, _ in rights)
    return DataError(
        f"none of {len(rights)} problems was solved {low} to {high} times of {n}: {never} less often, {above} more often. "
        f"Select again from the same samples with: --ladder --from {session.job.out} --min-correct N --max-correct N "
        "--out ANOTHER"
    )
