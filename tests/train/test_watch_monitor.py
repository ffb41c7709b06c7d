"""The record of a training run: what is in it, what a resume, a kill and a full disk do to it, and how it is read."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
import torch

import epiverb as ev
from epiverb.errors import ConfigError, DataError, StorageError
from epiverb.io.raw import RAW
from epiverb.schema import EPISTEMIC
from epiverb.train import shards
from epiverb.train.recorded import finish
from epiverb.train.watch import Rollout
from tests.train.recording import TEXTS, TOKENIZER, ids_of, monitor, padded, rollouts, run_step


def test_a_step_as_it_is_recorded(tmp_path):
    watch = monitor(tmp_path)
    watch.begin(0)
    run_step(watch, 0)
    assert not list(tmp_path.rglob("*.parquet"))  # nothing of a step that has not ended
    watch.close_step(0)
    rows = pl.read_parquet(tmp_path / "rollouts" / "step-000000-rank-0.parquet")
    assert rows["response"].to_list() == list(TEXTS)
    assert rows["n_tokens"].to_list() == [len(TOKENIZER.encode(text)) for text in TEXTS]
    assert rows["finish_reason"].to_list() == ["stop", "stop", "length"]
    assert rows["advantage"].to_list() == [0.5, -0.5, None]
    assert rows["demo"].to_list() == [None, "0-0-0", None]
    assert rows["n_uncertainty"].to_list() == [1, 0, 1]  # maybe; perhaps
    assert rows["n_reconsideration"].to_list() == [1, 0, 1]  # wait; hmm
    assert rows["n_verification"].to_list() == [0, 0, 1]  # let me check
    assert rows["n_booster"].to_list() == [0, 1, 0]
    assert rows["n_markers"].to_list() == [2, 0, 3]
    hits = pl.read_parquet(tmp_path / "rollouts" / "hits-000000-rank-0.parquet")
    found = [TEXTS[int(key[-1])][a:b].lower() for key, a, b in hits.select("trace_id", "start", "end").iter_rows()]
    assert found == ["wait", "maybe", "so", "clearly", "therefore", "check", "hmm", "perhaps"]


def test_sums_of_tokens_by_class(tmp_path):
    watch = monitor(tmp_path)
    rows = rollouts(4)
    columns = run_step(watch, 4)
    marked = watch.mark([row.ids for row in rows])
    watch.close_step(4)
    table = pl.read_parquet(tmp_path / "rollouts" / "tokens-000004-rank-0.parquet")
    told = {
        key: (n, total)
        for *key, n, total in ((r, c, v, n, t) for r, _, c, v, n, t in table.iter_rows())
        for key in [tuple(key)]
    }
    expected: dict[tuple[str, str, str], list[float]] = {}
    for row, one in zip(rows, marked, strict=True):
        for name, values in columns.items():
            place = rows.index(row)
            for token in range(len(row.ids)):
                value = float(values[place, token])
                if value == value:
                    expected.setdefault((row.key, watch.classes[one.classes[token]], name), []).append(value)
    assert told.keys() == expected.keys()
    for key, values in expected.items():
        assert told[key][0] == len(values)
        assert told[key][1] == pytest.approx(sum(values))
    assert sum(n for (_, _, name), (n, _) in told.items() if name == "divergence") == sum(len(r.ids) for r in rows) - 1


def test_what_is_logged(tmp_path):
    watch = monitor(tmp_path)
    columns = run_step(watch, 0)
    told = watch.metrics()
    n_words = sum(len(text.split()) for text in TEXTS)
    assert told["epiverb/markers_per_1k_words"] == pytest.approx(1000 * 5 / n_words)
    assert told["epiverb/markers_per_trace"] == pytest.approx(5 / 3)
    assert told["epiverb/uncertainty_per_1k_words"] == pytest.approx(1000 * 2 / n_words)
    assert told["epiverb/booster_per_1k_words"] == pytest.approx(1000 * 1 / n_words)
    assert told["epiverb/presence"] == pytest.approx(2 / 3)
    assert told["epiverb/finished"] == pytest.approx(2 / 3)
    assert told["epiverb/accuracy"] == 0.5  # of two that could be graded
    assert told["epiverb/reward"] == 0.5
    assert told["epiverb/has_demo"] == pytest.approx(1 / 3)
    assert "epiverb/entropy/markers" not in told  # nobody told of it
    marked = watch.mark(ids_of())
    known = ~columns["divergence"].isnan()
    for group, wanted in (("markers", True), ("others", False)):
        values = [
            float(columns["divergence"][i, t])
            for i, one in enumerate(marked)
            for t in range(len(one.classes))
            if one.is_marker[t] == wanted and one.classes[t] != 0 and known[i, t]
        ]
        assert told[f"epiverb/divergence/{group}"] == pytest.approx(sum(values) / len(values))
    assert watch.metrics() == {}  # since the last call


def test_a_generation_that_serves_several_updates(tmp_path):
    """Rollouts belong to the step of the policy that wrote them, tokens to the step in which the loss saw them."""
    watch = monitor(tmp_path)
    rows = rollouts(0)
    watch.rollouts(0, rows)
    for step in (0, 1):
        watch.tokens(step, [row.key for row in rows], {"divergence": torch.ones(padded(rows).shape)}, padded(rows))
        watch.close_step(step)
    record = finish(tmp_path)
    assert record.steps == [0]
    points = record.points().filter(pl.col("measure") == "train/divergence/others")
    assert points.select("x", "value").rows() == [(0.0, 1.0), (1.0, 1.0)]
    watch.rollouts(2, rollouts(2))
    with pytest.raises(DataError, match="of which no rollout was recorded"):
        watch.tokens(2, [rows[0].key], {"divergence": torch.ones(1, 2)}, torch.ones(1, 2))


def test_mistakes_of_a_trainer_are_told(tmp_path):
    watch = monitor(tmp_path)
    watch.rollouts(0, rollouts(0))
    with pytest.raises(DataError, match="two rollouts of step 0 have the key '0-0-0'"):
        watch.rollouts(0, rollouts(0)[:1])
    with pytest.raises(ConfigError, match="Did you mean 'divergence'"):
        watch.tokens(0, ["0-0-0"], {"divergense": torch.ones(1, 2)}, torch.ones(1, 2))


def test_steps_that_are_run_again_are_neither_doubled_nor_lost(tmp_path):
    first = monitor(tmp_path)
    first.begin(0)
    for step in range(6):
        run_step(first, step)
        first.close_step(step)
        shards.append(tmp_path / "metrics.jsonl", {"step": step + 1, "reward": float(step)})
    (tmp_path / "metrics.jsonl").open("a").write('{"step": 7, "rew')  # killed in the middle of a line
    (tmp_path / "rollouts" / ".step-000006-rank-0.parquet.1.partial").write_bytes(b"PAR1")
    before = finish(tmp_path).frame()
    again = monitor(tmp_path)
    again.begin(4)
    assert again.replaced == 6  # three shards each of steps 4 and 5
    assert finish(tmp_path).steps == [0, 1, 2, 3]
    for step in (4, 5, 6):
        run_step(again, step)
        again.close_step(step)
        shards.append(tmp_path / "metrics.jsonl", {"step": step + 1, "reward": 10.0 + step})
    after = finish(tmp_path).frame()
    assert after["trace_id"].n_unique() == len(after) == 7 * len(TEXTS)
    assert after.filter(pl.col("step") < 6).equals(before)
    logged = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [(line["step"], line["reward"]) for line in logged] == [
        (1, 0),
        (2, 1),
        (3, 2),
        (4, 3),
        (5, 14),
        (6, 15),
        (7, 16),
    ]
    aside = shards.shards(tmp_path / ".replaced" / "1" / "rollouts", "step")
    assert [shard.step for shard in aside] == [4, 5]
    assert not list(tmp_path.rglob("*.partial"))


def test_fewer_processes_after_a_resume(tmp_path, monkeypatch):
    from epiverb.train import ranks

    for rank in (0, 1):
        monkeypatch.setattr(ranks, "rank", lambda rank=rank: rank)
        watch = monitor(tmp_path)
        for step in range(3):
            run_step(watch, step, rank)
            watch.close_step(step)
    monkeypatch.setattr(ranks, "rank", lambda: 0)
    assert len(finish(tmp_path)) == 18
    watch = monitor(tmp_path)
    watch.begin(2)
    run_step(watch, 2)
    watch.close_step(2)
    frame = finish(tmp_path).frame()
    assert frame.group_by("step").len().sort("step").rows() == [(0, 6), (1, 6), (2, 3)]


WRITER = """
import sys
from tests.train.recording import monitor, run_step
watch = monitor(sys.argv[1])
watch.begin(0)
print("begun", flush=True)
step = 0
while True:
    run_step(watch, step)
    watch.close_step(step)
    step += 1
    print(step, flush=True)
"""


def test_killed_in_the_middle_of_a_write(tmp_path):
    """Whatever was there at any kill is whole: each step has its rollouts, their markers and sums."""
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root}
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], cwd=root, env=environment, stdout=subprocess.PIPE
    )
    for _ in range(4):  # begun, and three steps: a busy machine may take seconds for them
        process.stdout.readline()
    time.sleep(random.uniform(0, 0.05))
    process.send_signal(signal.SIGKILL)
    process.wait()
    record = finish(tmp_path)
    assert record.steps == list(range(len(record.steps)))
    frame = record.frame()
    assert len(frame) == 3 * len(record.steps) > 0
    for shard in record.rollouts:
        keys = set(pl.read_parquet(shard.path)["trace_id"])
        for table in ("hits", "tokens"):
            assert set(pl.read_parquet(shard.path.with_name(shards.name_of(table, shard.step, 0)))["trace_id"]) <= keys
    watch = monitor(tmp_path)
    watch.begin(len(record.steps))  # what was half written is gone, all else is as it was
    assert not list(tmp_path.rglob("*.partial"))
    assert finish(tmp_path).frame().equals(frame)


def test_a_full_disk_is_one_line_and_what_is_there_stays(tmp_path):
    watch = monitor(tmp_path)
    run_step(watch, 0)
    watch.close_step(0)
    shards.append(tmp_path / "metrics.jsonl", {"step": 1})
    run_step(watch, 1)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600, limits[1]))
    try:
        with pytest.raises(StorageError) as told:
            watch.close_step(1)
        with pytest.raises(StorageError):
            shards.append(tmp_path / "metrics.jsonl", {"step": 2, "long": "x" * 1000})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    message = str(told.value)
    assert "\n" not in message
    assert (
        "tokens-000001-rank-0.parquet: File too large. What was recorded before is whole; make room and continue the run."
        in message
    )
    assert finish(tmp_path).steps == [0]
    assert (tmp_path / "metrics.jsonl").read_text() == '{"step": 1}\n'
    assert not list(tmp_path.rglob("*.partial"))


def test_numbers_that_are_none_are_null(tmp_path):
    shards.append(tmp_path / "metrics.jsonl", {"step": 1, "loss": float("nan"), "kl": float("inf")})
    assert list(shards.lines(tmp_path / "metrics.jsonl")) == [{"step": 1, "loss": None, "kl": None}]


@pytest.fixture
def unfinished(tmp_path):
    """Three steps, and beside them what a trainer leaves in such a folder."""
    watch = monitor(tmp_path / "out")
    watch.begin(0)
    for step in range(3):
        run_step(watch, step)
        watch.close_step(step)
        shards.append(tmp_path / "out" / "metrics.jsonl", {"step": step + 1, "loss": 0.5 - step, "reward": 0.5})
    checkpoint = tmp_path / "out" / "checkpoints" / "checkpoint-2"
    checkpoint.mkdir(parents=True)
    (checkpoint / "trainer_state.json").write_text('{"global_step": 2, "log_history": []}')
    (tmp_path / "out" / "probes").mkdir()
    return tmp_path / "out"


def test_a_run_that_is_not_finished_can_be_analysed(unfinished, tmp_path):
    run = ev.analyze(str(unfinished), out=str(tmp_path / "run"), lexicon=["epiverb-en"], draws=20)
    assert [source["format"] for source in run.summary["sources"]] == ["epiverb-training"] * 3
    assert run.summary["n_traces"] == 9
    traces = run.scan("traces").collect()
    assert traces["step"].to_list() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert traces["condition"].unique().to_list() == ["rollout"]
    assert traces["status"].to_list() == ["complete", "complete", "truncated"] * 3
    assert traces["reward"].to_list() == [1.0, 0.0, None] * 3
    hits = run.scan("hits").filter(pl.col("category").is_in(EPISTEMIC)).collect()
    assert len(hits) == 15
    folder = unfinished / "rollouts"
    assert ev.analyze(str(folder), out=str(tmp_path / "again"), draws=20).summary["n_traces"] == 9


def test_the_record_as_tables(unfinished):
    from epiverb.run import conform
    from epiverb.text.cues import CUES
    from epiverb.text.lexicon import load
    from epiverb.text.match import Matcher
    from epiverb.verbs.pipeline import Pipeline

    record = finish(unfinished)
    assert len(record) == 9
    lexicon = load("epiverb-en")
    pipeline = Pipeline((lexicon,), Matcher((lexicon, CUES)), {})
    frames = list(record.frames(nbytes=1))
    assert len(frames) == 3
    assert dict(frames[0].schema) == RAW
    traces = pl.concat([pipeline(raw).traces for raw in frames])
    assert traces["trace_id"].to_list()[:2] == ["0-0-0", "0-0-1"]
    assert traces["source"][0] == "rollouts/step-000000-rank-0.parquet"
    assert traces["thinking_start"].null_count() == 0
    values, points = conform(record.values(), "values"), conform(record.points(), "points")
    assert values.filter(pl.col("measure") == "train/advantage")["value"].to_list() == [0.5, -0.5] * 3
    assert {"train/has_demo", "train/trimmed", "train/divergence/markers", "train/student_logp/others"} <= set(
        values["measure"]
    )
    loss = points.filter(pl.col("measure") == "train/log/loss")
    assert loss.select("x", "value").rows() == [(1.0, 0.5), (2.0, -0.5), (3.0, -1.5)]
    assert points["axis"].unique().to_list() == ["train_step"]
    markers = points.filter(pl.col("measure") == "train/divergence/markers")["value"].to_list()
    tokens = pl.concat([pl.read_parquet(s.path) for s in record.tokens]).filter(
        pl.col("class").is_in(EPISTEMIC), pl.col("column") == "divergence"
    )
    by_step = tokens.group_by("step", maintain_order=True).agg(pl.col("total").sum() / pl.col("n").sum())
    assert markers == pytest.approx(by_step["total"].to_list())


def test_a_folder_without_a_record(tmp_path):
    with pytest.raises(DataError, match="no rollout and no probe was recorded here"):
        finish(tmp_path)


def test_extra_columns(tmp_path):
    watch = monitor(tmp_path)
    watch.rollouts(0, [Rollout("a", ids_of()[0], extra={"length_bonus": 0.25}), Rollout("b", ids_of()[1])])
    watch.close_step(0)
    rows = pl.read_parquet(tmp_path / "rollouts" / "step-000000-rank-0.parquet")
    assert rows["length_bonus"].to_list() == [0.25, None]
