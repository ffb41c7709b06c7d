"""Arms of `--insert`: wrong responses cut at a share of their tokens and continued behind a phrase."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import polars as pl

from epiverb.contexts import parse
from epiverb.contexts.base import Shown
from epiverb.errors import ConfigError, DataError
from epiverb.models.insertion import Recorded, insertions
from epiverb.models.phrases import PHRASES, Phrase, neutral
from epiverb.verbs.sampling.arms import Arm, Asked, Placed
from epiverb.verbs.sampling.material import BARE

if TYPE_CHECKING:
    from epiverb.configs.decoding import Intervention
    from epiverb.verbs.sampling.session import Session


def insert(session: Session, settings: Intervention, problems: list[Placed]) -> list[str]:
    """Draw an arm for each place and phrase; their conditions, in order.

    Raises:
        DataError: the earlier runs hold no wrong response to these problems.
    """
    traces = _recorded(session, problems)
    if not traces:
        raise DataError("--insert: --from holds no wrong response to the bare question of these problems.")
    tokenizer = getattr(session.engine, "tokenizer", None) or getattr(
        getattr(session.engine, "chat", None), "tokenizer", None
    )
    phrases = [_phrase(text) for text in settings.insert]
    if settings.control:
        if tokenizer is None:
            raise ConfigError("--insert with --control needs an engine that knows the model's tokenizer.")
        phrases += [neutral(phrase, tokenizer) for phrase in phrases]
    n = session.sampling.n
    session.tally.total = len(traces) * len(settings.at) * len(phrases) * n
    conditions = []
    for share in settings.at:
        for phrase in phrases:
            condition = f"insert-{phrase.name}@{share:g}"
            conditions.append(condition)
            arm = Arm(condition, parse("none"))
            cuts = insertions(
                [recorded for _, recorded in traces], tokenizer, fractions=(share,), phrases=[phrase], n=n
            )
            before: Counter[Any] = Counter()
            for (placed, _), cut in zip(traces, cuts, strict=True):
                shown, offset = Shown(placed.problem.messages, None), before[placed.key] * n
                before[placed.key] += 1
                arm.asked.append(Asked(placed, shown, cut.request.key, cut.request.prefix, offset, cut.extra))
            session.draw(arm, session.sampling)
    return conditions


def _phrase(text: str) -> Phrase:
    """A published phrase by its name, else the text as it is."""
    if text in PHRASES:
        return PHRASES[text]
    name = "-".join(text.lower().split()[:4]).strip(".,;:!?") or "empty"
    return Phrase(name, text, "given on the command line")


def _recorded(session: Session, problems: list[Placed]) -> list[tuple[Placed, Recorded]]:
    """The wrong responses of the earlier runs to the bare question, problem by problem."""
    rows = session.earlier.filter(BARE & ~pl.col("correct") & (pl.col("response") != ""))
    by_problem: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows.iter_rows(named=True):
        by_problem.setdefault((row["benchmark"], row["problem_id"]), []).append(row)
    return [
        (
            placed,
            Recorded(
                row["trace_id"],
                row["response"],
                placed.problem.messages,
                thinking=session.job.thinking,
                correct=False,
                thinking_start=row["thinking_start"],
                thinking_end=row["thinking_end"],
            ),
        )
        for placed in problems
        for row in by_problem.get(placed.key, [])
    ]
