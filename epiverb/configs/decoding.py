"""Groups of settings that every command which generates has: how to decode, and with which engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from epiverb.config import setting


@dataclass(frozen=True)
class Decoding:
    """How to decode. What is not given is as published for the model's family."""

    temperature: float | None = setting(None, metavar="T")
    """Temperature; 0 is greedy. Default: as published for the model's family, which --dry-run shows."""
    top_p: float | None = setting(None, metavar="P")
    """Share of the probability that the most likely tokens must hold. Default: as published."""
    top_k: int | None = setting(None, metavar="K")
    """Number of most likely tokens; 0 is off. Default: as published."""
    min_p: float | None = setting(None, metavar="P")
    """Least probability of a token, as a share of the most likely one's. Default: 0, off."""
    max_tokens: int | None = setting(None, metavar="N")
    """Tokens a response may have. Default: as published, or what the window leaves."""
    thinking: Literal["on", "off"] | None = setting(None)
    """Switch the model's thinking. Default: as its chat template does by itself."""
    logprobs: int | None = setting(None, metavar="K")
    """Keep the log-probability of each sampled token and of the K most likely ones (tables tokens, alternatives)."""


@dataclass(frozen=True)
class EngineChoice:
    """What generates."""

    engine: str = setting("hf", metavar="NAME")
    """hf (transformers), vllm, server (any OpenAI-compatible endpoint) or replay (recorded outputs)."""
    engine_option: dict[str, str] = setting({}, metavar="KEY=VALUE")
    """Options of the engine, such as device=cuda, dtype=bfloat16, batch_size=32 or base_url=http://localhost:8000/v1."""
