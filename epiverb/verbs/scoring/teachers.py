"""Teachers of a run: for each trace the prompts of the same question under contexts, built from the run's own responses."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import polars as pl

from epiverb.contexts import parse
from epiverb.contexts.base import Context, Material, NoMaterial
from epiverb.errors import ConfigError, DataError
from epiverb.models.base import Request
from epiverb.problems.base import Problem
from epiverb.verbs.sampling.arms import Placed
from epiverb.verbs.sampling.finish import PROBLEMS
from epiverb.verbs.sampling.material import BARE, materials

if TYPE_CHECKING:
    from epiverb.run import Run
    from epiverb.verbs.scoring.source import Aligned, Source

ALIASES = {"s": "solution", "s-nothink": "solution-no-think", "regen": "regenerated"}
Key = tuple[str, str]


def named(given: tuple[str, ...]) -> dict[str, Context]:
    """The contexts that a user named, commas and aliases resolved, by the name they have in documents.

    Raises:
        ConfigError: there is no such context, or none is given.
    """
    specs = [spec.strip() for item in given for spec in item.split(",") if spec.strip()]
    if not specs:
        raise ConfigError("--contexts: name at least one. See: epiverb ls contexts.")
    found = {}
    for spec in specs:
        head, at, rest = spec.partition("@")
        whole = ALIASES.get(head, head) + at + rest
        found[whole] = parse(whole)
    return found


def students(run: Run) -> pl.Expr:
    """Which traces are a student's own: sampled without context, from those of a selection only where there are no others."""
    bare = BARE & (pl.col("status") != "missing")
    others = run.scan("traces").filter(bare & (pl.col("condition").fill_null("") != "selection")).head(1).collect()
    return bare & (pl.col("condition").fill_null("") != "selection") if others.height else bare


@dataclass
class Teachers:
    """Builds prompts.

    Args:
        contexts: by name.
    """

    run: Run
    source: Source
    contexts: dict[str, Context]
    seed: int
    skipped: Counter[str] = field(default_factory=Counter)
    """Context and reason -> traces for which a prompt could not be built."""

    def __post_init__(self) -> None:
        self.problems = _problems(self.run)
        rows = self.run.scan("traces").select(
            "trace_id",
            "benchmark",
            "problem_id",
            "condition",
            "context",
            "sample",
            "response",
            "thinking_start",
            "thinking_end",
            "correct",
            "grade_reason",
        )
        earlier = (
            rows.collect()
            .with_columns(pl.col("benchmark", "problem_id").fill_null(""))
            .sort("sample", maintain_order=True)
        )
        key = ["benchmark", "problem_id"]
        right = earlier.filter(BARE & pl.col("correct"), pl.col("response") != "")
        peers = right.unique(key, keep="first", maintain_order=True)
        self.peer = {row[0]: (row[1], row[2]) for row in peers.select("trace_id", *key).iter_rows()}
        self._first = materials(self.problems, earlier, self.seed)
        rest = earlier.filter(~pl.col("trace_id").is_in(list(self.peer)))
        self._second = materials(self.problems, rest, self.seed)
        told: str = ((self.run.manifest.get("config") or {}).get("decoding") or {}).get("thinking") or ""
        self.thinking = {"on": True, "off": False}.get(told)

    def material(self, one: Aligned) -> Material:
        """What is known of a trace's problem; its solution is never the trace itself (as in SDPO: a peer's success)."""
        key = (one.row["benchmark"] or "", one.row["problem_id"] or "")
        if key not in self._first:
            raise NoMaterial("its question is not among the run's problems")
        found = self._first[key]
        if one.key in self.peer:
            return replace(found, solution=self._second[key].solution)
        return found

    def prompts(self, one: Aligned) -> dict[str, tuple[int, ...]]:
        """Context -> token ids of the prompt, without those that cannot be built."""
        found = {}
        for name, context in self.contexts.items():
            try:
                shown = context(self.material(one))
            except NoMaterial as error:
                self.skipped[f"{name}: {error}"] += 1
                continue
            request = Request(one.key, messages=shown.messages, thinking=self.thinking)
            found[name] = (*self.source.chat.encode(request).ids, *one.given)
        return found


def _problems(run: Run) -> list[Placed]:
    """The run's questions as chats: as they were sampled, or from prompts that are plain questions."""
    path = run.path / PROBLEMS
    if path.is_file():
        rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        return [Placed(_problem(row), row.get("source", ""), row.get("line", 0)) for row in rows]
    bare = run.scan("traces").filter(BARE & pl.col("prompt").is_not_null())
    columns = (pl.col("benchmark").fill_null(""), pl.col("problem_id").fill_null(""), "prompt", "gold")
    rows = (
        bare.select(columns).unique(["benchmark", "problem_id"], keep="first", maintain_order=True).collect().to_dicts()
    )
    if not rows:
        raise DataError(
            f"{run.path}: tells no questions, which a teacher's prompt is built from. Sample the run with epiverb sample."
        )
    if any("<|" in row["prompt"] for row in rows):
        raise DataError(
            f"{run.path}: its prompts are rendered already and there is no {PROBLEMS}, so that nothing can be put beside the "
            "question. Sample the run with epiverb sample, or analyse a file with plain questions."
        )
    return [Placed(_problem(row | {"messages": [{"role": "user", "content": row["prompt"]}]}), "", 0) for row in rows]


def _problem(row: dict[str, Any]) -> Problem:
    return Problem(
        row["problem_id"], row["benchmark"] or "", tuple(row["messages"]), row.get("gold"), row.get("grader") or "math",
        solution=row.get("solution"),
    )  # fmt: skip
