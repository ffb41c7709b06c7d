"""`epiverb score`: what a model computes about the traces of a run, added to the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from epiverb.configs.score import ScoreConfig
from epiverb.errors import ConfigError
from epiverb.run import Run
from epiverb.schema import SCHEMA_VERSION
from epiverb.text import lexicon as lexicons
from epiverb.verbs.sampling.store import locked
from epiverb.verbs.scoring.job import Job, Progress

READERS = ("hf", "vllm", "server")
"""Engines that can score."""


def score(config: ScoreConfig, *, progress: Progress | None = None) -> dict[str, Any]:
    """The document of what was added: blocks `tokens`, `richness`, `pressure`, `agreement`, `beliefs`, `mi`, `signals`, as far
    as they were asked for.

    Raises:
        ConfigError: settings that cannot be; DataError: a run without what is needed.
        AlignmentError: another tokenizer made the run's token ids. EngineError: no model, or no memory for it.
    """
    _check(config)
    run = Run(config.run)
    name = config.lexicon or next(iter(run.manifest.get("lexicons") or {"epiverb-en": None}))
    lex = lexicons.load(name)
    if config.lexicon and name not in run.manifest.get("lexicons", {}):
        raise ConfigError(
            f"{config.run}: was not analysed with the lexicon {name}; it has {', '.join(run.manifest['lexicons'])}."
        )
    with locked(Path(config.run)):
        if config.model == "none":
            return _run_stages(Job(config, run, lex, None, None, progress))
        from epiverb.models import open_engine
        from epiverb.models.prompt_logprobs import PromptScorer
        from epiverb.models.scorer import Scorer
        from epiverb.verbs.scoring.source import Source

        scorer: Scorer | PromptScorer
        with open_engine(config.reader.engine, config.model, **_options(config)) as engine:
            if config.reader.engine == "hf":
                scorer = Scorer(engine, batch_tokens=config.batch_tokens)
            else:
                scorer = PromptScorer(engine, vocabulary=config.vocabulary)
            return _run_stages(Job(config, run, lex, scorer, Source(run, engine.chat), progress))


def _options(config: ScoreConfig) -> dict[str, Any]:
    """What the engine is opened with; an option by name comes before the flag of the same name."""
    from epiverb.verbs.sampling.job import options

    told: dict[str, Any] = {"plain": config.plain}
    if config.reader.engine != "server":
        told |= {"dtype": config.dtype, "trust_remote_code": config.trust_remote_code}
    if config.reader.engine == "hf":
        told |= {"device": config.device, "device_map": config.device_map}
    if config.reader.engine == "vllm":
        told["max_logprobs"] = max(20, config.top_k)
    return told | options(config.reader.engine_option)


def _check(config: ScoreConfig) -> None:
    if config.model == "none" and (config.richness or config.pressure):
        raise ConfigError("--richness and --pressure are computed by a model. Pass --model DIR|NAME.")
    if config.model == "none" and (config.beliefs or config.mi):
        raise ConfigError("--beliefs and --mi are asked of a model. Pass --model DIR|NAME.")
    if config.asking.rollouts < 0 or (config.asking.places is not None and config.asking.places < 1):
        raise ConfigError("--rollouts is 0 or more, --places 1 or more.")
    if config.reader.engine not in READERS:
        raise ConfigError(f"--engine {config.reader.engine}: traces are read by {', '.join(READERS)}.")
    if config.model == "none" and config.reader.engine != "hf":
        raise ConfigError(f"--engine {config.reader.engine} scores with a model. Pass --model DIR|NAME.")
    if config.reader.engine != "hf" and (config.beliefs or config.mi):
        raise ConfigError(
            f"--beliefs and --mi run the model here; --engine {config.reader.engine} cannot. Use --engine hf."
        )
    if config.reader.engine != "hf" and config.pressure:
        raise ConfigError(
            f"--pressure compares whole distributions, and --engine {config.reader.engine} tells the most likely tokens only. "
            "Use --engine hf."
        )
    for name in ("top_k", "window", "around", "draws"):
        if getattr(config, name) < 1:
            raise ConfigError(f"--{name.replace('_', '-')} {getattr(config, name)}: at least 1.")
    if config.written.points and not config.pressure:
        raise ConfigError("--points is about --pressure; the trajectories of tokens go to points in any case.")
    if config.limit is not None and config.limit < 1:
        raise ConfigError(f"--limit {config.limit}: at least one trace.")


def _run_stages(job: Job) -> dict[str, Any]:
    document: dict[str, Any] = {"schema": SCHEMA_VERSION, "run": job.config.run, "lexicon": job.lex.name}
    if job.config.richness:
        from epiverb.verbs.scoring.richness import richness

        document["richness"] = richness(job)
    if job.config.pressure:
        from epiverb.verbs.scoring.pressure import pressure

        document["pressure"] = pressure(job)
    if job.config.beliefs or job.config.mi or job.config.signals:
        from epiverb.verbs.beliefs import added

        document |= added(job)
    elif not (job.config.richness or job.config.pressure):
        from epiverb.verbs.scoring.trajectories import trajectories

        document["tokens"] = trajectories(job)
    if job.config.written.report:
        from epiverb.configs.analyze import AnalyzeConfig
        from epiverb.report import renew

        shown = job.run.manifest["config"].get("report_traces")
        renew(job.run.path, max_traces=shown or AnalyzeConfig.report_traces)
    return document
