"""What `epiverb score` can be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from epiverb.config import setting


@dataclass(frozen=True)
class Asking:
    """Where and how answers are asked for by --beliefs."""

    at: Literal["sentence", "step"] = setting("sentence")
    """Where the thinking is broken off for --beliefs: behind sentences, or at blank lines."""
    stem: str = setting("boxed", metavar="NAME")
    """Words before a forced answer: boxed, final-answer (as EAT published), final-answer-line."""
    places: int | None = setting(None, metavar="N")
    """At most N places a trace, evenly spread. Default: all."""
    rollouts: int = setting(0, metavar="N")
    """Sample N answers at every place instead of scoring the candidates."""


@dataclass(frozen=True)
class Reader:
    """What reads the traces."""

    engine: str = setting("hf", metavar="hf|vllm|server")
    """hf knows whole distributions. vllm and server tell the --top-k likeliest tokens: bounds on entropy, no --pressure."""
    engine_option: dict[str, str] = setting({}, metavar="KEY=VALUE")
    """Options of the engine, such as base_url=http://localhost:8000/v1 and template=DIR, which a server needs."""


@dataclass(frozen=True)
class Written:
    """What is written besides values and score.json."""

    report: bool = setting(True)
    """Write the run's report.html anew, where it has one: with the section What the model computes."""
    points: bool = setting(False)
    """With --pressure: the four figures of every token under every context go to points, and not only each trace's mean."""


@dataclass(frozen=True)
class ScoreConfig:
    """Add to a run what a model computes about its traces: entropy and confidence a token, information, pressure.

    Without --richness, --pressure, --beliefs, --mi or --signals the trajectories of all traces are computed; with --model
    none they are taken from the log-probabilities that the run holds. Traces are never changed.

    Example: epiverb score runs/math500 --model Qwen/Qwen3-1.7B
    Example: epiverb score runs/math500 --model Qwen/Qwen3-1.7B --beliefs --at step
    Example: epiverb score runs/math500 --model Qwen3-1.7B --pressure --contexts s,s-nothink,answer,unrelated
    """

    run: str = setting(metavar="RUN", positional=True)
    """Run folder to add to."""
    model: str = setting("none", short="-m", metavar="DIR|NAME|none")
    """Model folder or hub name that scores. none: only what the stored log-probabilities tell."""
    reader: Reader = Reader()
    """What reads the traces."""
    richness: bool = setting(False)
    """How much a context tells of the responses, in nats: of every arm that was sampled with one."""
    pressure: bool = setting(False)
    """What distillation from a teacher that is shown a context would push, before any training."""
    contexts: tuple[str, ...] = setting(("s", "s-nothink", "answer", "unrelated"), metavar="NAME[,NAME...]")
    """Contexts of --pressure. s is solution, s-nothink solution-no-think; else as in: epiverb ls contexts."""
    beliefs: bool = setting(False)
    """The distribution over candidate answers along the thinking, and what sentences and markers do to it."""
    mi: bool = setting(False)
    """Mutual information of every token's state with the gold answer's, and its peaks."""
    signals: bool = setting(False)
    """How well each score of a trace tells right from wrong, within problems; needs no model."""
    asking: Asking = Asking()
    """Where and how --beliefs ask for answers."""
    lexicon: str | None = setting(None, short="-l", metavar="NAME|FILE")
    """Lexicon whose markers are looked at. Default: the run's primary one."""
    top_k: int = setting(20, metavar="K")
    """Most likely tokens that confidence is made of."""
    vocabulary: int | None = setting(None, metavar="N")
    """With --model none: tokens of the vocabulary, which the upper bound on entropy needs. Default: as the run tells."""
    window: int = setting(2048, metavar="N")
    """Tokens of a DeepConf group; 2,048 as published. Take fewer for short traces."""
    around: int = setting(20, metavar="N")
    """Tokens before and behind a marker that the event study looks at."""
    limit: int | None = setting(None, metavar="N")
    """Only the first N traces."""
    dtype: str = setting("auto", metavar="TYPE")
    """auto (the checkpoint's own), float32, bfloat16 or float16. Logits are computed in float32 in any case."""
    device: str | None = setting(None, metavar="NAME")
    """cpu, cuda, cuda:1 or mps. Default: the best there is."""
    device_map: str | None = setting(None, metavar="NAME")
    """auto spreads the model over all GPUs."""
    plain: bool = setting(False)
    """Prompts are plain text, not chats (base models)."""
    trust_remote_code: bool = setting(False)
    """Run code that the model's repository brings."""
    batch_tokens: int | None = setting(None, metavar="N")
    """Tokens of a batch. Default: by device."""
    written: Written = Written()
    """What is written besides."""
    draws: int = setting(2000, metavar="N")
    """Bootstrap draws behind each interval."""
    seed: int = setting(0, metavar="N")
    """Seed of control positions and of the bootstrap."""
