"""From a name or path to problems, each once."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import partial
from typing import Any

from epiverb.errors import ConfigError, FormatError, nearest
from epiverb.io.raw import problem_hash
from epiverb.io.source import URL
from epiverb.problems import sources
from epiverb.problems.base import Loaded, Problem, Request
from epiverb.problems.prompts import REWRITES
from epiverb.problems.rows import Shape
from epiverb.problems.spec import parse
from epiverb.registry import Registry

SETS = Registry(
    "problem set",
    {
        "dapo-math-17k": "epiverb.problems.named:DAPO",
        "aime24": "epiverb.problems.named:AIME24",
        "aime25": "epiverb.problems.named:AIME25",
        "amc23": "epiverb.problems.named:AMC23",
        "math500": "epiverb.problems.named:MATH500",
        "hmmt25": "epiverb.problems.named:HMMT25",
        "chemistry": "epiverb.problems.named:CHEMISTRY",
        "livecodebench-v6": "epiverb.problems.named:LIVECODEBENCH",
        "coverage": "epiverb.problems.coverage:COVERAGE",
        "reasoning-gym": "epiverb.problems.gym:GYM",
        "lab": "epiverb.lab.problems:LAB",
    },
)

Adapt = Callable[[dict[str, Any], dict[str, str]], "dict[str, Any] | None"]
"""A record of a set in its own shape to one that `Shape` knows; None leaves it out."""


def load(name_or_path: str, **wanted: Any) -> list[Problem]:
    """The problems of a named set, a file or folder, or a data set of the hub: what `read` gives, without its counts."""
    return read(name_or_path, **wanted).problems


def read(
    name_or_path: str,
    *,
    limit: int | None = None,
    split: str | None = None,
    seed: int = 0,
    domain: str | None = None,
    rewrite: str | None = None,
    grader: str | None = None,
    map: dict[str, str] | None = None,
    data_dir: str | None = None,
    trust_remote_code: bool = False,
) -> Loaded:
    """The problems of a named set, a file or folder, or a data set of the hub, each once, with the counts of its rows.

    Args:
        name_or_path: `aime24`, `aime24=FILE`, `coverage:8@dapo-math-17k`, `reasoning-gym:countdown?size=100`, a path, or
            `ORGANISATION/NAME`; `spec.parse` has the grammar.
        limit: at most so many problems, the first ones.
        seed: of what is drawn or generated.
        domain: `id` or `ood`, set on every problem.
        rewrite: `keep`, `boxed` or `tagged`, instead of the set's own way to ask.
        grader: instead of the set's own.
        map: column of a problem (question, gold, problem_id, solution, system, extra.NAME) -> key of a record.
        data_dir: folder in which named sets lie as files or folders of their names. Default: the variable
            `EPIVERB_DATA`.

    Raises:
        ConfigError: no such set, option, split or column.
        FormatError: a file or record that cannot be read; no problem is dropped.
        MissingExtra: `datasets` or `reasoning-gym` is needed and not installed.
    """
    if rewrite is not None and rewrite not in REWRITES:
        raise ConfigError(f"unknown rewrite {rewrite!r}.{nearest(rewrite, REWRITES)}")
    if limit is not None and limit < 1:
        raise ConfigError(f"limit {limit}: at least one problem is needed.")
    told: dict[str, Any] = {"limit": limit, "split": split, "seed": seed, "domain": domain, "rewrite": rewrite}
    told |= {"grader": grader, "map": map or {}, "trust_remote_code": trust_remote_code}
    told["data_dir"] = data_dir or os.environ.get("EPIVERB_DATA")
    request = parse(name_or_path, list(SETS))
    request = Request(**{**vars(request), **told})
    loaded: Loaded = SETS.get(request.name)(request) if request.name in SETS else _unnamed(request)
    if not loaded.problems:
        raise FormatError(f"{name_or_path}: no problem in it ({loaded.n_rows} rows).")
    return loaded


def at_hand(name_or_path: str) -> bool:
    """Whether `read` finds the set on this machine, in the user's folder of sets too; the hub is not asked."""
    request = parse(name_or_path, list(SETS))
    if request.name not in SETS:
        return request.path is not None
    found = SETS.get(request.name)
    base = request.base or getattr(found, "base", None)
    if base is not None:
        return at_hand(base)
    where = getattr(found, "path_in", None)
    return where is None or bool(request.path or where(os.environ.get("EPIVERB_DATA")))


def _unnamed(request: Request) -> Loaded:
    """The problems of files, or of a data set that the hub knows and we do not."""
    if request.path is None:
        records = sources.hub(request.name, request.options, request.split, trust_remote_code=request.trust_remote_code)
        return collect(records, shape(request, request.name.rstrip("/").split("/")[-1]), request)
    return local(request, lambda path: shape(request, sources.benchmark(path)))


def shape(request: Request, benchmark: str, first: dict[str, tuple[str, ...]] | None = None, **own: Any) -> Shape:
    """How records become problems: by what the user asked for, else by `own`."""
    asked = {"rewrite": request.rewrite, "grader": request.grader, "domain": request.domain}
    rest = own | {name: value for name, value in asked.items() if value is not None}
    return Shape.mapped(request.map, first or {}, benchmark=benchmark, **rest)


def local(request: Request, shape_of: Callable[[str], Shape], adapt: Adapt | None = None) -> Loaded:
    """The problems of `request.path`, a file or folder or what `save_to_disk` wrote."""
    path = request.path or ""

    def part(records: Callable[[Any], sources.Records], form: Shape) -> Loaded:
        return collect(records(() if adapt else form.keys), form, request, adapt)

    if not URL.match(path) and sources.is_saved(path):
        return part(lambda keys: sources.saved(path, request.split, keys), shape_of(path))
    found = sources.files(path, request.split)
    collected: list[Loaded] = []
    for file in found:
        collected.append(part(partial(sources.local, file), shape_of(file)))
        if request.limit and sum(len(each.problems) for each in collected) >= request.limit:
            break
    return joined(collected, request)


def joined(parts: list[Loaded], request: Request) -> Loaded:
    """Several files as one set: what one file asks again that another has asked is a repetition too."""
    if len(parts) == 1:
        return parts[0]
    once = _Once(request.limit)
    for part in parts:
        for problem in part.problems:
            once.add(problem)
    return Loaded(
        once.problems,
        sum(part.n_rows for part in parts),
        once.n_repeated + sum(part.n_repeated for part in parts),
        sum(part.n_excluded for part in parts),
        (*once.notes(), *dict.fromkeys(note for part in parts for note in part.notes)),
    )


def collect(records: sources.Records, form: Shape, request: Request, adapt: Adapt | None = None) -> Loaded:
    """The problems of `records`, each once; reading stops at the limit."""
    once, n_rows, n_excluded = _Once(request.limit), 0, 0
    for where, record in records:
        if isinstance(record, int):
            n_rows += record
            once.n_repeated += record
            continue
        n_rows += 1
        adapted = record if adapt is None else adapt(record, request.options)
        if adapted is None:
            n_excluded += 1
            continue
        once.add(form.problem(adapted, where))
        if once.full:
            break
    return Loaded(once.problems, n_rows, once.n_repeated, n_excluded, tuple(once.notes()))


class _Once:
    """Problems in the order of their first row. Two rows with the same chat of the same benchmark are one problem."""

    def __init__(self, limit: int | None) -> None:
        self.problems: list[Problem] = []
        self.limit = limit
        self.n_repeated = 0
        self.n_other_gold = 0
        self.n_renamed = 0
        self._by_chat: dict[str, Problem] = {}
        self._ids: set[tuple[str, str]] = set()

    @property
    def full(self) -> bool:
        """Whether the limit is reached."""
        return self.limit is not None and len(self.problems) >= self.limit

    def add(self, problem: Problem) -> None:
        """Keep `problem` unless it is there or the limit is reached. An id that another question has is made unique."""
        if self.full:
            return
        chat = json.dumps([problem.benchmark, problem.messages])
        if chat in self._by_chat:
            self.n_repeated += 1
            self.n_other_gold += self._by_chat[chat].gold != problem.gold
            return
        if (problem.benchmark, problem.problem_id) in self._ids:
            self.n_renamed += 1
            unique = f"{problem.problem_id}-{problem_hash(chat)}"
            problem = Problem(**{**vars(problem), "problem_id": unique})
        self._by_chat[chat] = problem
        self._ids.add((problem.benchmark, problem.problem_id))
        self.problems.append(problem)

    def notes(self) -> list[str]:
        """What a user should know."""
        notes = []
        if self.n_repeated:
            notes.append(f"{_rows(self.n_repeated, 'repeat')} an earlier one; each problem counts once.")
        if self.n_other_gold:
            notes.append(f"Repeated rows with another gold answer: {self.n_other_gold}; the first one's counts.")
        if self.n_renamed:
            notes.append(f"Questions with the id of an earlier one: {self.n_renamed}; they have ids of their own now.")
        return notes


def _rows(n: int, verb: str) -> str:
    return f"1 row {verb}s" if n == 1 else f"{n:,} rows {verb}"
