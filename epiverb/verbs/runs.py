"""Runs as the comparing commands take them: a run folder as it is, a trace file analysed on the way."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl

from epiverb.configs.analyze import AnalyzeConfig
from epiverb.errors import DataError, nearest
from epiverb.run import Run
from epiverb.schema import EPISTEMIC
from epiverb.stats.rundata import RunData
from epiverb.verbs.analyze import analyze

Progress = Callable[[int, "int | None", int], None]


@contextmanager
def opened(
    paths: Sequence[str], settings: dict[str, Any], lexicon: Sequence[str], progress: Progress | None = None
) -> Iterator[list[Run]]:
    """A `Run` for each path; those made of trace files last as long as the block. `RUN@ARM` is one arm of a run.

    Args:
        settings: `format`, `map` and `domain` for trace files.
        lexicon: lexicons to match in trace files.
    """
    with tempfile.TemporaryDirectory(prefix="epiverb-") as folder:
        runs = []
        for index, path in enumerate(paths):
            if (found := _folder(path)) is not None:
                runs.append(found)
                continue
            out = str(Path(folder) / str(index))
            config = AnalyzeConfig(sources=(path,), lexicon=tuple(lexicon), out=out, report=False, **settings)
            made = analyze(config, progress=progress)
            assert isinstance(made, Run)  # a dry run is not asked for
            runs.append(made)
        yield runs


def _folder(path: str) -> Run | None:
    """The run in a folder, or the arm of one; None: it is no run folder.

    Raises:
        DataError: the run has no such arm.
    """
    if (Path(path) / "run.json").is_file():
        return Run(path)
    folder, at, arm = path.partition("@")
    while at and not (Path(folder) / "run.json").is_file():  # a folder's name may hold the sign, too
        more, at, arm = arm.partition("@")
        folder = f"{folder}@{more}"
    if not at:
        if (Path(path) / "sampling.json").is_file():
            Run(path)  # says that it is not finished
        return None
    run = Run(folder, condition=arm)
    known = [str(name) for name in Run(folder).conditions]
    if arm not in known:
        raise DataError(f"{folder}: has no arm {arm!r}.{nearest(arm, known)}")
    return run


def pooled(run: Run, name: str) -> list[str]:
    """A warning where a run holds several arms, which a comparison takes for samples of one."""
    arms = run.conditions if run.condition is None else []
    if len(arms) < 2:
        return []
    return [f"{name}: holds several arms, which are taken together here. One is {name}@{arms[0]}."]


def names(paths: Sequence[str]) -> list[str]:
    """A short name for each path: its last part, or as much more as tells them apart."""
    for depth in range(1, 6):
        short = ["/".join(Path(path).parts[-depth:]) for path in paths]
        if len(set(short)) == len(paths):
            return short
    raise DataError(f"the same run is given twice among: {', '.join(paths)}.")


def run_data(run: Run, name: str, domains: dict[str, str]) -> RunData:
    """What the statistics need of a run, with the domains that the user gives."""
    traces = run.scan("traces")
    if domains:
        given = pl.col("benchmark").replace_strict(domains, default=None, return_dtype=pl.String)
        traces = traces.with_columns(pl.coalesce(given, "domain").alias("domain"))
    return RunData.from_tables(
        name, traces, run.scan("hits"), lexicons=run.manifest["lexicons"], decoding=run.manifest.get("decoding")
    )


def trace_rows(run: Run, lexicon: str, domains: dict[str, str]) -> pl.DataFrame:
    """One row a trace with `markers`, its epistemic hits outside loops, as `stats.link` and `stats.steps` take them."""
    if lexicon not in run.manifest["lexicons"]:
        raise DataError(
            f"{run.path}: lexicon {lexicon!r} was not matched in this run; it has {', '.join(run.manifest['lexicons'])}."
        )
    data = run_data(run, str(run.path), domains)
    steps = run.scan("traces").select("trace_id", "step").collect()
    epistemic = (pl.col("lexicon") == lexicon) & pl.col("category").is_in(EPISTEMIC)
    assert data.counts is not None  # `from_tables` was given hits
    counted = data.counts.filter(epistemic).group_by("trace_id").agg(pl.col("n_robust").sum().alias("markers"))
    joined = data.traces.join(steps, on="trace_id", how="left").join(counted, on="trace_id", how="left")
    return joined.with_columns(pl.col("markers").fill_null(0))
