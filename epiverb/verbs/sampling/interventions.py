"""Interventions on an engine: the settings' names to what is steered or forced, attached to whatever engine can do it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from epiverb.errors import ConfigError
from epiverb.models.steering import (
    ACTIONS,
    INSIDE,
    Steering,
    processor,
    server_bias,
    steer,
    steer_words,
    vllm_arguments,
)
from epiverb.text import lexicon as lexicons

if TYPE_CHECKING:
    from epiverb.configs.decoding import Intervention
    from epiverb.models.base import Engine, Sampling

Describe = Callable[[], "list[dict[str, Any]]"]
"""What was done so far, for run.json."""


@dataclass(frozen=True)
class Steered:
    """What is done to every sample of a job."""

    settings: Intervention
    engine: str
    steering: Steering | None
    control: dict[str, Any] | None
    """How the control words were chosen."""

    @property
    def name(self) -> str | None:
        """In a few words; None: nothing is done."""
        said = [f"{self.steering.action} {self.steering.name}"] if self.steering else []
        if self.steering and self.steering.action != "ban":
            said[0] += f" by {self.steering.amount:g}"
        for name in ("stop_thinking", "force_thinking"):
            if (value := getattr(self.settings, name)) is not None:
                said.append(f"{name.replace('_', ' ')} {value}")
        return ", ".join(said) or None

    def options(self, given: dict[str, Any]) -> dict[str, Any]:
        """Options for opening the engine."""
        if self.steering is None or self.engine != "vllm":
            return given
        opening, sampling = vllm_arguments(self.steering)
        return {**given, **opening, "sampling": {**given.get("sampling", {}), **sampling}}

    def attach(self, engine: Any, sampling: Sampling) -> Describe:
        """Do it in an open engine from now on, for an arm that is sampled as `sampling` says."""
        if self.name is None:
            return list
        if self.engine == "hf":
            engine.processors = self._processors(engine, sampling)
            return lambda: [*(one.describe() for one in engine.processors), *self._control()]
        assert self.steering is not None  # `steered` has refused the rest for other engines
        if self.engine == "vllm":
            record = self.steering.describe()
        else:
            bias, record = server_bias(self.steering, _tokenizer(engine))
            engine.body["logit_bias"] = {str(token): value for token, value in bias.items()}
        return lambda: [record, *self._control()]

    def _processors(self, engine: Any, sampling: Sampling) -> list[Any]:
        made: list[Any] = [processor(self.steering, engine.tokenizer, engine.eos)] if self.steering else []
        if (times := self.settings.force_thinking) is not None:
            from epiverb.models.forcing import ForceThinking
            from epiverb.models.phrases import phrase

            made.append(ForceThinking(engine.tokenizer, sampling, phrase("wait"), times, engine.eos))
        if (budget := self.settings.stop_thinking) is not None:
            from epiverb.models.forcing import StopThinking

            made.append(StopThinking(engine.tokenizer, budget, seed=sampling.seed))
        return made

    def _control(self) -> list[dict[str, Any]]:
        return [self.control] if self.control else []


def steered(settings: Intervention, engine: str, reference: Callable[[], pl.Series], seed: int) -> Steered:
    """What the settings ask for.

    Args:
        reference: the texts that a control set is matched in, read when they are needed.

    Raises:
        ConfigError: settings that do not go together, or that this engine cannot do.
        DataError: the reference does not allow a control set.
    """
    asked = [(action, getattr(settings, action)) for action in ACTIONS if getattr(settings, action)]
    if len(asked) > 1:
        raise ConfigError(f"--{asked[0][0]} and --{asked[1][0]}: one at a time.")
    if settings.amount is not None and (not asked or asked[0][0] == "ban"):
        raise ConfigError("--amount goes with --penalise or --boost.")
    if settings.control and not asked and not settings.insert:
        raise ConfigError("--control goes with --ban, --penalise, --boost or --insert.")
    if asked and engine not in ("hf", "vllm", "server"):
        raise ConfigError(f"--{asked[0][0]}: engine {engine} decodes nothing. Use hf, vllm or server.")
    for name in ("stop_thinking", "force_thinking"):
        if getattr(settings, name) is not None and engine != "hf":
            raise ConfigError(f"--{name.replace('_', '-')}: engine {engine} cannot do it. Use --engine hf.")
    steering, control = None, None
    if asked:
        action, name = asked[0]
        lex = lexicons.load(name)
        steering = steer(lex, action, settings.amount)
        if settings.control:
            from epiverb.models.controls import matched, phrase_counts, written_counts

            texts, inside = reference(), lex.match in INSIDE
            phrases = phrase_counts(lex, texts, inside_words=inside)
            chosen = matched(lex, written_counts(texts), seed=seed, phrases=phrases, inside_words=inside)
            steering = steer_words(chosen.words, action, settings.amount, name=chosen.name, inside_words=inside)
            control = chosen.describe()
    return Steered(settings, engine, steering, control)


def _tokenizer(engine: Engine) -> Any:
    """The tokenizer that an engine renders with; raises `ConfigError` where it has none."""
    chat = getattr(engine, "chat", None)
    tokenizer = getattr(engine, "tokenizer", None) or getattr(chat, "tokenizer", None)
    if tokenizer is None:
        raise ConfigError(
            "steering through a server needs the model's tokenizer: --engine-option template=DIR|NAME renders with it."
        )
    return tokenizer
