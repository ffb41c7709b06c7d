"""The problems of a training as rows of a data set for the trainer, and how their prompts are rendered."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from epiverb.errors import DataError
from epiverb.verbs.sampling.problems import Source, load
from epiverb.verbs.training.rewards import checked

if TYPE_CHECKING:
    from epiverb.problems import Problem

JUDGED_BY = {"tests", "entry"}
"""What grades a problem that has no gold answer."""


@dataclass(frozen=True)
class Rows:
    """Problems as they go to the trainer."""

    rows: list[dict[str, Any]]
    sources: list[Source]
    notes: tuple[str, ...] = ()


def read(
    specs: Sequence[str], *, limit: int | None, seed: int, domain: dict[str, str], lenient: Sequence[str]
) -> tuple[list[Source], list[str]]:
    """The sets of problems, and what a user should know of them; what no domain is said of is in-domain.

    Raises:
        ConfigError, FormatError: no such set, or one that cannot be read. DataError: no answer of it could be graded.
    """
    sources = [_in_domain(source) for source in load(specs, limit=limit, shard=None, seed=seed, domains=domain)]
    problems = [placed.problem for source in sources for placed in source.problems]
    checked([problem.grader for problem in problems], lenient)
    bare = sum(problem.gold is None and not problem.extra.keys() & JUDGED_BY for problem in problems)
    if bare == len(problems):
        raise DataError(f"{', '.join(specs)}: no problem has a gold answer, so there is no reward.")
    notes = [f"{source.spec}: {note}" for source in sources for note in source.notes]
    if bare:
        notes.append(
            f"{bare} of {len(problems)} problems have no gold answer; their responses have no reward and train nothing"
        )
    return sources, notes


def _in_domain(source: Source) -> Source:
    return replace(
        source,
        problems=[
            replace(placed, problem=replace(placed.problem, domain=placed.problem.domain or "id"))
            for placed in source.problems
        ],
    )


def rows_of(
    sources: Sequence[Source], tokenizer: Any, *, max_prompt: int, questions: int, switch: dict[str, bool]
) -> Rows:
    """The rows of all problems whose prompt is short enough; fewer than a batch needs are repeated to fill it.

    Raises:
        DataError: no prompt is short enough.
    """
    problems = [placed.problem for source in sources for placed in source.problems]
    lengths = [prompt_tokens(tokenizer, problem.messages, switch) for problem in problems]
    kept = [problem for problem, length in zip(problems, lengths, strict=True) if length <= max_prompt]
    notes = []
    if not kept:
        raise DataError(f"all {len(problems)} prompts are longer than --max-prompt {max_prompt} tokens.")
    if len(kept) < len(problems):
        longer = len(problems) - len(kept)
        notes.append(
            f"{longer} of {len(problems)} problems left out: their prompts are longer than {max_prompt} tokens"
        )
    times = -(-questions // len(kept))
    if times > 1:
        notes.append(f"{len(kept)} problems for a batch of {questions} questions: each stands {times} times in it")
    return Rows([row(problem) for problem in kept] * times, list(sources), tuple(notes))


def prompt_tokens(tokenizer: Any, chat: Sequence[dict[str, str]], switch: dict[str, bool]) -> int:
    """Tokens of a chat as the model is shown it."""
    told: dict[str, Any] = {"tokenize": True, "add_generation_prompt": True, "return_dict": True, **switch}
    return len(tokenizer.apply_chat_template([dict(turn) for turn in chat], **told)["input_ids"])


def row(problem: Problem) -> dict[str, Any]:
    """One row. `extra` is JSON text: what graders need has no common columns."""
    return {
        "prompt": [dict(turn) for turn in problem.messages],
        "problem_id": problem.problem_id,
        "benchmark": problem.benchmark,
        "domain": problem.domain,
        "gold": problem.gold,
        "grader": problem.grader,
        "solution": problem.solution,
        "extra": json.dumps(problem.extra, ensure_ascii=False, default=str),
    }
