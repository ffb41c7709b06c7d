"""Training runs of a moment: a tiny model, problems, and responses that are written down instead of sampled.

A response is graded by its words: `right` is 1, `wrong` 0, `unknown` not known.
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import GRPOConfig

from tests.models.tiny import LINES, tiny_model

os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
os.environ["CI"] = "1"  # TRL's telemetry stays off

WORDS = ("right, it is 4", "wrong, it is 5", "unknown", "wait wait maybe")
SCRIPT = {
    "0": ["the answer is right", "wait, maybe wrong", "it seems wrong", "so it is right"],
    "1": ["hmm, wrong", "wait wrong", "wrong wrong wrong", "perhaps it is wrong"],
    "2": ["wrong, I think", "right: 4 is right and 5 is not", "it might be wrong", "wrong, let me check"],
    "3": ["right", "right, actually right", "therefore wrong", "wait, wrong"],
}
"""Problem -> its responses; problem 1 has none that is right."""


@functools.cache
def folder() -> Path:
    """Of a model of 0.2 million parameters, made once a process."""
    home = Path(tempfile.mkdtemp(prefix="epiverb-train-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    return tiny_model(home / "tiny", hidden=64, window=512, lines=LINES + WORDS)


def load() -> tuple[Any, Any]:
    """A fresh model and its tokenizer."""
    path = folder()
    return AutoModelForCausalLM.from_pretrained(path), AutoTokenizer.from_pretrained(path, padding_side="left")


def problems(n: int = 4, **more: Any) -> Dataset:
    rows = [
        {"prompt": [{"role": "user", "content": f"What is {i} + 2?"}], "problem_id": str(i), "benchmark": "sums"} | more
        for i in range(n)
    ]
    return Dataset.from_list(rows)


def grade(completions: Any, **_: Any) -> list[float | None]:
    """By its words."""
    texts = [each if isinstance(each, str) else each[0]["content"] for each in completions]
    return [None if "unknown" in text else float("right" in text) for text in texts]


class Written:
    """Responses from a script, as TRL's `rollout_func`: the same whatever the processes and the batches are."""

    def __init__(self, tokenizer: Any, script: dict[str, list[str]] = SCRIPT, end: bool = True) -> None:
        self.tokenizer, self.script, self.end = tokenizer, script, end
        self.asked: list[list[str]] = []

    def __call__(self, prompts: list[Any], trainer: Any) -> dict[str, Any]:
        first = trainer.accelerator.process_index * len(prompts)
        ids, texts = [], []
        for i, prompt in enumerate(prompts):
            problem = prompt[-1]["content"].split()[2]
            text = self.script[problem][(first + i) % trainer.num_generations]
            texts.append(text)
            ids.append(self.tokenizer.encode(text) + [self.tokenizer.eos_token_id] * self.end)
        self.asked.append(texts)
        encoded = self.tokenizer.apply_chat_template(prompts, add_generation_prompt=True, return_dict=True)
        return {"prompt_ids": encoded["input_ids"], "completion_ids": ids, "logprobs": None}


def arguments(out: Path | str, **more: Any) -> GRPOConfig:
    """Four problems of four responses, one optimizer step each, on the CPU; plain gradient descent shows gradients."""
    usual: dict[str, Any] = {
        "output_dir": str(out),
        "per_device_train_batch_size": 16,
        "num_generations": 4,
        "max_completion_length": 16,
        "max_steps": 1,
        "learning_rate": 0.5,
        "lr_scheduler_type": "constant",
        "optim": "sgd",
        "max_grad_norm": 0.0,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "disable_tqdm": True,
        "shuffle_dataset": False,
    }
    return GRPOConfig(**usual | more)


def made(cls: Any, at: Path, *, script: dict[str, list[str]] | None = SCRIPT, data: Any = None, **more: Any) -> Any:
    """A trainer of `cls`; keywords of `arguments` and of the trainer both go.

    Args:
        script: None: it samples.
    """
    model, tokenizer = load()
    of_trainer = ("settings", "policy", "watch", "peft_config", "callbacks", "reward_funcs", "model")
    given = {name: more.pop(name) for name in of_trainer if name in more}
    if script is not None:
        given["rollout_func"] = Written(tokenizer, script)
    given.setdefault("model", model)
    given.setdefault("reward_funcs", grade)
    args = arguments(more.pop("out", at / "out"), **more)
    return cls(args=args, train_dataset=data or problems(), processing_class=tokenizer, **given)


def ran(cls: Any, at: Path, **more: Any) -> Any:
    """The same, trained."""
    trainer = made(cls, at, **more)
    trainer.train()
    return trainer


def weights(trainer: Any) -> dict[str, torch.Tensor]:
    model = trainer.accelerator.unwrap_model(trainer.model)
    return {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}


def gap(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """Largest difference of two sets of weights."""
    assert one.keys() == other.keys()
    return max((one[name] - other[name]).abs().max().item() for name in one)


def moved(trainer: Any) -> float:
    """How far the weights went."""
    return gap(weights(trainer), {name: p.detach() for name, p in load()[0].named_parameters()})


def logged(trainer: Any, name: str) -> list[float]:
    return [row[name] for row in trainer.state.log_history if name in row]


class Kept(TrainerCallback):
    """The student's weights behind each optimizer step."""

    def __init__(self) -> None:
        self.steps: list[dict[str, torch.Tensor]] = []

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        self.steps.append({name: p.detach().clone() for name, p in model.named_parameters()})
