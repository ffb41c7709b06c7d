"""`epiverb show` and `epiverb ls`: the commands that only look."""

from __future__ import annotations

from typing import Any

import polars as pl

from epiverb.configs.look import LsConfig, ShowConfig
from epiverb.errors import DataError, nearest
from epiverb.run import Run
from epiverb.schema import SCHEMA_VERSION, TABLES


def show(config: ShowConfig) -> Any:
    """One trace with its markers, ready to print."""
    return view(Run(config.run), config.trace, config.lexicon)


def view(run: Run, trace: str, lexicon: str | None = None) -> Any:
    """One trace of a run: by id, by the end of an id that only one has, or by its number from 1."""
    from epiverb.report.terminal import TraceView

    row = _find(run, trace)
    known = list(run.summary["lexicons"])
    name = lexicon or known[0]
    if name not in known:
        raise DataError(f"{run.path}: lexicon {name!r} was not matched in this run.{nearest(name, known)}")
    mine = (pl.col("trace_id") == row["trace_id"]) & (pl.col("lexicon") == name)
    return TraceView(row, run.scan("hits").filter(mine).collect().to_dicts())


def _find(run: Run, trace: str) -> dict[str, Any]:
    traces = run.scan("traces")
    if trace.isdecimal() and 0 < int(trace) <= run.summary["n_traces"]:
        return traces.slice(int(trace) - 1, 1).collect().to_dicts()[0]
    found = traces.filter(pl.col("trace_id").str.ends_with(trace)).head(3).collect()
    exact = found.filter(pl.col("trace_id") == trace)
    if len(exact) == 1 or len(found) == 1:
        return (exact if len(exact) else found).to_dicts()[0]
    if len(found):
        raise DataError(
            f"{run.path}: several traces end in {trace!r}: {', '.join(found['trace_id'])}. Give more of the id."
        )
    raise DataError(f"{run.path}: no trace {trace!r}; it holds {run.summary['n_traces']}, numbered from 1.")


def ls(config: LsConfig) -> dict[str, Any]:
    """What is known by name: rows of name and description under the kind."""
    return {"schema": SCHEMA_VERSION, "kind": config.kind, "rows": _LISTINGS[config.kind]()}


def _lexicons() -> list[dict[str, Any]]:
    from epiverb.text.lexicon import available, load

    rows = []
    for name in available():
        lex = load(name)
        note = "" if lex.reviewed else " (not reviewed by native speakers)"
        rows.append({"name": name, "language": lex.language, "match": lex.match, "about": f"{lex.title}{note}"})
    return rows


def _formats() -> list[dict[str, Any]]:
    from epiverb.io import FORMATS

    return [{"name": name, "about": FORMATS.get(name).title} for name in FORMATS]


def _measures() -> list[dict[str, Any]]:
    from epiverb.measures import table

    return list(table())


def _tables() -> list[dict[str, Any]]:
    return [{"name": name, "about": ", ".join(column.name for column in columns)} for name, columns in TABLES.items()]


def _problems() -> list[dict[str, Any]]:
    from epiverb.problems import table

    return table()


def _contexts() -> list[dict[str, Any]]:
    from epiverb.contexts import table

    return list(table())


def _graders() -> list[dict[str, Any]]:
    from epiverb.graders import table

    return list(table())


def _weights() -> list[dict[str, Any]]:
    from epiverb.models.loading import require

    require("torch", "train")
    from epiverb.train.weights import table

    return list(table())


def _recipes() -> list[dict[str, Any]]:
    from epiverb.resources import folder

    rows = []
    for file in sorted(folder("recipes").glob("*/config.yaml")):
        method = file.read_text("utf-8").split(maxsplit=4)[3]  # its first line is the command
        title = (file.parent / "README.md").read_text("utf-8").splitlines()[0].removeprefix("# ")
        rows.append({"name": file.parent.name, "train": method, "about": title, "config": str(file)})
    return rows


def _verl() -> list[dict[str, Any]]:
    from epiverb.integrations.verl import table

    return list(table())


_LISTINGS = {
    "lexicons": _lexicons,
    "formats": _formats,
    "measures": _measures,
    "tables": _tables,
    "problems": _problems,
    "contexts": _contexts,
    "graders": _graders,
    "weights": _weights,
    "recipes": _recipes,
    "verl": _verl,
}
