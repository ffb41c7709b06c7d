"""A run as pandas frames, as Hugging Face datasets and as W&B tables."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

import epiverb
from epiverb.errors import DataError, MissingExtra

SAMPLE = Path(__file__).parent.parent / "data" / "traces" / "before.jsonl"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return epiverb.analyze(SAMPLE, out=tmp_path_factory.mktemp("runs") / "run", report=False)


def test_pandas(run):
    frames = run.to_pandas()
    assert set(frames) == {"traces", "hits", "values", "points"}
    assert len(frames["hits"]) == len(run.hits)
    assert list(run.to_pandas("hits")) == ["hits"]
    with pytest.raises(DataError, match="no table 'hitz'"):
        run.to_pandas("hitz")


def test_datasets_hold_the_rows_and_types(run):
    datasets = pytest.importorskip("datasets")
    found = run.to_datasets()
    assert isinstance(found, datasets.DatasetDict)
    assert found["traces"].num_rows == len(run.traces)
    assert found["hits"].features["start"].dtype == "int64"
    hit = found["hits"][0]
    text = next(row["response"] for row in found["traces"] if row["trace_id"] == hit["trace_id"])
    assert text[hit["start"] : hit["end"]].lower() == hit["marker"].lower()
    assert found["traces"][0]["step"] is None
    long = found["traces"].filter(lambda row: row["n_words"] > 50)
    assert 0 < len(long) < len(found["traces"])


def test_datasets_round_trip(run, tmp_path):
    datasets = pytest.importorskip("datasets")
    run.to_datasets("traces", "hits").save_to_disk(tmp_path / "saved")
    back = datasets.load_from_disk(tmp_path / "saved")
    assert set(back) == {"traces", "hits"}
    assert back["traces"]["response"][:] == run.traces["response"].tolist()


def test_wandb_logs_the_tables(run, tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb", reason="wandb is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    tables = run.to_wandb()
    assert tables["hits"].columns[:3] == ["trace_id", "lexicon", "category"]
    with wandb.init(project="epiverb", dir=tmp_path) as logged:
        logged.log(tables)
    files = list(tmp_path.glob("wandb/offline-run-*/files/media/table/traces_*.table.json"))
    written = json.loads(files[0].read_text("utf-8"))
    assert len(written["data"]) == len(run.traces)
    assert written["data"][0][written["columns"].index("response")] == run.traces["response"][0]


def test_wandb_refuses_what_it_would_cut(run, monkeypatch):
    wandb = pytest.importorskip("wandb", reason="wandb is not installed")
    monkeypatch.setattr(wandb.Table, "MAX_ARTIFACT_ROWS", 100)
    with pytest.raises(DataError, match="'traces' has 120 rows, W&B keeps 100"):
        run.to_wandb()


@pytest.mark.parametrize(("module", "method"), [("datasets", "to_datasets"), ("wandb", "to_wandb")])
def test_what_is_missing_is_said(run, monkeypatch, module, method):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match=rf"{module} is not installed.*pip install 'epiverb\["):
        getattr(run, method)()
