"""The settings of the losses as the trainers take them, and a look at all names before anything is loaded."""

from __future__ import annotations

import importlib.util
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from epiverb.configs.train import GrpoConfig, SdpoConfig, SftTrainConfig
from epiverb.contexts import parse as parse_context
from epiverb.errors import ConfigError
from epiverb.text import lexicon
from epiverb.train.settings import Distillation, Policy

if TYPE_CHECKING:
    Any3 = GrpoConfig | SdpoConfig | SftTrainConfig

TRACKERS = ("wandb", "trackio", "tensorboard")


def settings_of(config: GrpoConfig | SdpoConfig) -> dict[str, Any]:
    """`settings`, and for SDPO `policy`, of the trainer.

    Raises:
        ConfigError: a value that cannot be.
    """
    clips = asdict(config.clips)
    if isinstance(config, GrpoConfig):
        return {"settings": Policy(**clips, **asdict(config.policy))}
    shared = {name: getattr(config.distillation, name) for name in ("aggregate", "rollout_is_clip")}
    return {"settings": Distillation(**asdict(config.distillation)), "policy": Policy(**clips, **shared)}


def verify(config: Any3) -> None:
    """Raise `ConfigError` or `LexiconError` for a name in the settings that there is not."""
    for name in config.watching.lexicon:
        lexicon.load(name)
    if not config.watching.lexicon:
        raise ConfigError("--lexicon: one at least; it is what is followed while training.")
    for text in config.watching.probe:
        name, equals, spec = text.partition("=")
        if not (equals and name and spec) or "/" in name:
            raise ConfigError(f"--probe {text}: not NAME=SET[:N], such as ood=math500:64.")
    trains = importlib.util.find_spec("torch") is not None
    if config.watching.alarm and trains:
        from epiverb.train.alarms import parse as parse_alarm

        for text in config.watching.alarm:
            parse_alarm(text)
    for name in config.watching.tracker:
        if name not in TRACKERS:
            raise ConfigError(f"--tracker {name}: not one of {', '.join(TRACKERS)}.")
        if importlib.util.find_spec(name) is None:
            raise ConfigError(f"--tracker {name}: {name} is not installed. Install it with: pip install {name}")
    if isinstance(config, SftTrainConfig):
        return
    settings = settings_of(config)["settings"]
    if isinstance(config, SdpoConfig):
        for context in (settings.context, settings.contrast):
            parse_context(context)
    if settings.weights != "none" and trains:
        from epiverb.train.weights import parse

        parse(settings.weights)
