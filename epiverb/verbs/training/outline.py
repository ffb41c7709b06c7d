"""What `--dry-run` tells: settings, steps, responses, memory, and how to start it on several GPUs. Nothing is loaded."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epiverb.config import plain, to_dict
from epiverb.configs.train import SftTrainConfig
from epiverb.errors import EpiverbError
from epiverb.resources import folder
from epiverb.schema import SCHEMA_VERSION
from epiverb.verbs.training import examples
from epiverb.verbs.training.memory import Estimate, estimate
from epiverb.verbs.training.plan import batches, method_of, steps_of
from epiverb.verbs.training.shapes import Shape, shape_of

if TYPE_CHECKING:
    from epiverb.configs.train import GrpoConfig, SdpoConfig
    from epiverb.verbs.training.plan import Batches

    Any3 = GrpoConfig | SdpoConfig | SftTrainConfig


def outline(config: Any3, out: Path) -> dict[str, Any]:
    """The plan of a training as plain values.

    Raises:
        ConfigError, FormatError: settings that do not come out even, data at hand that cannot be read.
    """
    work = batches(config, config.memory.gpus)
    n, notes = _counted(config)
    steps = steps_of(config, n)
    shape = shape_of(config.model)
    notes += _notes(config, shape, work)
    return {
        "schema": SCHEMA_VERSION,
        "dry_run": True,
        "method": method_of(config),
        "config": plain(to_dict(config)),
        "out": str(out),
        "steps": steps,
        "n_examples" if isinstance(config, SftTrainConfig) else "n_problems": n,
        "batches": {
            "processes": work.world,
            "micro_batch": work.micro,
            "accumulation": work.accumulation,
            "sequences_a_step": work.step,
            "steps_a_batch": work.updates,
        },
        "rollouts": _rollouts(config, work, steps, n),
        "model": vars(shape) | {"parameters": shape.parameters} if isinstance(shape, Shape) else None,
        "memory": _memory(config, shape, work),
        "launch": launch(config),
        "notes": notes,
    }


def _counted(config: Any3) -> tuple[int | None, list[str]]:
    """Problems or examples, where they are on this machine; else None and why."""
    if isinstance(config, SftTrainConfig):
        try:
            files = examples.read(config.data, limit=config.examples.limit)
        except EpiverbError as error:
            return None, [f"not counted: {error}"]
        return sum(len(file.examples) for file in files), []
    from epiverb.problems.load import at_hand
    from epiverb.verbs.training import problems

    away = [spec for spec in config.data if not at_hand(spec)]
    if away:
        return None, [
            f"{', '.join(away)}: not counted, since it is not on this machine (EPIVERB_DATA is a folder for sets)"
        ]
    asked = config.problems
    sources, notes = problems.read(
        config.data, limit=asked.limit, seed=config.seed, domain=asked.domain, lenient=asked.lenient
    )
    return sum(len(source.problems) for source in sources), notes


def _rollouts(config: Any3, work: Batches, steps: int | None, n: int | None) -> dict[str, Any] | None:
    """Responses that are sampled, and the tokens that they may have at most."""
    if isinstance(config, SftTrainConfig) or steps is None:
        return None
    drawn = math.ceil(steps / work.updates) * config.rollouts.questions
    return {
        "batches": math.ceil(steps / work.updates),
        "questions": drawn,
        "epochs": drawn / n if n else None,
        "responses": drawn * config.rollouts.samples,
        "most_tokens": drawn * config.rollouts.samples * config.rollouts.max_tokens,
    }


def _memory(config: Any3, shape: Shape | str, work: Batches) -> dict[str, Any]:
    """Bytes on each GPU, part by part; where the sizes are not known, why."""
    if isinstance(shape, str):
        return {"total": None, "reason": shape}
    found: Estimate = estimate(config, shape, work)
    parts = {name: [part._asdict() for part in getattr(found, name)] for name in ("stays", "updating", "sampling")}
    return {"total": found.total, "plain_logits": found.plain_logits, **parts, "source": shape.source}


def launch(config: Any3) -> str | None:
    """How the same command is started on several GPUs; None: on one, as it is."""
    gpus, shard = config.memory.gpus, config.memory.shard
    if gpus == 1 and shard == "none":
        return None
    settings = f" --config_file {folder('recipes') / 'accelerate' / shard}.yaml" if shard != "none" else " --multi_gpu"
    return f"accelerate launch{settings} --num_processes {gpus} -m epiverb"


def _notes(config: Any3, shape: Shape | str, work: Batches) -> list[str]:
    """What will not work, or is another thing than it looks."""
    if isinstance(config, SftTrainConfig) or isinstance(shape, str):
        return []
    longest, notes = config.problems.max_prompt + config.rollouts.max_tokens, []
    if longest > shape.window:
        notes.append(f"prompt and response may have {longest:,} tokens, and the model has {shape.window:,} positions")
    if config.rollouts.vllm == "off" and work.generation // work.world > 256:
        notes.append(
            f"transformers would sample {work.generation // work.world:,} responses at once on each GPU; --vllm colocate needs "
            "less memory and time"
        )
    return notes
