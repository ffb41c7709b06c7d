"""The problems of a job: loaded, cut to a limit or shard, and placed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from epiverb.errors import ConfigError
from epiverb.verbs.sampling.arms import Placed


@dataclass(frozen=True)
class Source:
    """One set of problems."""

    spec: str
    """As the user wrote it."""
    problems: list[Placed]
    sha256: str
    """Of the problems themselves: what was sampled, whatever the file is called."""
    notes: tuple[str, ...] = ()


def load(
    specs: Sequence[str], *, limit: int | None, shard: tuple[int, int] | None, seed: int, domains: dict[str, str]
) -> list[Source]:
    """The sets that `specs` name, in their order.

    Args:
        limit: the first problems of each set.
        shard: (i, n): of those every n-th, from the i-th.

    Raises:
        ConfigError: no such set, or one that is given twice; FormatError: it cannot be read.
    """
    from epiverb.problems.load import read

    twice = {spec for spec in specs if list(specs).count(spec) > 1}
    if twice:
        raise ConfigError(f"{sorted(twice)[0]}: given twice. Each set is read once.")
    sources = []
    for spec in specs:
        loaded = read(spec, limit=limit, seed=seed)
        problems = [replace(one, domain=domains.get(one.benchmark, one.domain)) for one in loaded.problems[:limit]]
        placed = [Placed(problem, spec, line) for line, problem in enumerate(problems, 1)]
        chosen = placed if shard is None else placed[shard[0] - 1 :: shard[1]]
        sources.append(Source(spec, chosen, _hash(chosen), tuple(loaded.notes)))
    return sources


def _hash(problems: Sequence[Placed]) -> str:
    digest = hashlib.sha256()
    for placed in problems:
        problem = placed.problem
        parts = [
            problem.benchmark,
            problem.problem_id,
            problem.messages,
            problem.gold,
            problem.grader,
            problem.solution,
        ]
        digest.update(json.dumps(parts, ensure_ascii=True).encode())
    return digest.hexdigest()
