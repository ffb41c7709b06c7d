"""The trainer of a method, put together: model, data set, arguments, watch, probes, alarms and callbacks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epiverb.configs.train import GrpoConfig, SdpoConfig, SftTrainConfig
from epiverb.models.base import Sampling
from epiverb.models.published import published
from epiverb.train.alarms import Alarms
from epiverb.train.monitor import Monitor
from epiverb.train.probes import Probes, load_probe
from epiverb.verbs.training import build
from epiverb.verbs.training.settings import settings_of

if TYPE_CHECKING:
    from epiverb.verbs.training.going import Follower, Going
    from epiverb.verbs.training.plan import Batches
    from epiverb.verbs.training.rewards import Rewards

    Any3 = GrpoConfig | SdpoConfig | SftTrainConfig


@dataclass(frozen=True)
class Job:
    """A training whose data has been read and whose batches have been cut."""

    config: Any3
    out: Path
    work: Batches
    steps: int
    tokenizer: Any
    rows: list[dict[str, Any]]
    switch: dict[str, bool]
    """What the chat template is told of thinking."""

    @property
    def thinking(self) -> bool | None:
        """The switch as an engine takes it; None also where the template was changed to do it."""
        return next(iter(self.switch.values()), None)


def assemble(job: Job, rewards: Rewards, going: Going, follower: Follower) -> Any:
    """The trainer, ready to go.

    Raises:
        ConfigError: settings that do not go together. EngineError: the model cannot be loaded.
    """
    from datasets import Dataset
    from transformers import PrinterCallback

    config = job.config
    model = build.model_of(config)
    watch = Monitor(job.out, job.tokenizer, config.watching.lexicon[0], model=model)
    watch.listen(follower)
    if config.watching.alarm:
        watch.listen(Alarms(config.watching.alarm, job.out, follower.say))
    options: dict[str, Any] = {
        "model": model,
        "train_dataset": Dataset.from_list(job.rows),
        "processing_class": job.tokenizer,
        "peft_config": build.adapters_of(config),
        "watch": watch,
        "callbacks": [going],
    }
    shared = build.arguments(config, job.out, job.work, job.steps)
    if isinstance(config, SftTrainConfig):
        trainer = _sft(config, shared, options)
    else:
        trainer = _rl(config, shared | build.rollout_arguments(config, job.work, job.switch), options, rewards)
    trainer.remove_callback(PrinterCallback)
    if config.watching.probe:
        _probes(job, watch, rewards).join(trainer)
    return trainer


def _rl(config: GrpoConfig | SdpoConfig, arguments: dict[str, Any], options: dict[str, Any], rewards: Rewards) -> Any:
    from trl import GRPOConfig

    from epiverb.train.grpo import GRPO
    from epiverb.train.sdpo import SDPO

    trainer = SDPO if isinstance(config, SdpoConfig) else GRPO
    return trainer(reward_funcs=rewards, args=GRPOConfig(**arguments), **settings_of(config), **options)


def _sft(config: SftTrainConfig, arguments: dict[str, Any], options: dict[str, Any]) -> Any:
    from trl import SFTConfig

    from epiverb.train.sft import SFT

    return SFT(args=SFTConfig(**arguments, max_length=config.examples.max_length), **options)


def _probes(job: Job, watch: Monitor, rewards: Rewards) -> Probes:
    """The probes, sampled as published for the model's family."""
    config = job.config
    family = published(config.model, job.thinking)
    tokens = config.examples.probe_tokens if isinstance(config, SftTrainConfig) else config.rollouts.max_tokens
    sampling = Sampling(
        n=config.watching.probe_samples,
        temperature=family.temperature,
        top_p=family.top_p,
        top_k=family.top_k,
        max_tokens=tokens,
        seed=config.seed,
    )
    return Probes(
        watch,
        [load_probe(text, seed=config.seed) for text in config.watching.probe],
        every=config.watching.probe_every,
        sampling=sampling,
        grade=rewards.grade,
        thinking=job.thinking,
        plain=not job.tokenizer.chat_template,
        tokenizer=job.tokenizer,
    )
