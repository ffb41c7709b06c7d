"""A training from its settings to its last step: data, model, watch, trainer, and what goes on around them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epiverb.configs.train import GrpoConfig, SdpoConfig, SftTrainConfig
from epiverb.errors import Stopped
from epiverb.models.loading import require
from epiverb.verbs.training import build, examples, problems
from epiverb.verbs.training.faults import kept, told
from epiverb.verbs.training.folder import last_checkpoint, opened, rank, step_of, world
from epiverb.verbs.training.plan import batches, identity, steps_of
from epiverb.verbs.training.rewards import Rewards
from epiverb.verbs.training.template import switched

if TYPE_CHECKING:
    from epiverb.verbs.training.going import Follower

    Any3 = GrpoConfig | SdpoConfig | SftTrainConfig


@dataclass(frozen=True)
class Data:
    """What is trained on."""

    rows: Any
    """Rows of the data set; of problems before their prompts have been looked at, their sources."""
    hashes: dict[str, str]
    """As the user wrote it -> SHA-256."""
    notes: list[str]


@dataclass(frozen=True)
class Trained:
    """What came of it."""

    steps: int
    of: int
    """Steps that were to be."""
    notes: list[str]
    unknown: dict[str, int]
    """Reasons of grades that are not known, by this process."""


def run(config: Any3, out: Path, follower: Follower) -> Trained | None:
    """Train to the last step; None in all processes but the first.

    Raises:
        Stopped: it was asked to stop; a checkpoint is kept. EpiverbError: it had to stop; the message says what is kept.
    """
    for package in ("torch", "transformers", "trl", "datasets"):
        require(package, "train")
    data = _data(config)
    with opened(out, identity(config) | {"data": data.hashes}, overwrite=config.overwrite), told(out), _quiet(follower):
        trained = _train(config, out, data, follower)
        if trained is not None:
            from epiverb.verbs.training.finish import finish

            follower.say("making the run of what was recorded")
            finish(config, out, data, trained)
        return trained


def _data(config: Any3) -> Data:
    if isinstance(config, SftTrainConfig):
        files = examples.read(config.data, limit=config.examples.limit)
        return Data(files, {file.spec: file.sha256 for file in files}, [])
    asked = config.problems
    told: dict[str, Any] = {"limit": asked.limit, "seed": config.seed, "domain": asked.domain, "lenient": asked.lenient}
    sources, notes = problems.read(config.data, **told)
    return Data(sources, {source.spec: source.sha256 for source in sources}, notes)


def _train(config: Any3, out: Path, data: Data, follower: Follower) -> Trained | None:
    from epiverb.verbs.training.going import Going, interruptible
    from epiverb.verbs.training.trainers import Job, assemble

    work = batches(config, world())
    tokenizer = build.tokenizer_of(config)
    switch = switched(tokenizer, _thinking(config), config.model) if tokenizer.chat_template else {}
    rows, notes = _rows(config, data, tokenizer, switch)
    for note in notes:
        follower.say(note)
    going = Going(config.watching.keep, follower.say)
    rewards = Rewards(tokenizer, _lenient(config))
    steps = steps_of(config, len(rows))
    assert steps is not None  # the rows have been counted
    trainer = assemble(Job(config, out, work, steps, tokenizer, rows, switch), rewards, going, follower)
    trainer.args.distributed_state.wait_for_everyone()  # the first process has looked at the folder
    begun = last_checkpoint(out)
    done = step_of(begun)
    follower.say(f"{f'going on from {begun.name}' if begun else 'begins'}: {steps - done:,} steps on {_where(trainer)}")
    if done < steps:  # else it was stopped while its run was made
        with interruptible(going):
            trainer.train(resume_from_checkpoint=str(begun) if begun else None)
        trainer.args.distributed_state.wait_for_everyone()
        done = trainer.state.global_step
    if going.stopped:
        raise Stopped(f"stopped behind step {done}. {kept(out)}")
    return Trained(done, steps, notes, dict(rewards.unknown)) if rank() == 0 else None


def _where(trainer: Any) -> str:
    """`4 processes, cuda`."""
    n = trainer.args.world_size
    return f"{f'{n} processes, ' if n > 1 else ''}{trainer.args.device.type}"


def _thinking(config: Any3) -> str | None:
    return config.examples.thinking if isinstance(config, SftTrainConfig) else config.problems.thinking


def _lenient(config: Any3) -> tuple[str, ...]:
    return config.examples.lenient if isinstance(config, SftTrainConfig) else config.problems.lenient


def _rows(config: Any3, data: Data, tokenizer: Any, switch: dict[str, bool]) -> tuple[list[dict[str, Any]], list[str]]:
    if isinstance(config, SftTrainConfig):
        told: dict[str, Any] = {"model": config.model, "thinking": config.examples.thinking}
        return examples.encoded(data.rows, tokenizer, max_length=config.examples.max_length, **told)
    asked = config.problems
    found = problems.rows_of(
        data.rows, tokenizer, max_prompt=asked.max_prompt, questions=config.rollouts.questions, switch=switch
    )
    return found.rows, [*data.notes, *found.notes]


@contextmanager
def _quiet(follower: Follower) -> Iterator[None]:
    """Libraries print nothing; what epiverb's own trainers warn of is said."""
    import datasets
    import transformers

    class Told(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            follower.say(record.getMessage())

    handler, log = Told(logging.WARNING), logging.getLogger("epiverb.train")
    before, shown = transformers.utils.logging.get_verbosity(), datasets.utils.logging.get_verbosity()
    transformers.utils.logging.set_verbosity_error()
    datasets.utils.logging.set_verbosity_error()
    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()
    propagates, log.propagate = log.propagate, False
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.propagate = propagates
        transformers.utils.logging.set_verbosity(before)
        datasets.utils.logging.set_verbosity(shown)
        transformers.utils.logging.enable_progress_bar()
