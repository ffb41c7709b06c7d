"""What the commands of the lab can be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from epiverb.config import setting


@dataclass(frozen=True)
class LabPretrainConfig:
    """Train a base of the lab from scratch: a small model that searches, voices doubt, and reads what it is shown.

    Example: epiverb lab pretrain --out my-base --seed 1
    """

    out: str = setting(short="-o", metavar="DIR")
    """Model folder. An unfinished one is continued by the same command."""
    habit: Literal["base", "terse", "able"] = setting("base")
    """Whom it learns from: base voices doubt while it thinks, able does so and needs it less, terse seldom, its thinking off."""
    start: str | None = setting(None, metavar="DIR")
    """Base of the same size whose weights it starts from. Default: fresh ones."""
    steps: int = setting(1500, metavar="N")
    """Steps of the optimiser."""
    batch: int = setting(64, metavar="N")
    """Examples in a step."""
    rate: float = setting(4e-3, metavar="LR")
    """Peak learning rate of the embeddings; the matrices between them get five times as much."""
    hidden: int = setting(128, metavar="N")
    """Width of the model."""
    layers: int = setting(4, metavar="N")
    """Layers of the model."""
    heads: int = setting(4, metavar="N")
    """Attention heads of the model."""
    precision: Literal["auto", "float32", "bfloat16"] = setting("auto")
    """Of the arithmetic; auto is bfloat16 where the processor multiplies it, else float32. Weights are float32."""
    threads: int = setting(1, metavar="N")
    """Threads of the arithmetic. A result is the same only for the same number."""
    compile: bool = setting(False)
    """Compile the model, which needs a C++ compiler: a minute at the start, then half the time with bfloat16."""
    every: int = setting(100, metavar="N")
    """Keep a checkpoint every N steps."""
    seed: int = setting(0, metavar="N")
    """Seed of the weights and of the examples."""
    overwrite: bool = setting(False)
    """Begin again where --out holds a finished model or an unfinished one of other settings."""
