"""The trainer of a method, put together: model, data set, arguments, watch and callbacks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epiverb.configs.train import GrpoConfig, SdpoConfig, SftTrainConfig
from epiverb.train.monitor import Monitor
from epiverb.verbs.training import build
from epiverb.verbs.training.plan import Batches
from epiverb.verbs.training.settings import settings_of

if TYPE_CHECKING:
    from epiverb.verbs.training.going import Going
    from epiverb.verbs.training.rewards import Rewards

    Any3 = GrpoConfig | SdpoConfig | SftTrainConfig


class Followed(Monitor):
    """A monitor whose log somebody follows."""

    logged: Callable[[int, int, dict[str, Any]], None]

    def callback(self, *listeners: Any) -> Any:
        """With the one who follows."""

        def told(step: int, scalars: dict[str, Any], state: Any, control: Any) -> None:
            self.logged(step, state.max_steps, scalars)

        return super().callback(told, *listeners)


def assemble(
    config: Any3,
    out: Path,
    work: Batches,
    steps: int,
    tokenizer: Any,
    rows: list[dict[str, Any]],
    switch: dict[str, bool],
    rewards: Rewards,
    going: Going,
    logged: Callable[[int, int, dict[str, Any]], None],
) -> Any:
    """The trainer, ready to go.

    Raises:
        ConfigError: settings that do not go together. EngineError: the model cannot be loaded.
    """
    from datasets import Dataset
    from transformers import PrinterCallback

    model = build.model_of(config)
    watch = Followed(out, tokenizer, config.watching.lexicon[0], model=model)
    watch.logged = logged
    shared = build.arguments(config, out, work, steps)
    options: dict[str, Any] = {
        "model": model,
        "train_dataset": Dataset.from_list(rows),
        "processing_class": tokenizer,
        "peft_config": build.adapters_of(config),
        "watch": watch,
        "callbacks": [going],
    }
    if isinstance(config, SftTrainConfig):
        trainer = _sft(config, shared, options)
    else:
        trainer = _rl(config, shared | build.rollout_arguments(config, work, switch), options, rewards)
    trainer.remove_callback(PrinterCallback)
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
