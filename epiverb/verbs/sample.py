"""`epiverb sample` and `epiverb eval`: problems, a model and contexts to a run folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import polars as pl

from epiverb.configs.sample import EvalConfig, SampleConfig
from epiverb.contexts import parse
from epiverb.errors import ConfigError, DataError, EngineError
from epiverb.run import Run
from epiverb.verbs.sampling import ladder
from epiverb.verbs.sampling.draw import Progress, Tally
from epiverb.verbs.sampling.finish import finish
from epiverb.verbs.sampling.job import Job, check_graders, resolve
from epiverb.verbs.sampling.material import COLUMNS, selected
from epiverb.verbs.sampling.session import Session, told
from epiverb.verbs.sampling.store import opened

if TYPE_CHECKING:
    from epiverb.verbs.sampling.arms import Placed
    from epiverb.verbs.sampling.store import Store

NOTHING = pl.DataFrame(schema=dict.fromkeys(COLUMNS, pl.String) | {"sample": pl.Int64, "correct": pl.Boolean})


def sample(config: SampleConfig, *, progress: Progress | None = None, dry_run: bool = False) -> Run | dict[str, Any]:
    """The finished run; with `dry_run`, what would be asked.

    Raises:
        ConfigError, DataError: settings or problems that cannot be used.
        EngineError, StorageError: it had to stop; what came before is kept and the same command continues.
    """
    for spec in config.context:
        parse(spec)
    if len(set(config.context)) != len(config.context):
        raise ConfigError(f"--context: given twice among {', '.join(config.context)}.")
    if config.ladder and config.context != ("none",):
        raise ConfigError("--ladder has its own contexts. Leave --context out.")
    job = resolve(config, "sample", config.data)
    notes = check_graders(job)
    with _earlier(config.from_run) as (earlier, hashes):
        if dry_run:
            from epiverb.verbs.sampling.plan import plan

            return plan(job, earlier, ladder.rungs(config.selection.rounds) if config.ladder else config.context, notes)
        more = {"context": config.context, "from": hashes, "ladder": config.ladder, "selection": _selection(config)}
        with opened(job.out, job.identity(more), overwrite=config.overwrite) as store:
            if store is not None:
                _sample(job, config, store, earlier, notes, progress)
    return Run(job.out)


def evaluate(config: EvalConfig, *, progress: Progress | None = None, dry_run: bool = False) -> Run | dict[str, Any]:
    """The finished run of a model on benchmarks; raises as `sample` does."""
    specs = [spec.strip() for item in config.bench for spec in item.split(",") if spec.strip()]
    job = resolve(config, "eval", specs)
    notes = check_graders(job)
    if dry_run:
        from epiverb.verbs.sampling.plan import plan

        return plan(job, NOTHING, ("none",), notes)
    with opened(job.out, job.identity({}), overwrite=config.overwrite) as store:
        if store is not None:
            with _session(job, store, NOTHING, progress) as session:
                session.tally.total = len(job.problems) * config.samples
                session.run("none", "none", job.problems)
            _finish(job, store, session, ["benchmark"], ["none"], notes)
    return Run(job.out)


def document(result: Run | dict[str, Any]) -> dict[str, Any]:
    """What `--json` prints."""
    return result.summary if isinstance(result, Run) else result


def _selection(config: SampleConfig) -> dict[str, Any]:
    from epiverb.config import to_dict

    return to_dict(config.selection)


@contextmanager
def _earlier(paths: Sequence[str]) -> Iterator[tuple[pl.DataFrame, dict[str, str]]]:
    """The traces of earlier runs in `COLUMNS`, and a hash of each."""
    from epiverb.verbs.runs import opened as runs_opened

    with runs_opened(paths, {"format": None, "map": {}, "domain": {}}, ("kim2026",)) as runs:
        frames = [run.scan("traces").select(COLUMNS).collect() for run in runs]
    hashes = {path: f"{frame.hash_rows(seed=0).sum():x}" for path, frame in zip(paths, frames, strict=True)}
    yield pl.concat([NOTHING, *frames]), hashes


@contextmanager
def _session(job: Job, store: Store, earlier: pl.DataFrame, progress: Progress | None) -> Iterator[Session]:
    """The engine, opened, over the store."""
    tally = Tally(progress)
    with told(store, tally), job.engine() as engine:
        yield Session(job, store, engine, tally, earlier)


def _sample(
    job: Job, config: SampleConfig, store: Store, earlier: pl.DataFrame, notes: list[str], progress: Progress | None
) -> None:
    with _session(job, store, earlier, progress) as session:
        if config.ladder:
            kept = ladder.climb(session, config.selection)
            order = ladder.rungs(config.selection.rounds)
        else:
            kept, order = _chosen(session, config), list(config.context)
            session.tally.total = len(kept) * config.samples * len(order)
            for spec in order:
                session.run(spec, spec, kept)
    failed = None if kept else ladder.nothing_kept(session, config.selection, job.problems)
    if session.arms:
        _finish(job, store, session, ["condition"], order if kept else [ladder.SELECTION], notes)
    if failed:
        raise failed


def _chosen(session: Session, config: SampleConfig) -> list[Placed]:
    """All problems, or those that earlier runs solved as often as was asked."""
    choice, problems = config.selection, session.job.problems
    if choice.min_correct is None and choice.max_correct is None:
        return problems
    if not config.from_run:
        raise ConfigError(
            "--min-correct and --max-correct select by earlier samples. Give them with --from RUN, or --ladder."
        )
    low, high = ladder.bounds(choice, 10**9)
    kept = selected(problems, session.earlier, low, high)
    if not kept:
        raise DataError(f"no problem of {', '.join(config.from_run)} was solved {low} to {high} times.")
    return kept


def _finish(job: Job, store: Store, session: Session, by: list[str], order: Sequence[str], notes: list[str]) -> None:
    """Make a run of what was drawn; an error where that is nothing."""
    rows = store.drawn().select("finish_reason", "grade_reason").collect()
    if rows.is_empty():
        reasons = [f"{arm.condition}: {reason}" for arm in session.arms for _, reason in arm.skipped[:1]]
        raise DataError(f"nothing to sample: {'; '.join(reasons)} Solutions of other runs come in with --from RUN.")
    if rows["finish_reason"].eq("error").all():
        raise EngineError(f"no sample could be drawn: {rows['grade_reason'][0]}")
    with told(store, session.tally):
        finish(store, job, session.arms, by, order, notes)
