"""A session: the engine at work on a job's arms, whatever their order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import polars as pl

from epiverb.verbs.sampling.arms import Arm, Placed, Room, room_of
from epiverb.verbs.sampling.draw import Tally, draw
from epiverb.verbs.sampling.job import Job, arm_seed
from epiverb.verbs.sampling.material import COLUMNS, materials

if TYPE_CHECKING:
    from epiverb.models.base import Engine, Sampling
    from epiverb.verbs.sampling.interventions import Steered
    from epiverb.verbs.sampling.store import Store


@dataclass
class Session:
    """One command's work on an unfinished run."""

    job: Job
    store: Store
    engine: Engine
    tally: Tally
    earlier: pl.DataFrame
    """Traces of the runs that were given with --from, in `COLUMNS`."""
    steered: Steered
    arms: list[Arm] = field(default_factory=list)
    """Those drawn so far."""

    def __post_init__(self) -> None:
        self.sampling: Sampling = self.job.fitted(self.engine.window)
        self.room: Room = room_of(self.engine, self.sampling.max_tokens, self.job.thinking)

    def known(self) -> pl.DataFrame:
        """Everything that may serve as material: earlier runs, then the arms of this one in their order."""
        rows = self.store.drawn().select(COLUMNS).collect()
        mine = [
            rows.filter(pl.col("condition") == arm.condition).sort("sample", maintain_order=True) for arm in self.arms
        ]
        return pl.concat([self.earlier, *mine])

    def run(self, condition: str, spec: str, problems: Sequence[Placed], *, n: int | None = None) -> Arm:
        """The arm of one context over some problems, drawn."""
        from epiverb.contexts import parse

        arm = Arm(condition, parse(spec))
        told = materials(problems, self.known(), self.job.config.seed) if arm.context.needs else {}
        arm.build(problems, told, self.room)
        return self.draw(arm, replace(self.sampling, n=n or self.sampling.n))

    def draw(self, arm: Arm, sampling: Sampling) -> Arm:
        """An arm that has been built, drawn under a seed of its own."""
        sampling = replace(sampling, seed=arm_seed(self.job.config.seed, arm.condition))
        self.tally.wanted(-len(arm.skipped) * sampling.n)
        self.arms.append(arm)
        describe = self.steered.attach(self.engine, sampling)
        try:
            draw(self.store, self.engine, arm, sampling, self.job, self.tally)
        finally:
            self.store.remember(self.engine, arm.condition, describe())
        return arm
