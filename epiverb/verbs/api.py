"""The verbs as Python calls: sources first, settings by keyword, a `Run` or a plain dict back."""

from __future__ import annotations

from typing import Any

from epiverb.config import build
from epiverb.configs.analyze import AnalyzeConfig
from epiverb.configs.compare import CompareConfig, LinkConfig, PlanConfig
from epiverb.configs.grade import GradeConfig
from epiverb.configs.lexicons import ValidateConfig
from epiverb.configs.sample import EvalConfig, SampleConfig, SftDataConfig
from epiverb.run import Run


def analyze(*sources: str, **settings: Any) -> Run:
    """The run made of trace files; the settings are those of `epiverb analyze`, by the names in `AnalyzeConfig`.

    >>> run = analyze("data/traces/before.jsonl", report=False)  # doctest: +SKIP
    >>> run.hits.groupby("category").size()  # doctest: +SKIP
    """
    from epiverb.verbs import workers as verb

    run = verb.analyze(build(AnalyzeConfig, {"sources": [str(source) for source in sources], **settings}))
    assert isinstance(run, Run)  # a dry run is not asked for
    return run


def sample(model: str, *data: str, **settings: Any) -> Run:
    """The run of a model's responses to sets of problems; the settings are those of `epiverb sample`, groups as dicts.

    >>> sample("Qwen/Qwen3-1.7B", "math500", samples=8, decoding={"thinking": "off"})  # doctest: +SKIP
    """
    from epiverb.verbs import sample as verb

    run = verb.sample(build(SampleConfig, {"model": str(model), "data": [str(one) for one in data], **settings}))
    assert isinstance(run, Run)  # a dry run is not asked for
    return run


def evaluate(model: str, *bench: str, **settings: Any) -> Run:
    """The run of a model on benchmarks, sampled as published for its family; settings as of `epiverb eval`."""
    from epiverb.verbs import sample as verb

    run = verb.evaluate(build(EvalConfig, {"model": str(model), "bench": [str(one) for one in bench], **settings}))
    assert isinstance(run, Run)  # a dry run is not asked for
    return run


def sft_data(*runs: str, out: str, **settings: Any) -> dict[str, Any]:
    """Sets for fine-tuning from runs, written to `out`; the manifest, as `epiverb sft-data --json` prints it."""
    from epiverb.verbs import sft as verb

    return verb.sft_data(build(SftDataConfig, {"runs": [str(run) for run in runs], "out": str(out), **settings}))


def grade(*sources: str, **settings: Any) -> dict[str, Any]:
    """Responses graded anew, and their agreement with stored grades, as `epiverb grade --json` prints them.

    >>> grade("traces.jsonl", gold_from="math500")["right"]  # doctest: +SKIP
    """
    from epiverb.verbs import grade as verb

    return verb.grade(build(GradeConfig, {"sources": [str(source) for source in sources], **settings}))


def validate(gold: str, **settings: Any) -> dict[str, Any]:
    """Precision and recall of a lexicon on labelled marker occurrences, as `epiverb validate --json` prints them."""
    from epiverb.verbs import lexicons as verb

    return verb.validate(build(ValidateConfig, {"gold": str(gold), **settings}))


def compare(base: str, *runs: str, **settings: Any) -> dict[str, Any]:
    """What changed from `base` to each run (folders or trace files), as `epiverb compare --json` prints it."""
    from epiverb.verbs import compare as verb

    return verb.compare(build(CompareConfig, {"base": str(base), "runs": [str(run) for run in runs], **settings}))


def link(base: str, *runs: str, **settings: Any) -> dict[str, Any]:
    """Changes in markers and accuracy by run and benchmark, as `epiverb link --json` prints them."""
    from epiverb.verbs import compare as verb

    return verb.link(build(LinkConfig, {"base": str(base), "runs": [str(run) for run in runs], **settings}))


def plan(*runs: str, **settings: Any) -> dict[str, Any]:
    """How many problems a difference needs, or which one runs can show, as `epiverb plan --json` prints it."""
    from epiverb.verbs import compare as verb

    return verb.plan(build(PlanConfig, {"runs": [str(run) for run in runs], **settings}))


def score(run: str | Run, **settings: Any) -> dict[str, Any]:
    """What a model computes about the traces of a run, added to it, as `epiverb score --json` prints it.

        ev.score(run, model="Qwen/Qwen3-1.7B")["tokens"]["measures"]
        ev.score(run, model="Qwen/Qwen3-1.7B", pressure=True, contexts=["s", "answer"])["pressure"]["ranking"]
        ev.score(run)  # from the log-probabilities that the run holds

    Rows go to `run.values` and `run.points`, the document to `score.json` in the run's folder, figures to its report.html
    where it has one. An interrupted call is continued by the same one. Shapes: docs/design/scoring.md and pressure.md.

    Args:
        run: a run, or its folder.
        settings: fields of `epiverb.configs.score.ScoreConfig`; groups as mappings: `reader={"engine": "vllm"}`.

    Raises:
        ConfigError: settings that cannot be; DataError: a run without what is needed.
        AlignmentError: another tokenizer made the run's token ids. EngineError: no model, or no memory for it.
    """
    from epiverb.configs.score import ScoreConfig
    from epiverb.verbs import score as verb

    return verb.score(build(ScoreConfig, {"run": str(run.path if isinstance(run, Run) else run), **settings}))


def show(run: Run, trace: str | int = 1, *, lexicon: str | None = None) -> Any:
    """One trace with its markers: coloured in a notebook, plain text in a terminal."""
    from epiverb.verbs.look import view

    return view(run, str(trace), lexicon)
