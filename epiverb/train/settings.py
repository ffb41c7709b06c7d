"""What a method of training is set to: plain data, checked when it is made, that loads no torch.

Defaults are those of the published runs on mathematics (arXiv 2603.24472); what the trainer of TRL sets itself (learning
rate, batch, lengths, decoding) is in its own arguments.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from epiverb.errors import ConfigError, nearest

AGGREGATES = ("verl-effective", "token-mean", "seq-mean-token-mean", "seq-mean-token-sum", "seq-mean-token-sum-norm")
TEACHERS = ("fixed", "ema", "live", "trust-region")
SOURCES = ("peer", "dataset", "feedback")
CHOICES = ("first", "random", "shortest", "longest", "most-markers", "fewest-markers")
SCALES = ("none", "group", "batch")


@dataclass(frozen=True)
class Policy:
    """GRPO: advantage, clips, and how tokens are summed."""

    scale: Literal["none", "group", "batch"] = "none"
    """Divide advantages by the deviation of the rewards in the group or batch; none: as Dr. GRPO and the published runs."""
    clip_low: float = 0.2
    clip_high: float = 0.28
    """The ratio to the policy that sampled counts within [1 - low, 1 + high]."""
    dual_clip: float | None = 3.0
    """Largest ratio that counts where the advantage is negative; None: no such limit."""
    beta: float = 0.0
    """Weight of the divergence from the model as it was; 0: none, and no copy of it."""
    aggregate: str = "verl-effective"
    """See `epiverb.train.losses.shares`."""
    weights: str = "none"
    """Token weights by specification, such as preserve:0.1; see `epiverb.train.weights`."""
    rollout_is_clip: float | None = 2.0
    """Cap of the weight for what the engine and the trainer disagree on, where the engine tells; None: no weight."""
    mask_truncated: bool = False
    """Leave out responses that did not end."""

    def __post_init__(self) -> None:
        _among("scale", self.scale, SCALES)
        _among("aggregate", self.aggregate, AGGREGATES)
        _least("clip_low", self.clip_low, 0)
        _least("clip_high", self.clip_high, 0)
        _least("beta", self.beta, 0)
        _least("dual_clip", self.dual_clip, 1)
        _least("rollout_is_clip", self.rollout_is_clip, 1)


@dataclass(frozen=True)
class Distillation:
    """SDPO: which divergence, from whom, and what the teacher is shown."""

    alpha: float = 0.5
    """0: KL(teacher || student), 1: KL(student || teacher), between them Jensen-Shannon."""
    topk: int | None = 100
    """Only on the student's K most likely tokens; None: the whole vocabulary."""
    tail: bool = True
    """With `topk`: all other tokens are one more outcome."""
    is_clip: float | None = 2.0
    """Cap of the ratio to the policy that sampled; None: no ratio."""
    rollout_is_clip: float | None = 2.0
    """Cap of the weight for what the engine and the trainer disagree on, where the engine tells; None: no weight."""
    entry_clip: float | None = None
    """Most that one outcome of the vocabulary may add."""
    aggregate: str = "verl-effective"
    """See `epiverb.train.losses.shares`."""
    weights: str = "none"
    """Token weights by specification, such as preserve:0.1; see `epiverb.train.weights`."""
    teacher: Literal["fixed", "ema", "live", "trust-region"] = "fixed"
    rate: float = 0.05
    """Of `ema` and `trust-region`: how far the teacher goes towards the student."""
    teacher_rank: int | None = None
    """With LoRA and `ema`: highest rank of the teacher's; None: four times the student's."""
    sources: tuple[Literal["peer", "dataset", "feedback"], ...] = ("peer",)
    """Where the demonstration comes from, the first that has one: peer, dataset (the row's solution), feedback."""
    choose: str = "first"
    """Among peers: first, random, shortest, longest, most-markers, fewest-markers."""
    own: bool = False
    """Whether a response that succeeded may be its own demonstration."""
    threshold: float = 0.5
    """Reward from which a response succeeded."""
    context: str = "solution@sdpo-yaml"
    """What the teacher is shown (s); solution-no-think@sdpo-yaml is s without thinking. See `epiverb.contexts`."""
    max_reprompt: int | None = None
    """Tokens that the teacher's prompt may have; None: what the model's positions leave beside the response."""
    contrast: str = "wrong@sdpo-yaml"
    """What the second teacher is shown: a peer that failed, or a solution to another problem (unrelated@sdpo-yaml).
    Used only where a token weight asks for it."""
    blend: float = 0.0
    """Share of the GRPO loss: (1 - blend) x divergence + blend x GRPO."""

    def __post_init__(self) -> None:
        _among("teacher", self.teacher, TEACHERS)
        _among("choose", self.choose, CHOICES)
        _among("aggregate", self.aggregate, AGGREGATES)
        for source in self.sources:
            _among("sources", source, SOURCES)
        if not self.sources:
            raise ConfigError(f"sources is empty; give one or more of {', '.join(SOURCES)}.")
        for name in ("alpha", "rate", "blend"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it lies between 0 and 1.")
        for name in ("topk", "teacher_rank", "max_reprompt"):
            _least(name, getattr(self, name), 1)
        _least("is_clip", self.is_clip, 1)
        _least("rollout_is_clip", self.rollout_is_clip, 1)


def _among(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigError(f"unknown {name} {value!r}.{nearest(value, known)}")


def _least(name: str, value: float | None, least: float) -> None:
    if value is not None and not value >= least:
        raise ConfigError(f"{name} is {value}; it is at least {least}.")
