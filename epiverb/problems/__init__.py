"""Problems: any set of questions in one normal form, with what grades the answers.

    problems = load("aime24=aime24.parquet")
    read("coverage:64@dapo-math-17k", seed=1).notes
    describe("math500")

`base.py` has the normal form, `spec.py` what a name may be, `sources.py` files and the hub, `rows.py` a record to a problem,
`named.py` the published sets as data. A package adds its own sets through the entry point group `epiverb.problem_sets`: a
callable from a `Request` to a `Loaded`.
"""

from __future__ import annotations

from typing import Any

from epiverb.problems.base import Loaded, Problem, Request
from epiverb.problems.load import SETS, load, read

__all__ = ["SETS", "Loaded", "Problem", "Request", "describe", "load", "read", "table"]


def describe(name: str) -> dict[str, Any]:
    """What is known of a named set: its source, licence, place on the hub, columns, grader, and how it is asked."""
    found = SETS.get(name.partition(":")[0])
    return dict(found.describe()) if hasattr(found, "describe") else {"name": name, "about": found.__doc__ or ""}


def table() -> list[dict[str, Any]]:
    """Every named set, for `epiverb ls problems`."""
    rows = []
    for name in SETS:
        known = SETS.get(name)
        told = {word: str(getattr(known, word, None) or "") for word in ("n", "grader", "licence", "about")}
        rows.append({"name": name, "problems": told.pop("n"), **told})
    return rows
