"""Coverage subsets: some problems of a set, drawn by a seed. How often each is trained on is the trainer's business."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any

from epiverb.errors import ConfigError
from epiverb.problems.base import Loaded, Request


@dataclass(frozen=True)
class Coverage:
    """`coverage:8` or `coverage:8@BASE`: with one seed, the first 8 of `coverage:64` are those of `coverage:8`.

    Ours differs: arXiv 2603.24472 section 6.2 does not say how its subsets were drawn; its own are files to be given.
    """

    name: str = "coverage"
    about: str = "so many problems of a set, drawn by the seed: coverage:8, coverage:64@math500"
    base: str = "dapo-math-17k"
    n: None = None

    def __call__(self, request: Request) -> Loaded:
        """The drawn problems, in the order in which they were drawn."""
        from epiverb.problems.load import read

        size = int(request.argument) if request.argument and request.argument.isdecimal() else 0
        if size < 1:
            raise ConfigError(f"{request.spec}: say how many, as in coverage:8.")
        if request.path or request.options.keys() - {"seed"}:
            raise ConfigError(
                f"{request.spec}: coverage has no files and only the option seed. Try coverage:{size}@BASE."
            )
        seed = request.options.get("seed", str(request.seed))
        told = ("split", "domain", "rewrite", "grader", "map", "data_dir", "trust_remote_code")
        whole = read(request.base or self.base, seed=request.seed, **{name: getattr(request, name) for name in told})
        if size > len(whole.problems):
            raise ConfigError(f"{request.spec}: the set has only {len(whole.problems)} problems.")
        # By id first, so that the draw does not depend on the order of the file.
        problems = sorted(whole.problems, key=lambda problem: (problem.benchmark, problem.problem_id))
        random.Random(f"coverage {seed}").shuffle(problems)
        kept = problems[: min(size, request.limit or size)]
        return replace(whole, problems=kept, n_excluded=whole.n_excluded + len(problems) - len(kept))

    def describe(self) -> dict[str, Any]:
        """What is known of it, as plain values."""
        return {"name": self.name, "about": self.about, "base": self.base, "options": ["seed"]}


COVERAGE = Coverage()
