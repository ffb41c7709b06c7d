"""Monitor, probes, alarms and view in epiverb's own trainers: what they recorded is what was scripted."""

from __future__ import annotations

import io

import polars as pl
import pytest

pytest.importorskip("trl", minversion="1.16", reason="needs the extra 'train'")

from epiverb.train.alarms import Alarms
from epiverb.train.live import View
from epiverb.train.monitor import Monitor
from epiverb.train.probes import Probes
from epiverb.train.recorded import finish
from epiverb.train.sdpo import SDPO
from epiverb.train.settings import Distillation
from epiverb.train.shards import lines
from tests.train import runs
from tests.train.training import PROBES, SAMPLING


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two steps of SDPO on scripted responses, watched by everything at once."""
    out = tmp_path_factory.mktemp("out")
    model, tokenizer = runs.load()
    watch = Monitor(out, tokenizer, model=model)
    stream, said = io.StringIO(), []
    watch.listen(View(stream), Alarms(["markers>1"], out, said.append))
    probes = Probes(watch, PROBES, every=1, sampling=SAMPLING)
    trainer = runs.made(
        SDPO,
        out / "checkpoints",
        settings=Distillation(topk=None),
        watch=watch,
        model=model,
        max_steps=2,
        learning_rate=1e-3,
    )
    probes.join(trainer)
    trainer.train()
    return out, trainer, stream.getvalue(), said


def test_rollouts_are_those_of_the_script(trained):
    out, *_ = trained
    record = finish(out)
    rows = pl.concat([pl.read_parquet(shard.path) for shard in record.rollouts])
    assert record.steps == [0, 1]
    for step in record.steps:
        own = rows.filter(step=step)
        told = {problem: own.filter(problem_id=problem)["response"].to_list() for problem in runs.SCRIPT}
        assert told == runs.SCRIPT
        assert own["reward"].to_list() == [float("right" in text) for text in own["response"]]
        # Who has a teacher: all whose problem another response solved. Of problem 1 nobody, of a lone success its peers.
        taught = {(row["problem_id"], row["response"]) for row in own.filter(has_demo=True).iter_rows(named=True)}
        wanted = {
            (problem, text)
            for problem, texts in runs.SCRIPT.items()
            for i, text in enumerate(texts)
            if any("right" in other for j, other in enumerate(texts) if j != i)
        }
        assert taught == wanted
        keys = dict(own.select("trace_id", "response").iter_rows())
        assert all("right" in keys[demo] for demo in own["demo"].drop_nulls())
    assert rows["n_tokens"].to_list() == [len(runs.load()[1].encode(text)) for text in rows["response"]]


def test_tokens_are_told_by_class(trained):
    out, *_ = trained
    tokens = pl.concat([pl.read_parquet(shard.path) for shard in finish(out).tokens])
    assert {"divergence", "student_logp", "teacher_logp", "weight"} <= set(tokens["column"])
    rows = pl.concat([pl.read_parquet(shard.path) for shard in finish(out).rollouts])
    seen = tokens.filter(column="student_logp").group_by("trace_id").agg(pl.col("n").sum())
    ended = rows.select("trace_id", n_all=pl.col("n_tokens") + 1)  # the end of the turn is learned, too
    joined = seen.join(ended, on="trace_id", how="left")
    assert (joined["n"] == joined["n_all"]).all()
    assert set(tokens["step"]) == {0, 1}
    points = finish(out).points()
    assert {"train/divergence/markers", "train/divergence/others", "train/log/loss"} <= set(points["measure"])


def test_the_log_and_its_listeners(trained):
    out, trainer, shown, said = trained
    entries = [entry for entry in trainer.state.log_history if "epiverb/markers_per_1k_words" in entry]
    n_words = sum(len(text.split()) for texts in runs.SCRIPT.values() for text in texts)
    rows = pl.read_parquet(next((out / "rollouts").glob("step-000000*")))
    assert rows["n_words"].sum() == n_words
    assert len(entries) == 2
    for entry in entries:
        assert entry["epiverb/markers_per_1k_words"] == pytest.approx(1000 * rows["n_markers"].sum() / n_words)
        assert entry["epiverb/reward"] == pytest.approx(rows["reward"].mean())
        assert {"epiverb/divergence/markers", "epiverb/divergence/others", "epiverb/probe/ood/accuracy"} <= set(entry)
    logged = [line for line in lines(out / "metrics.jsonl") if "epiverb/reward" in line]
    assert [line["step"] for line in logged] == [1, 2]
    assert logged[0]["epiverb/reward"] == entries[0]["epiverb/reward"]
    assert shown.startswith("step 1/2, ")
    assert "markers per 1,000 words" in shown
    assert said == []  # five logs are looked at, and there were two
    assert set(finish(out).frame()["condition"]) == {"rollout", "probe/id", "probe/ood"}


def test_the_first_probe_is_of_the_model_as_it_was_given(trained, tmp_path):
    """TRL changes the model's forward; what is sampled through it is what the model itself samples."""
    out, *_ = trained
    model, tokenizer = runs.load()
    watch = Monitor(tmp_path, tokenizer, model=model)
    Probes(watch, PROBES, sampling=SAMPLING)._probe(0, model=model, processing_class=tokenizer)
    probed = finish(out).frame().filter((pl.col("condition") != "rollout") & (pl.col("step") == 0))
    assert probed.equals(finish(tmp_path).frame())


def test_a_run_that_was_killed_and_goes_on_is_recorded_as_one(tmp_path):
    """Three of four steps, then again from the checkpoint behind the second: as if nothing had been."""
    from transformers import TrainerCallback

    class Killed(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == 3:
                raise KeyboardInterrupt

    def made(name: str, **more):
        model, tokenizer = runs.load()
        watch = Monitor(tmp_path / name, tokenizer, model=model)
        options = {
            "max_steps": 4,
            "learning_rate": 1e-3,
            "save_strategy": "steps",
            "save_steps": 2,
            "watch": watch,
            "model": model,
        }
        return runs.made(SDPO, tmp_path / name, settings=Distillation(topk=None), **options, **more)

    made("whole").train()
    with pytest.raises(KeyboardInterrupt):
        made("cut", callbacks=[Killed()]).train()
    made("cut").train(resume_from_checkpoint=str(tmp_path / "cut" / "out" / "checkpoint-2"))
    whole, cut = finish(tmp_path / "whole"), finish(tmp_path / "cut")
    assert whole.frame().equals(cut.frame())
    order = ["trace_id", "step", "class", "column"]
    sums = [pl.concat([pl.read_parquet(shard.path) for shard in record.tokens]).sort(order) for record in (whole, cut)]
    assert sums[0].drop("total").equals(sums[1].drop("total"))
    assert sums[0]["total"].to_list() == pytest.approx(sums[1]["total"].to_list())
    logged = [
        [line["step"] for line in lines(tmp_path / name / "metrics.jsonl") if "loss" in line]
        for name in ("whole", "cut")
    ]
    assert logged == [[1, 2, 3, 4]] * 2
