"""Probes: the training does not notice them, the same problems and random numbers each time, several processes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest
import torch

from epiverb.errors import ConfigError
from epiverb.models.base import Request, Sampling
from epiverb.train import shards
from epiverb.train.monitor import Monitor
from epiverb.train.probes import Probes, load_probe
from epiverb.train.recorded import finish
from epiverb.train.vllm import InTrainer
from tests.models.tiny import tiny_model, tiny_tokenizer
from tests.train.training import PROBES, loaded, probing, trainer


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("model") / "qwen3", likely={"Wait": 9.0, ",": 9.0, "<|im_end|>": 5.0})


def losses(done) -> list[float]:
    return [entry["loss"] for entry in done.state.log_history if "loss" in entry]


def test_the_training_does_not_notice(folder, tmp_path):
    plain = trainer(*loaded(folder), tmp_path / "plain", [])
    plain.train()
    model, tokenizer = loaded(folder)
    monitor = Monitor(tmp_path / "out", tokenizer, model=model)
    probes = probing(monitor)
    probed = trainer(model, tokenizer, tmp_path / "probed", [monitor.callback()])
    probes.join(probed)
    probed.train()
    assert losses(plain) == losses(probed)  # to the last bit
    for name, weight in plain.model.state_dict().items():
        assert torch.equal(weight, probed.model.state_dict()[name])
    assert probed.model.training
    record = finish(tmp_path / "out")
    frame = record.frame()
    assert frame.group_by("step", "condition").len().sort("step", "condition").rows() == [
        (step, name, n) for step in (0, 2, 4) for name, n in (("probe/id", 6), ("probe/ood", 4))
    ]
    assert frame["trace_id"].n_unique() == len(frame)
    assert set(frame["domain"]) == {"id", "ood"}
    assert frame["correct"].null_count() == 0
    assert (
        frame.filter(step=0)["response"].to_list() != frame.filter(step=4)["response"].to_list()
    )  # the model has changed
    first = list(shards.lines(tmp_path / "out" / "metrics.jsonl"))
    assert not any("epiverb/probe/id/accuracy" in line for line in first[:-1])  # this trainer does not ask the monitor
    assert {"epiverb/probe/id/accuracy", "epiverb/probe/ood/markers_per_1k_words"} <= set(first[-1])


def test_the_same_model_gives_the_same_samples(folder, tmp_path):
    model, tokenizer = loaded(folder)
    frames = []
    for name in ("a", "b"):
        monitor = Monitor(tmp_path / name, tokenizer, model=model)
        probes = probing(monitor)
        state = SimpleNamespace(global_step=0, max_steps=10)
        probes.on_train_begin(None, state, None, model=model, processing_class=tokenizer)
        frames.append(finish(tmp_path / name).frame())
        told = monitor.metrics()
    assert frames[0].equals(frames[1])
    own = frames[0].filter(pl.col("condition") == "probe/id")
    shard = pl.read_parquet(tmp_path / "a" / "probes" / "step-000000-rank-0.parquet").filter(condition="probe/id")
    assert told["epiverb/probe/id/accuracy"] == own["correct"].mean()
    assert told["epiverb/probe/id/markers_per_1k_words"] == pytest.approx(
        1000 * shard["n_markers"].sum() / shard["n_words"].sum()
    )
    assert told["epiverb/probe/id/finished"] == (own["finish_reason"] == "stop").mean()
    hits = pl.read_parquet(tmp_path / "a" / "probes" / "hits-000000-rank-0.parquet")
    assert len(hits) >= shard["n_markers"].sum() > 0


class Compiled(torch.nn.Module):
    """A model as `torch.compile` wraps it, without the minutes that compiling takes."""

    def __init__(self, model) -> None:
        super().__init__()
        self._orig_mod = model

    def forward(self, *args, **kwargs):
        return self._orig_mod(*args, **kwargs)

    def __getattr__(self, name):
        own = self._modules["_orig_mod"]
        return own if name == "_orig_mod" else getattr(own, name)


def test_adapters_and_compilation_are_seen_through(folder, tmp_path):
    """Their own forward says nothing of positions, or that only the last logits are wanted: the others may not fit into memory."""
    from peft import LoraConfig, get_peft_model

    model, tokenizer = loaded(folder)
    adapted = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False))
    asked: list[set[str]] = []
    model.register_forward_pre_hook(lambda _, args, named: asked.append(set(named)), with_kwargs=True)
    rows = []
    for name, shown in (
        ("adapted", adapted),
        ("wrapped", Compiled(adapted)),
        ("merged", adapted.merge_and_unload()),
    ):
        probing(Monitor(tmp_path / name, tokenizer, model=model))._probe(0, model=shown, processing_class=tokenizer)
        rows.append(finish(tmp_path / name).frame()["response"].to_list())
        if name == "wrapped":
            plain, _ = loaded(folder)
            probing(Monitor(tmp_path / "plain", tokenizer, model=model))._probe(
                0, model=plain, processing_class=tokenizer
            )
    assert rows[0] == rows[1] == rows[2]
    assert all({"position_ids", "logits_to_keep"} <= named for named in asked)
    assert finish(tmp_path / "plain").frame()["response"].to_list() != rows[0]


def test_a_resume_probes_only_what_is_missing(folder, tmp_path):
    model, tokenizer = loaded(folder)

    def begun(step: int) -> list[int]:
        probes = probing(Monitor(tmp_path, tokenizer, model=model))
        probes.on_train_begin(
            None, SimpleNamespace(global_step=step, max_steps=10), None, model=model, processing_class=tokenizer
        )
        return [shard.step for shard in shards.shards(tmp_path / "probes", "step")]

    assert begun(0) == [0]
    path = tmp_path / "probes" / "step-000000-rank-0.parquet"
    probes = probing(Monitor(tmp_path, tokenizer, model=model))
    probes._probe(2, model=model, processing_class=tokenizer)
    probes._probe(4, model=model, processing_class=tokenizer)
    second = path.with_name("step-000002-rank-0.parquet")
    stamp = second.stat().st_mtime_ns
    assert begun(2) == [0, 2]  # that of step 4 is of a policy that is not any more
    assert second.stat().st_mtime_ns == stamp
    pl.read_parquet(second).head(3).write_parquet(second)  # another process had not finished
    assert begun(2) == [0, 2]
    assert len(pl.read_parquet(second)) == 10


def test_a_prompt_without_room_is_an_error_of_its_own(folder, tmp_path):
    from dataclasses import replace

    from epiverb.train.probes import Probe

    model, tokenizer = loaded(folder)
    long = replace(PROBES[0].problems[0], problem_id="long", messages=({"role": "user", "content": "word " * 2000},))
    monitor = Monitor(tmp_path, tokenizer, model=model)
    Probes(monitor, [Probe("id", (*PROBES[0].problems, long))], sampling=Sampling(max_tokens=4))._probe(
        0, model=model, processing_class=tokenizer
    )
    rows = finish(tmp_path).frame()
    failed = rows.filter(problem_id="long")
    assert failed["finish_reason"].to_list() == ["error"]
    assert "no room in the window of 512" in failed["grade_reason"][0]
    assert failed["correct"].to_list() == [None]
    assert "epiverb/probe/id/accuracy" in monitor.metrics()


def test_probes_as_they_are_written(tmp_path):
    rows = [{"problem_id": str(i), "question": f"{i} + 1?", "gold": str(i + 1)} for i in range(20)]
    path = tmp_path / "sums.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    probe = load_probe(f"ood-sums={path}:5", seed=1)
    assert (probe.name, len(probe.problems)) == ("ood-sums", 5)
    assert {problem.domain for problem in probe.problems} == {"ood"}
    ids = [problem.problem_id for problem in probe.problems]
    assert ids == [problem.problem_id for problem in load_probe(f"ood-sums={path}:5", seed=1).problems]
    assert ids != [problem.problem_id for problem in load_probe(f"ood-sums={path}:5", seed=2).problems]
    assert ids != ["0", "1", "2", "3", "4"]  # drawn: sets are often in order of difficulty
    everything = load_probe(f"all={path}")
    assert len(everything.problems) == 20
    assert everything.problems[0].domain is None
    for wrong in ("math500", "ood=", "=math500", f"ood={path}:0"):
        with pytest.raises(ConfigError, match="probe '"):
            load_probe(wrong)
    with pytest.raises(ConfigError, match="need names of their own"):
        Probes(None, [PROBES[0], PROBES[0]])


SEVERAL = """
import datetime, json, sys
from pathlib import Path
from types import SimpleNamespace
import torch, torch.distributed as dist
from torch.distributed.fsdp import fully_shard
from epiverb.train import ranks
from epiverb.train.monitor import Monitor
from tests.train.recording import run_step
from tests.train.training import loaded, probing

dist.init_process_group("gloo", timeout=datetime.timedelta(seconds=240))
state = SimpleNamespace(global_step=0, max_steps=10)
for kind in ("whole", "divided"):
    out = Path(sys.argv[2]) / kind
    model, tokenizer = loaded(Path(sys.argv[1]))
    if kind == "divided":
        for layer in model.model.layers:
            fully_shard(layer)
        fully_shard(model)
    monitor = Monitor(out, tokenizer, model=model)
    probes = probing(monitor)
    probes.on_train_begin(None, state, None, model=model, processing_class=tokenizer)
    run_step(monitor, 0, ranks.rank())
    monitor.close_step(0)
    told = monitor.metrics()
    if ranks.rank() == 1:
        (out / "told.json").write_text(json.dumps(told))
    model(input_ids=torch.tensor([[1, 2, 3]]), labels=torch.tensor([[1, 2, 3]])).loss.backward()  # it can still be trained
dist.destroy_process_group()
"""


@pytest.fixture(scope="module")
def two(folder, tmp_path_factory):
    """What two processes recorded, with the whole model in each, and with the weights divided over both."""
    out = tmp_path_factory.mktemp("two")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    root = str(Path(__file__).parents[2])
    common = {**os.environ, "PYTHONPATH": root, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", SEVERAL, str(folder), str(out)], cwd=root, stderr=subprocess.PIPE,
            env={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in (0, 1)
    ]  # fmt: skip
    for process in started:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors.decode()[-2000:]
    return out


@pytest.mark.parametrize("kind", ["whole", "divided"])
def test_two_processes(two, folder, tmp_path, kind):
    """Each has a share of the problems, of unlike lengths; together they have what one process has, and nobody waits for ever."""
    out = two / kind
    model, tokenizer = loaded(folder)
    monitor = Monitor(tmp_path / "one", tokenizer, model=model)
    probing(monitor)._probe(0, model=model, processing_class=tokenizer)
    alone = monitor.metrics()
    columns = ["trace_id", "response", "correct", "finish_reason"]
    both, one = (
        finish(path).frame().filter(pl.col("condition") != "rollout").select(columns).sort("trace_id")
        for path in (out, tmp_path / "one")
    )
    assert both.rows() == one.rows()
    told = json.loads((out / "told.json").read_text())
    for name, value in alone.items():
        assert told[name] == pytest.approx(value)
    shares = sorted(path.name for path in (out / "probes").glob("step*"))
    assert shares == ["step-000000-rank-0.parquet", "step-000000-rank-1.parquet"]
    assert told["epiverb/markers_per_trace"] == pytest.approx(5 / 3)  # of the rollouts of both
    assert len(finish(out).frame().filter(condition="rollout")) == 6


class FakeGeneration:
    """What TRL's `VLLMGeneration` has that is used; it answers with the first tokens of the prompt and the seed."""

    def __init__(self, eos: int) -> None:
        self.temperature, self.top_p, self.top_k, self.min_p = 1.0, 1.0, 0, None
        self.max_completion_length, self.generation_kwargs = 99, {"stop": ["x"]}
        self.eos, self.synced, self.seen = eos, 0, []

    def sync_weights(self) -> None:
        self.synced += 1

    def generate(self, prompts, images, num_generations):
        self.seen.append((self.temperature, self.max_completion_length, dict(self.generation_kwargs)))
        return prompts, [[*prompt[:3], *([self.eos] if i else [])] for i, prompt in enumerate(prompts)], None, None


def test_through_the_vllm_of_the_trainer():
    tokenizer = tiny_tokenizer()
    generation = FakeGeneration(tokenizer.eos_token_id)
    engine = InTrainer(generation, tokenizer)
    requests = [Request(str(i), ({"role": "user", "content": f"Wait {i}"},)) for i in range(2)]
    done = list(engine.generate(requests, Sampling(n=2, temperature=0.6, max_tokens=3, seed=1)))
    assert [(c.key, c.sample, c.finish_reason) for c in done] == [
        ("0", 0, "length"), ("1", 0, "stop"), ("0", 1, "length"), ("1", 1, "stop"),
    ]  # fmt: skip
    assert done[1].token_ids == tuple(engine.chat.encode(requests[1]).ids[:3])
    assert generation.synced == 1
    (first, second) = generation.seen
    assert (first[0], first[1], first[2]["stop"]) == (0.6, 3, ["x"])
    assert first[2]["seed"] != second[2]["seed"]
    assert (generation.temperature, generation.max_completion_length, generation.generation_kwargs) == (
        1.0,
        99,
        {"stop": ["x"]},
    )
