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


@dataclass(frozen=True)
class Intervention:
    """What is done to the model while it decodes. Nothing, unless asked for; each is written into the run."""

    ban: str | None = setting(None, metavar="LEXICON")
    """Make a lexicon's epistemic markers impossible, wherever it counts them: kim2026 within words too, kim2026-words not."""
    penalise: str | None = setting(None, metavar="LEXICON")
    """Make a lexicon's epistemic markers rarer, by --amount."""
    boost: str | None = setting(None, metavar="LEXICON")
    """Make a lexicon's epistemic markers likelier, by --amount."""
    amount: float | None = setting(None, metavar="NATS")
    """What is taken from or added to a marker's logit; 1 to 5 is mild."""
    control: bool = setting(False)
    """Steer other words instead, as frequent as the markers in --reference; beside --insert, put in neutral phrases too."""
    reference: str | None = setting(None, metavar="RUN|FILE")
    """Traces whose word frequencies the control matches. Default: those of --from."""
    insert: tuple[str, ...] = setting((), metavar="PHRASE")
    """Cut wrong responses of --from and continue them behind this phrase (a name such as wait-check, or text)."""
    at: tuple[float, ...] = setting((0.5,), metavar="SHARE")
    """Where to cut, as a share of the response's tokens, each time one."""
    stop_thinking: int | None = setting(None, metavar="N")
    """Close a thinking that is still open after N tokens. With --engine hf."""
    force_thinking: int | None = setting(None, metavar="N")
    """Turn the first N ends of the thinking into Wait (budget forcing). With --engine hf."""
