"""Engines: what generates responses, found by name; see `base.py` for the protocol and `open_engine` for the door.

A package adds its own through the entry point group `epiverb.engines`.
"""

from __future__ import annotations

import inspect
from typing import Any

from epiverb.errors import ConfigError, nearest
from epiverb.registry import Registry

ENGINES = Registry(
    "engine",
    {
        "hf": "epiverb.models.hf:HF",
        "vllm": "epiverb.models.vllm:VLLM",
        "server": "epiverb.models.server:Server",
        "replay": "epiverb.models.replay:Replay",
    },
)


def open_engine(name: str, model: str, **options: Any) -> Any:
    """The engine `name` over `model`, loaded; to be used as a context manager.

    Args:
        model: a folder or hub name (hf, vllm), the name a server knows it by (server), a trace file or run folder (replay).
        options: keyword arguments of the engine's class, which documents them; None means its default.

    Raises:
        ConfigError: no such engine, or an option it does not have.
        MissingExtra: what the engine needs is not installed; the message says how to install it.
        EngineError: there is no such model, or it cannot be loaded.
    """
    engine = ENGINES.get(name)
    given = {option: value for option, value in options.items() if value is not None}
    known = inspect.signature(engine).parameters
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values()):
        for option in given:
            if option not in known:
                choices = [other for other in known if other != "model"]
                raise ConfigError(f"engine {name} has no option {option!r}.{nearest(option, choices)}")
    return engine(model, **given)


__all__ = ["ENGINES", "open_engine"]
