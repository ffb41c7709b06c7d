"""One stage at work: what is still to be scored goes to the model, what comes back is kept in parts as time goes by."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from epiverb.measures.base import Hits
from epiverb.schema import SEGMENTS
from epiverb.stats.resample import Resampler
from epiverb.text.cues import KINDS
from epiverb.verbs.summary import problem_codes

if TYPE_CHECKING:
    from epiverb.configs.score import ScoreConfig
    from epiverb.models.prompt_logprobs import PromptScorer
    from epiverb.models.scorer import Scorer
    from epiverb.run import Run
    from epiverb.text.lexicon import Lexicon
    from epiverb.verbs.scoring.source import Source
    from epiverb.verbs.scoring.store import Parts

Progress = Callable[[str, int, "int | None", int], None]
WAIT = 2.0
"""Seconds after which results are kept, at first..."""
SHARE = 0.02
"""...and later the share of the time spent so far."""


@dataclass(frozen=True)
class Job:
    """What every stage of a command shares."""

    config: ScoreConfig
    run: Run
    lex: Lexicon
    scorer: Scorer | PromptScorer | None
    source: Source | None
    progress: Progress | None

    @property
    def exact(self) -> bool:
        """Whether whole distributions are known, and not only their most likely tokens."""
        return self.scorer is not None and self.scorer.exact

    @property
    def here(self) -> Scorer:
        """The model in this process: what beliefs and mutual information need, and `verbs.score` has seen to."""
        from epiverb.models.scorer import Scorer

        assert isinstance(self.scorer, Scorer)
        return self.scorer

    def identity(self, stage: str, **more: Any) -> dict[str, Any]:
        """What makes the parts of a stage these and no others."""
        traces = self.run.scan("traces").select(pl.len(), pl.col("trace_id").hash(0).sum()).collect().row(0)
        used = self.scorer.used if self.scorer else {}
        model = {
            key: used.get(key) for key in ("engine", "model", "revision", "dtype", "template_sha256", "projection")
        }
        return {"stage": stage, "traces": traces, "lexicon": self.lex.sha256, "model": model, **more}

    def hits(self) -> dict[str, Hits]:
        """Trace -> its hits of the lexicon, in order of their start; traces without hits are absent."""
        rows = self.run.scan("hits").filter(pl.col("lexicon") == self.lex.name).sort("trace_id", "start").collect()
        rows = rows.cast({"category": pl.Enum(KINDS), "segment": pl.Enum(SEGMENTS)})  # `Hits` tells them by number
        found = {}
        for (key,), own in rows.group_by("trace_id", maintain_order=True):
            found[str(key)] = Hits.of(own.with_columns(pl.lit(0).alias("trace_id")))
        return found

    def resampler(self, traces: pl.DataFrame) -> Resampler:
        """Intervals over the problems of `traces`."""
        return Resampler(problem_codes(traces), draws=self.config.draws, seed=self.config.seed)


@dataclass
class Keeper:
    """Collects frames and writes them as parts when it is time."""

    parts: Parts
    stage: str
    total: int
    progress: Progress | None
    done: int = 0
    tokens: int = 0
    _pending: list[pl.DataFrame] = field(default_factory=list)
    _start: float = field(default_factory=time.monotonic)
    _last: float = field(default_factory=time.monotonic)

    def take(self, frames: Iterable[pl.DataFrame]) -> None:
        """Take a frame for each trace until there are no more; those that came are kept whatever ends it."""
        self._tell(0)
        try:
            for frame in frames:
                self._pending.append(frame)
                self._tell(1, len(frame))
                now = time.monotonic()
                if now - self._last >= max(WAIT, SHARE * (now - self._start)):
                    self._last = now
                    self.keep()
        finally:
            self.keep()

    def keep(self) -> None:
        """Write what is pending."""
        if self._pending:
            self.parts.add(pl.concat(self._pending))
            self._pending = []

    def _tell(self, n: int, tokens: int = 0) -> None:
        self.done += n
        self.tokens += tokens
        if self.progress:
            self.progress(self.stage, self.done, self.total, self.tokens)


def sets_of(lex: Lexicon, tokenizer: Any) -> dict[str, list[int]]:
    """Names of the lexicon and of its epistemic categories -> tokens that are a marker by themselves."""
    from epiverb.models.tokensets import resolve
    from epiverb.schema import EPISTEMIC

    category = {marker: name for name, marker in reversed(lex.markers) if name in EPISTEMIC}
    singles = resolve(lex, tokenizer).singles
    sets: dict[str, list[int]] = {lex.name: sorted(singles)}
    for name in (name for name in lex.forms if name in EPISTEMIC):
        sets[f"{lex.name}/{name}"] = sorted(i for i, marker in singles.items() if category.get(marker) == name)
    return {name: ids for name, ids in sets.items() if ids}


def reasons(faults: Iterable[str]) -> dict[str, int]:
    """How often each reason was given, figures in it left out: `longer than the model: N tokens ...`."""
    import re

    counts: dict[str, int] = {}
    for fault in faults:
        plain = re.sub(r"\d[\d,]*(?= tokens with)", "N", re.sub(r"(?<=token id )\d+", "N", fault))
        counts[plain] = counts.get(plain, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


def mask_of(length: int, first: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """Which of `length` tokens lie in one of the spans."""
    edges = np.zeros(length + 1, np.int64)
    np.add.at(edges, first, 1)
    np.add.at(edges, stop, -1)
    return np.cumsum(edges[:-1]) > 0
