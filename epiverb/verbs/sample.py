"""`epiverb sample` and `epiverb eval`: problems, a model and contexts to a run folder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from epiverb.config import to_dict
from epiverb.configs.sample import EvalConfig, SampleConfig
from epiverb.contexts import parse
from epiverb.errors import ConfigError, DataError, EngineError
from epiverb.io.raw import RAW
from epiverb.run import Run
from epiverb.verbs import runs
from epiverb.verbs.sampling import ladder
from epiverb.verbs.sampling.arms import Placed
from epiverb.verbs.sampling.draw import Progress, Tally
from epiverb.verbs.sampling.finish import finish
from epiverb.verbs.sampling.insert import insert
from epiverb.verbs.sampling.interventions import Steered, steered
from epiverb.verbs.sampling.job import Job, checked, resolve
from epiverb.verbs.sampling.material import COLUMNS, selected
from epiverb.verbs.sampling.plan import plan
from epiverb.verbs.sampling.session import Session
from epiverb.verbs.sampling.stopping import told
from epiverb.verbs.sampling.store import Store, opened

NOTHING = pl.DataFrame(schema={name: RAW[name] for name in COLUMNS})
"""No earlier traces."""


def sample(config: SampleConfig, *, progress: Progress | None = None, dry_run: bool = False) -> Run | dict[str, Any]:
    """The finished run; with `dry_run`, what would be asked.

    Raises:
        ConfigError, DataError: settings or problems that cannot be used.
        EngineError, StorageError: it had to stop; what came before is kept and the same command continues.
    """
    _check(config)
    job = resolve(config, "sample", config.data)
    notes = checked(job)
    earlier, hashes = _earlier(config.from_run)
    what = _steered(job, earlier)
    if dry_run:
        return plan(job, earlier, what, _conditions(config), notes)
    more = {"context": config.context, "from": hashes, "ladder": config.ladder, "selection": to_dict(config.selection)}
    with opened(job.out, job.identity(more), overwrite=config.overwrite) as store:
        if store is not None:
            tally = Tally(progress)
            with told(store, tally):
                _sample(job, config, store, tally, earlier, what, notes)
    return Run(job.out)


def evaluate(config: EvalConfig, *, progress: Progress | None = None, dry_run: bool = False) -> Run | dict[str, Any]:
    """The finished run of a model on benchmarks; raises as `sample` does."""
    specs = [spec.strip() for item in config.bench for spec in item.split(",") if spec.strip()]
    if config.intervention.insert:
        raise ConfigError("--insert continues earlier responses: epiverb sample --from RUN --insert PHRASE.")
    job = resolve(config, "eval", specs)
    notes = checked(job)
    what = _steered(job, NOTHING)
    if dry_run:
        return plan(job, NOTHING, what, ("none",), notes)
    with opened(job.out, job.identity({}), overwrite=config.overwrite) as store:
        if store is not None:
            tally = Tally(progress)
            with told(store, tally):
                with job.engine(what) as engine:
                    session = Session(job, store, engine, tally, NOTHING, what)
                    tally.total = len(job.problems) * config.samples
                    session.run("none", "none", job.problems)
                _finish(session, ["benchmark"], ["none"], notes)
    return Run(job.out)


def document(result: Run | dict[str, Any]) -> dict[str, Any]:
    """What `--json` prints."""
    return result.summary if isinstance(result, Run) else result


def _check(config: SampleConfig) -> None:
    """Settings that do not go together."""
    for spec in config.context:
        parse(spec)
    choice, inserts = config.selection, bool(config.intervention.insert)
    if len(set(config.context)) != len(config.context):
        raise ConfigError(f"--context: given twice among {', '.join(config.context)}.")
    if (config.ladder or inserts) and config.context != ("none",):
        raise ConfigError(f"{'--ladder' if config.ladder else '--insert'} has its own arms. Leave --context out.")
    if config.ladder and inserts:
        raise ConfigError("--ladder and --insert: one at a time.")
    if inserts and not config.from_run:
        raise ConfigError("--insert continues earlier responses. Give them with --from RUN.")
    selects = choice.min_correct is not None or choice.max_correct is not None
    if selects and not config.ladder and not config.from_run:
        raise ConfigError("--min-correct and --max-correct select by earlier samples. Give --from RUN, or --ladder.")
    if config.ladder:
        ladder.bounds(choice, choice.selection_samples)
        for name in ("problems", "selection_samples", "rounds"):
            if getattr(choice, name) < 1:
                raise ConfigError(f"--{name.replace('_', '-')} {getattr(choice, name)}: at least one.")


def _conditions(config: SampleConfig) -> Sequence[str]:
    return ladder.rungs(config.selection.rounds) if config.ladder else config.context


def _earlier(paths: Sequence[str]) -> tuple[pl.DataFrame, dict[str, str]]:
    """The traces of earlier runs in `COLUMNS`, and a hash of each."""
    settings: dict[str, Any] = {"format": None, "map": {}, "domain": {}}
    with runs.opened(paths, settings, ("kim2026",)) as found:
        frames = [run.scan("traces").select(COLUMNS).collect() for run in found]
    hashes = {path: f"{frame.hash_rows(seed=0).sum():x}" for path, frame in zip(paths, frames, strict=True)}
    return pl.concat([NOTHING, *frames]), hashes


def _steered(job: Job, earlier: pl.DataFrame) -> Steered:
    """What is done while decoding; a control set is matched in the reference, or else in the earlier runs."""
    settings = job.config.intervention

    def reference() -> pl.Series:
        texts = _earlier((settings.reference,))[0] if settings.reference else earlier
        if texts.is_empty():
            raise ConfigError("--control matches word frequencies. Give traces with --reference RUN.")
        return texts["response"]

    return steered(settings, job.config.engine.engine, reference, job.config.seed)


def _sample(
    job: Job,
    config: SampleConfig,
    store: Store,
    tally: Tally,
    earlier: pl.DataFrame,
    what: Steered,
    notes: list[str],
) -> None:
    failed = None
    with job.engine(what) as engine:
        session = Session(job, store, engine, tally, earlier, what)
        order = list(_conditions(config))
        if config.ladder:
            if not ladder.climb(session, config.selection):
                failed, order = ladder.nothing_kept(session, config.selection, job.problems), [ladder.SELECTION]
        elif config.intervention.insert:
            order = insert(session, config.intervention, _chosen(session, config))
        else:
            kept = _chosen(session, config)
            tally.total = len(kept) * config.samples * len(order)
            for spec in order:
                session.run(spec, spec, kept)
    if session.arms:
        _finish(session, ["condition"], order, notes)
    if failed:
        raise failed


def _chosen(session: Session, config: SampleConfig) -> list[Placed]:
    """All problems, or those that earlier runs solved as often as was asked."""
    choice, problems = config.selection, session.job.problems
    if choice.min_correct is None and choice.max_correct is None:
        return problems
    low, high = ladder.bounds(choice, 10**9)
    kept = selected(problems, session.earlier, low, high)
    if not kept:
        raise DataError(f"no problem of {', '.join(config.from_run)} was solved {low} to {high} times.")
    return kept


def _finish(session: Session, by: list[str], order: Sequence[str], notes: list[str]) -> None:
    """Make a run of what was drawn; an error where that is nothing."""
    rows = session.store.drawn().select("finish_reason", "grade_reason").collect()
    if rows.is_empty():
        reasons = [f"{arm.condition}: {reason}" for arm in session.arms for _, reason in arm.skipped[:1]]
        raise DataError(f"nothing to sample: {'; '.join(reasons)} Solutions of other runs come in with --from RUN.")
    if rows["finish_reason"].eq("error").all():
        raise EngineError(f"no sample could be drawn: {rows['grade_reason'][0]}")
    finish(session, by, order, notes)
