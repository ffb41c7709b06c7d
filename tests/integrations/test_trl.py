"""The observer in real trainers of TRL: it records, it changes nothing, and the trainer's own reporters see its scalars."""

from __future__ import annotations

import polars as pl
import pytest

pytest.importorskip("trl", minversion="1.16", reason="needs the extra 'train'")

from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback

import epiverb as ev
from epiverb.integrations.trl import observe
from epiverb.models.base import Sampling
from epiverb.train import shards
from epiverb.train.recorded import finish
from tests.models.tiny import tiny_model
from tests.train.training import PROBES


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("model") / "qwen3", likely={"Wait": 9.0, ",": 9.0, "<|im_end|>": 3.0})


DATA = [
    {"prompt": [{"role": "user", "content": f"What is {i} + 1?"}], "problem_id": f"p{i}", "answer": str(i + 1)}
    for i in range(4)
]


def accuracy(completions, **others) -> list[float]:
    """Right are responses that hold a comma."""
    return [float("," in completion[0]["content"]) for completion in completions]


def brevity(completions, **others) -> list[float]:
    return [-len(completion[0]["content"]) / 100 for completion in completions]


class Reporter(TrainerCallback):
    """As W&B's, trackio's and TensorBoard's do, it takes what the trainer logs."""

    def __init__(self) -> None:
        self.logs: list[dict] = []

    def on_log(self, args, state, control, logs=None, **kwargs) -> None:
        self.logs.append(dict(logs or {}))


def train(kind: str, folder, out, rewards, callbacks=(), steps: int = 3, **options):
    import trl

    config = {
        "output_dir": str(out), "per_device_train_batch_size": 4, "num_generations": 4, "max_completion_length": 10,
        "max_steps": steps, "logging_steps": 1, "report_to": "none", "use_cpu": True, "bf16": False, "learning_rate": 1e-5,
        "save_strategy": "no", "disable_tqdm": True, "seed": 7, "gradient_checkpointing": False, **options,
    }  # fmt: skip
    made = getattr(trl, f"{kind}Trainer")(
        AutoModelForCausalLM.from_pretrained(folder), rewards, args=getattr(trl, f"{kind}Config")(**config),
        train_dataset=Dataset.from_list(DATA), processing_class=AutoTokenizer.from_pretrained(folder), callbacks=list(callbacks),
    )  # fmt: skip
    made.train()
    return made


def test_grpo_is_watched_and_learns_the_same(folder, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    plain = train("GRPO", folder, tmp_path / "plain", [accuracy, brevity])
    rewards = observe([accuracy, brevity], tmp_path / "out", tokenizer)
    reporter = Reporter()
    observed = train("GRPO", folder, tmp_path / "observed", rewards, [*rewards.callbacks, reporter])
    for name, weight in plain.model.state_dict().items():
        assert weight.equal(observed.model.state_dict()[name]), name
    own = [[log.get(key) for log in plain.state.log_history] for key in ("reward", "loss", "reward_std")]
    assert own == [[log.get(key) for log in observed.state.log_history] for key in ("reward", "loss", "reward_std")]
    record = finish(tmp_path / "out")
    rows = pl.concat([pl.read_parquet(shard.path) for shard in record.rollouts])
    assert rows.group_by("step").len().sort("step").rows() == [(0, 4), (1, 4), (2, 4)]
    assert rows["correct"].to_list() == ["," in text for text in rows["response"]]
    both = rows["reward_accuracy"] + rows["reward_brevity"]
    assert rows["reward"].to_list() == pytest.approx(both.to_list())
    assert set(rows["problem_id"]) <= {"p0", "p1", "p2", "p3"}
    assert rows["gold"].to_list() == [str(int(name[1:]) + 1) for name in rows["problem_id"]]
    assert rows["sample"].to_list() == [0, 1, 2, 3] * 3
    assert (rows["finish_reason"] == "stop").to_list() == [n < 10 for n in rows["n_tokens"]]
    logged = [log for log in reporter.logs if "epiverb/markers_per_1k_words" in log]
    assert len(logged) == 3
    for step, log in enumerate(logged):
        shard = rows.filter(step=step)
        assert log["epiverb/markers_per_1k_words"] == pytest.approx(
            1000 * shard["n_markers"].sum() / shard["n_words"].sum()
        )
        assert log["epiverb/accuracy"] == pytest.approx(log["rewards/accuracy/mean"])
    assert rows["n_markers"].sum() > 0
    lines = list(shards.lines(tmp_path / "out" / "metrics.jsonl"))
    assert [line["step"] for line in lines[:3]] == [1, 2, 3]
    assert lines[0]["epiverb/words"] == logged[0]["epiverb/words"]


def test_a_resume_is_recorded_once(folder, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    checkpoints = {"save_strategy": "steps", "save_steps": 2}
    rewards = observe(accuracy, tmp_path / "out", tokenizer)
    train("GRPO", folder, tmp_path / "run", rewards, rewards.callbacks, 3, **checkpoints)
    first = finish(tmp_path / "out").frame()
    again = observe(accuracy, tmp_path / "out", tokenizer)
    import trl

    config = trl.GRPOConfig(
        output_dir=str(tmp_path / "run"), per_device_train_batch_size=4, num_generations=4, max_completion_length=10, max_steps=4,
        logging_steps=1, report_to="none", use_cpu=True, bf16=False, save_strategy="no", disable_tqdm=True, gradient_checkpointing=False,
    )  # fmt: skip
    trainer = trl.GRPOTrainer(
        AutoModelForCausalLM.from_pretrained(folder), again, args=config, train_dataset=Dataset.from_list(DATA),
        processing_class=tokenizer, callbacks=again.callbacks,
    )  # fmt: skip
    trainer.train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-2"))
    frame = finish(tmp_path / "out").frame()
    assert frame.group_by("step").len().sort("step").rows() == [(0, 4), (1, 4), (2, 4), (3, 4)]
    assert frame["trace_id"].n_unique() == len(frame)
    assert frame.filter(pl.col("step") < 2).equals(first.filter(pl.col("step") < 2))
    assert [line["step"] for line in shards.lines(tmp_path / "out" / "metrics.jsonl") if "loss" in line] == [1, 2, 3, 4]


def test_another_trainer_with_probes_and_alarms(folder, tmp_path):
    """Another trainer with reward functions; probes and alarms by one call each; and a run folder that can be analysed."""
    from epiverb.train.probes import Probes

    tokenizer = AutoTokenizer.from_pretrained(folder)
    rewards = observe(accuracy, tmp_path / "out", tokenizer)
    rewards.probes = Probes(rewards.monitor, PROBES, every=2, sampling=Sampling(max_tokens=8))
    said: list[str] = []
    rewards.alarm("finished<2", say=said.append)
    reporter = Reporter()
    train("RLOO", folder, tmp_path / "run", rewards, [*rewards.callbacks, reporter], steps=2)
    assert any("epiverb/probe/ood/accuracy" in log for log in reporter.logs)
    frame = finish(tmp_path / "out").frame()
    assert set(frame["condition"]) == {"rollout", "probe/id", "probe/ood"}
    assert set(frame.filter(pl.col("condition") != "rollout")["step"]) == {0, 2}
    run = ev.analyze(str(tmp_path / "out"), out=str(tmp_path / "analysed"), draws=10)
    assert run.summary["n_traces"] == len(frame)
    assert said == []  # five logs are looked at, and there were two


def test_what_a_reward_function_may_be(tmp_path):
    from tests.models.tiny import tiny_tokenizer

    class Judge:
        def __call__(self, completions, **others):
            return [None] * len(completions)

    async def slow(completions, **others):
        return [0.0] * len(completions)

    judge = Judge()
    rewards = observe([accuracy, judge, slow], tmp_path, tiny_tokenizer())
    assert rewards[1] is judge  # TRL asks such an object for its name, and it stays what it is
    assert rewards[2] is slow
    assert rewards[0].__name__ == "accuracy"
    chat = [[{"role": "assistant", "content": "Wait, yes"}], [{"role": "assistant", "content": "yes"}]]
    ids = [tiny_tokenizer().encode("Wait, yes"), tiny_tokenizer().encode("yes")]
    kwargs = {"prompts": ["a", "a"], "completions": chat, "completion_ids": ids}
    assert rewards[0](**kwargs) == [1.0, 0.0]
    assert rewards[-1](**kwargs) == [None, None]
    rows = pl.read_parquet(tmp_path / "rollouts" / "step-000000-rank-0.parquet")
    assert rows["correct"].to_list() == [True, False]
    assert rows["n_markers"].to_list() == [1, 0]
    assert rewards[-1](**kwargs) == [
        None,
        None,
    ]  # a second generation of the same step, whose other rewards nobody told
    rows = pl.read_parquet(tmp_path / "rollouts" / "step-000000-rank-0.parquet")
    assert rows["trace_id"].n_unique() == len(rows) == 4
    assert rows["correct"].to_list() == [True, False, None, None]
