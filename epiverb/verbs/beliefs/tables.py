"""Rows of small tables into a run, and the document beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from epiverb.run import Run
from epiverb.verbs.sampling.store import write
from epiverb.verbs.scoring.store import claimed, install, remember


def put(run: Run, stage: str, folder: Path, tables: dict[str, pl.DataFrame], document: dict[str, Any]) -> None:
    """Put a stage's rows of `values` and `points` into the run in place of earlier ones, and remember its document.

    Args:
        folder: of the stage, for files under way.
        document: names its measures under `tables`.
    """
    own = claimed(run.path, stage, document["tables"]["measures"])
    for name, rows in tables.items():
        path = folder / name / "rows.parquet"
        write(path, rows)
        install(run, stage, name, [path], own)
    remember(run.path, stage, document)
