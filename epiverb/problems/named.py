"""The named sets that are tables: where each lies, which column holds what, how it is asked and graded."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import Any

from epiverb.errors import ConfigError, nearest
from epiverb.io.source import PACKED, SUFFIXES
from epiverb.problems import sources
from epiverb.problems.base import Loaded, Request
from epiverb.registry import resolve


@dataclass(frozen=True)
class NamedSet:
    """A published set of problems."""

    name: str
    about: str
    n: int | None
    """Problems, as published; None where the parts differ."""
    source: str
    licence: str
    hub: str | None
    """Data set of the hub; None: there is none in this form, local files are needed."""
    hub_options: dict[str, str] = field(default_factory=dict)
    """`config`, `revision` and `files`, where the hub's set has several."""
    split: str | None = None
    """Of the hub's set."""
    columns: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Keys that are looked at before the usual ones of `rows.NAMES`."""
    grader: str = "math"
    rewrite: str | None = "boxed"
    adapt: str | None = None
    """`module:function` of what is special about its records."""
    options: tuple[str, ...] = ()
    """What `?` may set."""

    def __call__(self, request: Request) -> Loaded:
        """Its problems, from local files where the user has some, else from the hub."""
        from epiverb.problems.load import collect, local, shape

        for given in (request.argument, request.base):
            if given is not None:
                raise ConfigError(f"{request.spec}: {self.name} takes nothing behind ':' or '@'.")
        for option in request.options:
            if option not in self.options:
                raise ConfigError(f"{request.spec}: no option {option!r}.{nearest(option, self.options or ['(none)'])}")
        form = shape(request, self.name, self.columns, grader=self.grader, rewrite=self.rewrite)
        adapt = resolve(self.adapt) if self.adapt else None
        path = request.path or self.path_in(request.data_dir)
        if path:
            loaded = local(replace(request, path=path), lambda _: form, adapt)
        elif self.hub is None:
            raise ConfigError(f"{self.name} is not on the hub in this form. {self.source} Then: {self.name}=PATH.")
        else:
            split = request.split or self.split
            trusted = request.trust_remote_code
            keys = () if adapt else form.keys
            records = sources.hub(self.hub, self.hub_options, split, keys=keys, trust_remote_code=trusted)
            loaded = collect(records, form, request, adapt)
        return replace(loaded, notes=(*loaded.notes, *self._notes(loaded, request)))

    def path_in(self, folder: str | None) -> str | None:
        """The file or folder of this set in the user's folder of sets."""
        names = [self.name, *(self.name + suffix + packed for suffix in SUFFIXES for packed in PACKED)]
        paths = [os.path.join(folder, name) for name in names] if folder else []
        return next((path for path in paths if os.path.exists(path)), None)

    def _notes(self, loaded: Loaded, request: Request) -> list[str]:
        notes = []
        if loaded.n_excluded:
            asked = ", ".join(f"{k}={v}" for k, v in request.options.items()) or "the set as published"
            notes.append(f"{loaded.n_excluded} rows are not of {asked}.")
        n = len(loaded.problems)
        if self.n and not request.limit and not request.options and n != self.n:
            notes.append(f"{self.name} has {n} problems here, {self.n} as published.")
        return notes

    def describe(self) -> dict[str, Any]:
        """What is known of it, as plain values."""
        words = ("name", "about", "n", "grader", "rewrite", "hub", "split", "source", "licence")
        return {**{word: getattr(self, word) for word in words}, "options": list(self.options), "columns": self.columns}


_FIGURES = "Also as beanie00/self-distillation-analysis data/math/evaluation, which the paper's figures used."

DAPO = NamedSet(
    "dapo-math-17k",
    "competition mathematics with whole-number answers, English and Chinese; what the paper trains on",
    None,
    "arXiv 2503.14476; arXiv 2603.24472 speaks of 14,000 questions of it.",
    "Apache-2.0",
    "BytedTsinghua-SIA/DAPO-Math-17k",
    split="train",
)
AIME24 = NamedSet(
    "aime24",
    "American Invitational Mathematics Examination 2024, I and II",
    30,
    f"Mathematical Association of America. {_FIGURES}",
    "not stated by the data set",
    "HuggingFaceH4/aime_2024",
    split="train",
)
AIME25 = NamedSet(
    "aime25",
    "American Invitational Mathematics Examination 2025, I and II",
    30,
    f"Mathematical Association of America. {_FIGURES}",
    "CC BY-NC-SA 4.0",
    "MathArena/aime_2025",
    split="train",
)
AMC23 = NamedSet(
    "amc23",
    "American Mathematics Competitions 12, 2023, with numbers as answers",
    40,
    f"Mathematical Association of America. {_FIGURES}",
    "not stated by the data set",
    "math-ai/amc23",
    split="test",
)
MATH500 = NamedSet(
    "math500",
    "500 test problems of MATH, with worked solutions, subject and level",
    500,
    f"arXiv 2103.03874, selected in arXiv 2305.20050. {_FIGURES}",
    "MIT",
    "HuggingFaceH4/MATH-500",
    split="test",
    columns={
        "gold": ("reward_model.ground_truth", "answer"),
        "extra.subject": ("extra_info.subject", "subject"),
        "extra.level": ("extra_info.level", "level"),
    },
)
HMMT25 = NamedSet(
    "hmmt25",
    "Harvard-MIT Mathematics Tournament, February 2025",
    30,
    "MathArena, arXiv 2505.23281.",
    "CC BY-NC-SA 4.0",
    "MathArena/hmmt_feb_2025",
    split="train",
)
CHEMISTRY = NamedSet(
    "chemistry",
    "multiple-choice chemistry in six types (option type=...): SciKnowEval as SDPO trains on it",
    None,
    "arXiv 2406.09098; splits train and test made by lasgroup/SDPO. Take datasets/sciknoweval/chemistry of that repository.",
    "Apache-2.0",
    None,
    columns={"extra.type": ("extra.type",)},
    grader="choice",
    rewrite="keep",
    adapt="epiverb.problems.chemistry:adapt",
    options=("type",),
)
LIVECODEBENCH = NamedSet(
    "livecodebench-v6",
    "competition programming from February to April 2025, with public and hidden tests",
    131,
    "arXiv 2403.07974; the months as in arXiv 2601.20802.",
    "CC (version not stated)",
    "livecodebench/code_generation_lite",
    {"files": "test6.jsonl"},
    columns={
        "question": ("question",),
        "extra.tests": ("extra.tests",),
        "extra.fn_name": ("extra.fn_name",),
        "extra.difficulty": ("extra.difficulty",),
    },
    grader="code",
    rewrite="keep",
    adapt="epiverb.problems.livecodebench:adapt",
    options=("since", "until"),
)
