"""What a run comes to in batches, steps and responses, before any model is loaded."""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epiverb.config import to_dict
from epiverb.configs.train import GrpoConfig, SdpoConfig, SftTrainConfig
from epiverb.errors import ConfigError

if TYPE_CHECKING:
    Rl = GrpoConfig | SdpoConfig
    Any3 = GrpoConfig | SdpoConfig | SftTrainConfig

METHODS: dict[type, str] = {SftTrainConfig: "sft", GrpoConfig: "grpo", SdpoConfig: "sdpo"}


@dataclass(frozen=True)
class Batches:
    """How the work of a step is cut."""

    world: int
    """Processes, a GPU each."""
    micro: int
    """Sequences that go through a model at once."""
    accumulation: int
    """Micro-batches of a step, on each process."""
    updates: int = 1
    """Steps that a batch of rollouts is learned from in."""

    @property
    def step(self) -> int:
        """Sequences of a step, over all processes."""
        return self.world * self.micro * self.accumulation

    @property
    def generation(self) -> int:
        """Sequences that are sampled at once, over all processes."""
        return self.step * self.updates


def method_of(config: Any3) -> str:
    """`sft`, `grpo` or `sdpo`."""
    return METHODS[type(config)]


def batches(config: Any3, world: int) -> Batches:
    """The batches of `config` on so many processes.

    Raises:
        ConfigError: they do not come out even; the message says which numbers do.
    """
    micro = config.memory.micro_batch
    if isinstance(config, SftTrainConfig):
        return Batches(world, micro, _even(config.examples.batch, "examples of a step (--batch)", micro, world))
    rollouts = config.rollouts
    mini = rollouts.mini_batch or rollouts.questions
    if rollouts.questions % mini:
        raise ConfigError(f"--mini-batch {mini}: {rollouts.questions} questions cannot be divided by it.")
    accumulation = _even(mini * rollouts.samples, f"responses of a step ({mini} x {rollouts.samples})", micro, world)
    return Batches(world, micro, accumulation, rollouts.questions // mini)


def _even(sequences: int, what: str, micro: int, world: int) -> int:
    """Micro-batches that each process has."""
    if sequences % (micro * world):
        each = f" on {world} processes" if world > 1 else ""
        raise ConfigError(
            f"--micro-batch {micro}{each}: {sequences} {what} cannot be divided by {micro * world}. "
            "Change one so that they can."
        )
    return sequences // (micro * world)


def check(config: Any3) -> None:
    """Numbers that cannot be, before anything is read.

    Raises:
        ConfigError: what, and its bounds.
    """
    counts: dict[str, Any] = {
        "micro_batch": config.memory.micro_batch,
        "lora": config.memory.lora,
        "steps": config.steps,
    }
    counts |= {name: getattr(config.watching, name) for name in ("probe_every", "probe_samples", "save_every", "keep")}
    if isinstance(config, SftTrainConfig):
        counts |= {name: getattr(config.examples, name) for name in ("batch", "max_length", "limit", "probe_tokens")}
        if config.epochs <= 0:
            raise ConfigError(f"--epochs {config.epochs:g}: is not above 0.")
    else:
        _check_rollouts(config)
        counts |= {
            name: getattr(config.rollouts, name) for name in ("questions", "mini_batch", "max_tokens", "vllm_gpus")
        }
        counts |= {name: getattr(config.problems, name) for name in ("max_prompt", "limit")}
    for name, value in counts.items():
        if value is not None and value < 1:
            raise ConfigError(f"--{name.replace('_', '-')} {value}: at least 1.")
    if config.lr <= 0:
        raise ConfigError(f"--lr {config.lr:g}: is not above 0.")
    if config.optimisation.warmup < 0:
        raise ConfigError(f"--warmup {config.optimisation.warmup}: is below 0.")
    if config.memory.qlora and not config.memory.lora:
        raise ConfigError(
            "--qlora holds the frozen weights of LoRA in 4 bits. Give a rank with --lora, 32 for instance."
        )
    if not config.data:
        raise ConfigError("--data: nothing to train on.")
    twice = {spec for spec in config.data if list(config.data).count(spec) > 1}
    if twice:
        raise ConfigError(f"{sorted(twice)[0]}: given twice. Each set is read once.")


def _check_rollouts(config: Rl) -> None:
    rollouts = config.rollouts
    if rollouts.samples < 2:
        raise ConfigError(f"--samples {rollouts.samples}: at least 2; what is learned is the difference between peers.")
    if rollouts.temperature <= 0:
        raise ConfigError(f"--temperature {rollouts.temperature:g}: is not above 0; what is sampled must differ.")
    if not 0 < rollouts.top_p <= 1:
        raise ConfigError(f"--top-p {rollouts.top_p:g}: is not above 0 and at most 1.")
    if rollouts.top_k < 0:
        raise ConfigError(f"--top-k {rollouts.top_k}: is below 0.")
    if not 0 < rollouts.vllm_memory < 1:
        raise ConfigError(f"--vllm-memory {rollouts.vllm_memory:g}: is a share between 0 and 1.")


def default_out(config: Any3) -> Path:
    """Named after the model, the method and the settings: the same command continues the same run."""
    stem = re.sub(r"[^\w.-]+", "_", Path(config.model).name).strip("_-.") or "model"
    digest = hashlib.sha256(json.dumps(identity(config), sort_keys=True).encode()).hexdigest()
    return Path("epiverb-runs") / f"{stem}-{method_of(config)}-{digest[:8]}"


LOOKS = {
    "out": (),
    "overwrite": (),
    "memory": ("gpus", "shard", "trust_remote_code"),
    "watching": ("report", "draws", "keep", "tracker", "alarm"),
}
"""Settings that change no number of the training: with others of these the same run is continued."""


def identity(config: Any3) -> dict[str, Any]:
    """What makes it this training and no other: an unfinished run is continued only by the same."""
    settings = json.loads(json.dumps(to_dict(config)))
    for name, parts in LOOKS.items():
        for part in parts:
            settings[name].pop(part)
        if not parts:
            settings.pop(name)
    return {"command": f"train {method_of(config)}", **settings}


def steps_of(config: Any3, n_examples: int | None) -> int | None:
    """Steps of the whole run; None for examples that have not been counted. The last step of an epoch may be a small one."""
    if not isinstance(config, SftTrainConfig) or config.steps is not None:
        return config.steps
    if n_examples is None:
        return None
    return math.ceil(config.epochs * math.ceil(n_examples / config.examples.batch))
