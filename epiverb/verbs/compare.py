"""`epiverb compare`, `link` and `plan`: what changed between runs, what it goes with, and what could be seen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl

from epiverb.configs.compare import CompareConfig, LinkConfig, PlanConfig
from epiverb.errors import DataError
from epiverb.run import Run, write_json, writing
from epiverb.schema import CONTROLS, EPISTEMIC, SCHEMA_VERSION
from epiverb.stats.compare import compare as compare_runs
from epiverb.stats.gate import judge, parse
from epiverb.stats.several import span
from epiverb.text.lexicon import load
from epiverb.verbs.runs import Progress, named_alike, names, opened, pooled, run_data, trace_rows


def compare(config: CompareConfig, *, progress: Progress | None = None) -> dict[str, Any]:
    """The comparison of a run with the base: the JSON contract's `compare` document; of several, one under `comparisons`.

    Several runs are corrected together: see `stats.several.span`.

    Raises:
        DataError: nothing that both have can be compared.
        ConfigError: `fail_on` cannot be read, or names what the runs do not have.
    """
    paths = [config.base, *config.runs]
    short = names(paths)
    gate = parse(config.fail_on) if config.fail_on else None
    with _folder(config) as folder, opened(paths, _settings(config), config.lexicon, progress) as runs:
        data = [run_data(run, name, config.domain) for run, name in zip(runs, short, strict=True)]
        results = []
        for run, one in zip(runs[1:], data[1:], strict=True):
            result = compare_runs(data[0], one, draws=config.draws, seed=config.seed, paired=config.paired)
            result["warnings"] += [note for pair in ((runs[0], short[0]), (run, one.name)) for note in pooled(*pair)]
            if config.specificity:
                result["specificity"] = _specificity(runs[0], run, config.seed)
            results.append(result)
        whole = results[0] if len(results) == 1 else span(results)
        if gate and config.fail_on:
            whole["gate"] = judge(gate, config.fail_on, whole)
        if folder:
            _save(folder, config, whole, "comparison.json")
            if config.report:
                from epiverb.report.comparison import write

                write(whole, runs, folder / "report.html", max_traces=config.report_traces)
    return whole


def _settings(config: Any) -> dict[str, Any]:
    return {"format": config.format, "map": config.map, "domain": config.domain}


@contextmanager
def _folder(config: Any) -> Iterator[Path | None]:
    """The folder of `--out`, refused before the work where it is taken, complete or not there at all; None without one."""
    if not config.out:
        yield None
        return
    with writing(config.out, overwrite=config.overwrite) as folder:
        yield folder


def _save(folder: Path, config: Any, document: dict[str, Any], name: str) -> None:
    """Write the document, which gains `report` where a page is asked for, and how it was made."""
    from epiverb.config import to_dict

    if config.report:
        document["report"] = str(Path(config.out) / "report.html")
    write_json(folder / name, document)
    write_json(folder / "run.json", {"schema": SCHEMA_VERSION, "config": to_dict(config)})


def _specificity(base: Run, run: Run, seed: int) -> dict[str, Any]:
    """Epistemic words against all others, by the primary lexicon; a null block with the reason where it cannot be had."""
    from epiverb.stats.specificity import specificity
    from epiverb.stats.vocabulary import count_words

    lex = load(next(iter(base.manifest["lexicons"])))
    texts = [
        r.scan("traces").select("benchmark", "problem_id", "response", "loop_start").collect() for r in (base, run)
    ]
    try:
        counts = count_words(*texts)
    except DataError as error:
        return {"epistemic": None, "reason": str(error)}
    words = {
        category: [form for forms in markers.values() for form in forms] for category, markers in lex.forms.items()
    }
    epistemic = [form for category in EPISTEMIC for form in words.get(category, [])]
    return specificity(counts, epistemic, {name: words[name] for name in CONTROLS if name in words}, seed=seed)


def link(config: LinkConfig, *, progress: Progress | None = None) -> dict[str, Any]:
    """The JSON contract's `link` document; over training steps also `steps`, where a run holds several."""
    with _folder(config) as folder:
        result = _linked(config, progress)
        if folder:
            _save(folder, config, result, "link.json")
            if config.report:
                from epiverb.report.link import write

                write(result, folder / "report.html")
    return result


def _linked(config: LinkConfig, progress: Progress | None) -> dict[str, Any]:
    from epiverb.stats.link import link as link_runs
    from epiverb.stats.linkfindings import link_findings

    paths = [config.base, *config.runs]
    short = names(paths)
    with opened(paths, _settings(config), (config.lexicon,), progress) as runs:
        name = load(config.lexicon).name
        frames = named_alike([trace_rows(run, name, config.domain) for run in runs])
    result = link_runs(
        frames[0],
        dict(zip(short[1:], frames[1:], strict=True)),
        config.domain,
        seed=config.seed,
        n_draws=config.draws,
        base_name=short[0],
    )
    result["lexicon"] = {"name": name, "sha256": load(config.lexicon).sha256}
    result["steps"] = {
        run: _steps(frame, config)
        for run, frame in zip(short[1:], frames[1:], strict=True)
        if frame["step"].drop_nulls().n_unique() > 2
    }
    result["findings"] = link_findings(result)
    return result


def _steps(frame: pl.DataFrame, config: LinkConfig) -> dict[str, Any]:
    from epiverb.stats.steps import steps

    return steps(frame, config.domain, seed=config.seed)


def plan(config: PlanConfig, *, progress: Progress | None = None) -> dict[str, Any]:
    """How many problems a difference needs, or which difference the given runs can show."""
    from epiverb.stats.plan import plan as plan_runs

    if config.difference is None and config.problems is None and not config.runs:
        raise DataError("plan: say what to plan for: --difference, --problems, or one or two runs.")
    if config.difference is not None and not 0 < abs(config.difference) < 1:
        raise DataError(f"plan: --difference {config.difference:g} is not between 0 and 1; five points are 0.05.")
    settings: dict[str, Any] = {"format": None, "map": {}, "domain": {}}
    with opened(config.runs, settings, ("kim2026",), progress) as runs:
        data = [run_data(run, name, {}) for run, name in zip(runs, names(config.runs) if runs else [], strict=True)]
        result = plan_runs(
            data, difference=config.difference, n_problems=config.problems, samples=config.samples, wanted=config.power
        )
    return {"schema": SCHEMA_VERSION, **result}
