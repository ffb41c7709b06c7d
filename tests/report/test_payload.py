"""The traces of a page are those that were asked for, wherever in the table's parts they stand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from epiverb.report.payload import documents
from epiverb.run import Run

NULLS = ("prompt", "thinking_start", "thinking_end", "loop_start", "answer", "gold")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Ten traces in parts of three; trace i has i % 3 hits of the lexicon, from the last to the first, and one of another."""
    (tmp_path / "run.json").write_text("{}", "utf-8")
    for table in ("traces", "hits"):
        (tmp_path / f"{table}.parquet").mkdir()
    for part, low in enumerate(range(0, 10, 3)):
        numbers = range(low, min(low + 3, 10))
        traces = {"trace_id": [f"t{i}" for i in numbers], "response": [f"text {i}" for i in numbers]}
        traces |= {"condition": ["even" if i % 2 == 0 else "odd" for i in numbers]}
        frame = pl.DataFrame(traces).with_columns(pl.lit(None, pl.Int64).alias(name) for name in NULLS)
        frame.write_parquet(tmp_path / "traces.parquet" / f"part-{part:05}.parquet")
        hits = [(f"t{i}", "mine", 10 - j, 11 - j, "uncertainty") for i in numbers for j in range(i % 3)]
        hits += [(f"t{i}", "other", 0, 1, "uncertainty") for i in numbers]
        columns = ["trace_id", "lexicon", "start", "end", "category"]
        pl.DataFrame(hits, columns, orient="row").write_parquet(tmp_path / "hits.parquet" / f"part-{part:05}.parquet")
    return tmp_path


@pytest.mark.parametrize("rows", [[], [0], [9, 2, 3], [1, 5, 8], list(range(10))])
def test_documents_of_rows_in_several_parts(run: Path, rows: list[int]) -> None:
    found = [
        (t["row"], t["trace_id"], d["response"], len(d["hits"])) for t, d in documents(Run(run), "mine", np.array(rows))
    ]
    assert found == [(i, f"t{i}", f"text {i}", i % 3) for i in sorted(rows)]


def test_hits_come_by_start(run: Path) -> None:
    ((_, document),) = documents(Run(run), "mine", np.array([5]))
    assert [hit[:2] for hit in document["hits"]] == [[9, 10], [10, 11]]


def test_rows_of_an_arm_are_numbered_within_it(run: Path) -> None:
    found = [t["trace_id"] for t, _ in documents(Run(run, condition="odd"), "mine", np.array([0, 3, 4]))]
    assert found == ["t1", "t7", "t9"]
