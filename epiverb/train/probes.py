"""Probes: fixed problems that are sampled from the model in training and graded, every so many steps.

    probes = [load_probe("id=aime24"), load_probe("ood=math500:64")]
    callback = Probes(monitor, probes, every=10, sampling=Sampling(max_tokens=4096), grade=grade_by)
    callback.join(trainer)

The problems, and the random numbers of each sample, are the same at each step: what changes is the model. Suppression and
accuracy are measured on the same responses, and share the axis of steps.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import polars as pl
from transformers import TrainerCallback

from epiverb.errors import ConfigError
from epiverb.graders import Grade, Task, grade_by
from epiverb.io.rows import plain
from epiverb.models.base import Completion, Request, Sampling
from epiverb.models.hf import HF
from epiverb.problems import Problem, load
from epiverb.train import ranks, shards
from epiverb.train.inplace import Live, undisturbed
from epiverb.train.tables import hit_rows, rollout_rows
from epiverb.train.tallies import Tally
from epiverb.train.vllm import InTrainer
from epiverb.train.watch import Marked, Rollout

if TYPE_CHECKING:
    from epiverb.train.monitor import Monitor

Grading = Callable[[list[str], list[Task]], list[Grade]]
TOLD = ("accuracy", "markers_per_1k_words", "tokens", "finished")
"""Scalars of a probe that are logged, as `epiverb/probe/NAME/accuracy`."""


@dataclass(frozen=True)
class Probe:
    """A fixed set of problems."""

    name: str
    problems: tuple[Problem, ...]


def load_probe(text: str, *, seed: int = 0, data_dir: str | None = None) -> Probe:
    """The probe that `NAME=SET[:N]` asks for: N problems of the set, drawn by `seed`; without N all of them.

    `id` and `ood`, alone or before a hyphen (`ood-chemistry`), set the domain of the problems.

    Raises:
        ConfigError: it is not written so, or there is no such set.
    """
    name, equals, spec = text.partition("=")
    if not equals or not name or not spec or "/" in name:
        raise ConfigError(f"probe {text!r}: not NAME=SET[:N], such as ood=math500:64.")
    head, colon, last = spec.rpartition(":")
    number = int(last) if colon and last.isdecimal() else None
    if number == 0:
        raise ConfigError(f"probe {text!r}: at least one problem is needed.")
    problems = load(head if number is not None else spec, seed=seed, data_dir=data_dir)
    if number is not None and number < len(problems):
        chosen = sorted(random.Random(f"{seed}/{spec}").sample(range(len(problems)), number))
        problems = [problems[i] for i in chosen]
    domain = name.split("-")[0]
    if domain in ("id", "ood"):
        problems = [replace(problem, domain=domain) for problem in problems]
    return Probe(name, tuple(problems))


class Probes(TrainerCallback):
    """Samples and grades probes at the start, every `every` updates and at the end.

    Every process takes a share of the problems, and all of them come here at the same step.

    Args:
        monitor: whose folder and lexicon are used; it logs the scalars.
        grade: names of graders and tasks to grades, in their order.
        thinking: switch the model's thinking; None: as its chat template does by itself.
        plain: show problems as plain text (base models).
        engine: how to sample, as `HF.over` takes it: batch_size, batch_tokens.
        tokenizer: None: the trainer's.
    """

    def __init__(
        self, monitor: Monitor, probes: Sequence[Probe], *, every: int = 10, sampling: Sampling | None = None,
        grade: Grading | None = None, thinking: bool | None = None, plain: bool = False,
        engine: Mapping[str, Any] | None = None, tokenizer: Any = None,
    ) -> None:  # fmt: skip
        names = [probe.name for probe in probes]
        if len(set(names)) < len(names):
            raise ConfigError(f"probes need names of their own; given: {', '.join(names)}.")
        if every < 1:
            raise ConfigError(f"probes every {every} steps: at least 1.")
        self.monitor, self.probes, self.every = monitor, tuple(probes), every
        self.sampling = sampling or Sampling()
        self.grade: Grading = grade or grade_by
        self.thinking, self.plain, self.engine = thinking, plain, dict(engine or {})
        self.tokenizer = tokenizer
        self.trainer: Any = None
        self.last: int | None = None

    def join(self, trainer: Any) -> None:
        """Add itself to a trainer. Where that samples with vLLM, so do the probes."""
        self.trainer = trainer
        trainer.add_callback(self)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Probes the model as it is given; after a resume, where its probe was not finished."""
        self.monitor.begin(state.global_step)
        if state.global_step % self.every == 0 and not self._done(state.global_step):
            self._probe(state.global_step, **kwargs)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Probes every so many updates."""
        if state.global_step % self.every == 0:
            self._probe(state.global_step, **kwargs)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Probes the finished model."""
        if state.global_step >= state.max_steps and self.last != state.global_step:
            self._probe(state.global_step, **kwargs)
        self.monitor.end(state.global_step)

    def _done(self, step: int) -> bool:
        """Whether all samples of a step are there; what there is of an unfinished one is put aside. A collective."""
        whole = False
        if ranks.rank() == 0:
            found = [shard for shard in shards.shards(self.monitor.out / shards.PROBES) if shard.step == step]
            rows = [
                pl.scan_parquet(shard.path).select(pl.len()).collect().item()
                for shard in found
                if shard.table == "step"
            ]
            whole = sum(rows) == self.sampling.n * sum(len(probe.problems) for probe in self.probes)
            for shard in [] if whole else found:
                shard.path.unlink()
        done = bool(ranks.summed([float(whole)])[0])
        if done:
            self.last = step
        return done

    def _probe(self, step: int, *, model: Any, processing_class: Any = None, **others: Any) -> None:
        tokenizer = self.tokenizer or getattr(processing_class, "tokenizer", processing_class)
        rows: list[tuple[str, Rollout, Marked]] = []
        with undisturbed(model):
            live = Live(model)
            vllm = getattr(self.trainer, "vllm_generation", None)
            told: dict[str, Any] = {"plain": self.plain, **({} if vllm else self.engine)}
            engine: Any = InTrainer(vllm, tokenizer, **told) if vllm else HF.over(live, tokenizer, **told)
            for probe in self.probes:
                rows += [(probe.name, *row) for row in self._sampled(probe, engine, step)]
            live.wait()
        self._write(rows, step)
        self._tell(rows)
        self.last = step

    def _sampled(self, probe: Probe, engine: Any, step: int) -> list[tuple[Rollout, Marked]]:
        """This process's share of a probe, graded and marked."""
        own = {f"{p.benchmark}/{p.problem_id}": p for p in probe.problems[ranks.rank() :: ranks.world()]}
        requests = [Request(key, tuple(p.messages), thinking=self.thinking) for key, p in own.items()]
        done: list[Completion] = list(engine.generate(requests, self.sampling))
        tasks = [Task(c.text, own[c.key].gold, own[c.key].extra) for c in done]
        grades = self.grade([own[c.key].grader for c in done], tasks) if done else []
        marked = self.monitor.marks([c.token_ids or () for c in done], [plain([*own[c.key].messages]) for c in done])
        rows = [
            _rollout(f"probe/{probe.name}", step, own[c.key], c, grade) for c, grade in zip(done, grades, strict=True)
        ]
        return list(zip(rows, marked, strict=True))

    def _write(self, rows: list[tuple[str, Rollout, Marked]], step: int) -> None:
        if not rows:
            return
        folder, rank = self.monitor.out / shards.PROBES, ranks.rank()
        frame = rollout_rows([(row, marked) for _, row, marked in rows], step, self.monitor.classes[2:])
        failed = pl.col("grade_reason").is_not_null() & pl.col("finish_reason").is_null()
        frame = frame.with_columns(
            pl.when(failed).then(pl.lit("error")).otherwise("finish_reason").alias("finish_reason")
        )
        hits = hit_rows([(row, marked) for _, row, marked in rows])
        shards.write(folder / shards.name_of("hits", step, rank), hits)
        shards.write(folder / shards.name_of("step", step, rank), frame)

    def _tell(self, rows: list[tuple[str, Rollout, Marked]]) -> None:
        """Scalars over all processes to the monitor. A collective."""
        tallies = {probe.name: Tally(self.monitor.classes[2:]) for probe in self.probes}
        for name, row, marked in rows:
            tallies[name].add(row, marked)
        for name, tally in tallies.items():
            scalars = tally.scalars(ranks.summed(tally.take().tolist()))
            told = {key: scalars[f"epiverb/{key}"] for key in TOLD if f"epiverb/{key}" in scalars}
            self.monitor.note({f"epiverb/probe/{name}/{key}": value for key, value in told.items()})


def _rollout(condition: str, step: int, problem: Problem, completion: Completion, grade: Grade) -> Rollout:
    """A sample as a row; one that could not be drawn has no ending and says why."""
    failed = completion.finish_reason == "error"
    return Rollout(
        f"{condition}/{step}/{completion.key}/{completion.sample}",
        completion.token_ids or (),
        problem_id=problem.problem_id,
        benchmark=problem.benchmark,
        domain=problem.domain,
        sample=completion.sample,
        prompt=plain([*problem.messages]),
        gold=problem.gold,
        truncated=None if failed else completion.finish_reason == "length",
        answer=None if failed else grade.answer,
        correct=None if failed else grade.correct,
        grade_reason=completion.error if failed else grade.reason,
        reward=None if failed or grade.correct is None else float(grade.correct),
        condition=condition,
    )
