"""What a run takes of each GPU's memory: an estimate from the model's sizes, part by part.

It counts tensors, not the pieces into which an allocator cuts memory, nor what CUDA itself and the network take: leave it
room. What stays (weights, gradients, optimizer, teacher) adds up; of what comes and goes, sampling and updating, the larger
counts.

Source: bytes a parameter of mixed-precision AdamW as in arXiv 1910.02054, section 3; activations counted layer by layer in
the manner of arXiv 2205.05198; the tiles of the loss as in docs/design/losses.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from epiverb.configs.train import GrpoConfig, SdpoConfig, SftTrainConfig

if TYPE_CHECKING:
    from epiverb.verbs.training.plan import Batches
    from epiverb.verbs.training.shapes import Shape

HALF, SINGLE = 2, 4
"""Bytes of a number."""
FOUR_BITS = 0.516
"""Bytes of a weight in NF4, its scales quantised too. Source: arXiv 2305.14314, section 3."""
TILE = 256 << 20
"""A tile of the loss on a GPU; see `epiverb.train.chunked.TILE_MB`."""
TILES = {"sdpo": 7, "grpo": 4, "sft": 3}
"""Tiles that are held at once."""
PLAIN, PLAIN_TOPK = 13.0, 5.1
"""Tensors of tokens by vocabulary in single precision that the divergence of plain logits holds, whole and on the top k, as
measured by benchmarks/losses.py; other losses hold at least one."""


class Part(NamedTuple):
    """One thing that takes memory."""

    name: str
    bytes: float
    note: str = ""


@dataclass(frozen=True)
class Estimate:
    """Bytes on each GPU."""

    stays: tuple[Part, ...]
    updating: tuple[Part, ...]
    sampling: tuple[Part, ...]
    plain_logits: float
    """What the logits of the loss alone would take if they were computed whole."""

    @property
    def total(self) -> float:
        """The most at any time."""
        return _sum(self.stays) + max(_sum(self.updating), _sum(self.sampling))


def _sum(parts: tuple[Part, ...]) -> float:
    return sum(part.bytes for part in parts)


def estimate(config: GrpoConfig | SdpoConfig | SftTrainConfig, shape: Shape, work: Batches) -> Estimate:
    """The memory of `config` for a model of `shape`, on each of `work.world` GPUs."""
    return Estimate(_stays(config, shape, work.world), _updating(config, shape, work), _sampling(config, shape, work),
                    _plain(config, shape, work))  # fmt: skip


def weight_bytes(config: GrpoConfig | SdpoConfig | SftTrainConfig) -> float:
    """Bytes of a weight of the model as it is held."""
    fitting = config.memory
    if fitting.qlora:
        return FOUR_BITS
    if fitting.dtype == "auto":
        return HALF if fitting.lora else SINGLE
    return HALF if fitting.dtype == "bfloat16" else SINGLE


def _stays(config: GrpoConfig | SdpoConfig | SftTrainConfig, shape: Shape, world: int) -> tuple[Part, ...]:
    fitting, wide = config.memory, weight_bytes(config)
    share = world if fitting.shard != "none" else 1
    adapters = shape.lora(fitting.lora) if fitting.lora else 0
    trained, number = (adapters, SINGLE) if adapters else (shape.parameters, wide)
    moments = 2.0 if "8bit" in config.optimisation.optimizer else 2 * number
    parts = [
        Part("weights", (shape.parameters * wide + adapters * SINGLE) / share, f"{shape.parameters / 1e9:.2f} billion"),
        Part("gradients", trained * number / share, f"{trained / 1e9:.3g} billion trained"),
        Part("optimizer", trained * moments / share, config.optimisation.optimizer),
    ]
    if isinstance(config, SdpoConfig) and config.distillation.teacher != "live":
        means = SINGLE if config.distillation.teacher == "ema" and wide == HALF and not adapters else 0
        held = adapters * SINGLE if adapters else shape.parameters * (wide + means)
        parts.append(Part("teacher", held / share, config.distillation.teacher))
    if isinstance(config, GrpoConfig) and config.policy.beta and not adapters:
        parts.append(Part("reference", shape.parameters * wide / share, f"beta {config.policy.beta:g}"))
    if not isinstance(config, SftTrainConfig) and config.rollouts.vllm == "colocate" and not config.rollouts.vllm_sleep:
        parts.append(_vllm(config, shape))
    return tuple(part for part in parts if part.bytes)


def _vllm(config: GrpoConfig | SdpoConfig, shape: Shape) -> Part:
    held = shape.parameters * HALF / config.rollouts.vllm_gpus
    return Part("vLLM's weights", held, f"the rest of its {config.rollouts.vllm_memory:.0%} of the GPU is cache")


def _tokens(config: GrpoConfig | SdpoConfig | SftTrainConfig) -> tuple[int, int]:
    """The longest sequence that goes through the model, and how many of its tokens have a loss."""
    if isinstance(config, SftTrainConfig):
        return config.examples.max_length, config.examples.max_length
    return config.problems.max_prompt + config.rollouts.max_tokens, config.rollouts.max_tokens


def _updating(config: GrpoConfig | SdpoConfig | SftTrainConfig, shape: Shape, work: Batches) -> tuple[Part, ...]:
    fitting = config.memory
    length, lossy = (work.micro * n for n in _tokens(config))
    layer = activations(shape, length)
    inputs = length * shape.hidden * HALF * shape.layers
    kept = inputs + layer if fitting.checkpointing else layer * shape.layers
    note = "inputs of layers kept, one computed again" if fitting.checkpointing else "all layers kept"
    method = {SdpoConfig: "sdpo", GrpoConfig: "grpo"}.get(type(config), "sft")
    states = lossy * shape.hidden * (HALF + SINGLE + (HALF if method == "sdpo" else 0))
    head = 0 if fitting.lora else shape.vocabulary * shape.hidden * SINGLE
    of = "tiles, hidden states" + (", gradient of the head" if head else "")
    parts = [
        Part("activations", kept, f"{length:,} tokens, {note}"),
        Part("loss", TILES[method] * TILE + states + head, of),
    ]
    if weight_bytes(config) == SINGLE:
        whole = shape.parameters if fitting.shard == "none" else 2 * _layer(shape) + shape.vocabulary * shape.hidden
        parts.append(Part("copies to compute", whole * HALF, "bfloat16"))
    return tuple(parts)


def activations(shape: Shape, tokens: int) -> float:
    """Bytes that one layer keeps for its backward pass, with an attention that keeps no scores.

    Two norms with input in single precision and output (2 x 3 numbers a hidden unit), queries, keys and values before and
    behind the rotation, what attention gives, and four numbers a unit of the MLP.
    """
    units = 6 * shape.hidden + 2 * (shape.queries + 2 * shape.keys) + shape.queries + 4 * shape.intermediate
    return tokens * units * HALF


def _layer(shape: Shape) -> float:
    return (shape.parameters - shape.vocabulary * shape.hidden * (1 if shape.tied else 2)) / shape.layers


def _sampling(config: GrpoConfig | SdpoConfig | SftTrainConfig, shape: Shape, work: Batches) -> tuple[Part, ...]:
    if isinstance(config, SftTrainConfig) or config.rollouts.vllm == "server":
        return ()
    if config.rollouts.vllm == "colocate":
        return (_vllm(config, shape),) if config.rollouts.vllm_sleep else ()
    rows, length = work.generation // work.world, _tokens(config)[0]
    return (Part("cache of keys and values", rows * length * shape.cached, f"{rows:,} responses at once"),)


def _plain(config: GrpoConfig | SdpoConfig | SftTrainConfig, shape: Shape, work: Batches) -> float:
    held = 1.0
    if isinstance(config, SdpoConfig):
        held = PLAIN if config.distillation.topk is None else PLAIN_TOPK
    return held * work.micro * _tokens(config)[1] * shape.vocabulary * SINGLE
