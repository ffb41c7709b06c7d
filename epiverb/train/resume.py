"""Checkpoints that a run goes on from as if it had not stopped: what TRL and transformers do not keep.

They keep weights, optimizer, scheduler, random numbers and the step. Kept here besides: the responses that later
optimizer steps of the same generation still need, the place within them, the order of the problems in later epochs, what
was counted since the last log, and the teacher. All of it is written before `trainer_state.json`, which marks a checkpoint
as whole.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from trl.trainer.utils import RepeatSampler

from epiverb.train.sharding import gathered, zero3
from epiverb.train.teacher import Teacher

_Trainer: Any = object
TEACHER, PROGRESS, STATE = "teacher.pt", "progress_{rank}.pt", "trainer_state.json"


class EpochSampler(RepeatSampler):
    """TRL's sampler, whose order in an epoch does not depend on whether the epochs before were seen.

    Ours differs: TRL draws the order of the first epoch again after a resume in a later one.
    """

    def __init__(self, inner: RepeatSampler, state: Any) -> None:
        self.__dict__.update(inner.__dict__)
        self._state = state

    def __iter__(self) -> Any:
        if self.shuffle:
            self.generator.manual_seed(self.seed or 0)
            for _ in range(int(self._state().epoch or 0)):
                torch.randperm(self.num_samples, generator=self.generator)
        return super().__iter__()


class Continued(_Trainer):
    """Mixed into a trainer of TRL that generates, before it."""

    def _get_train_sampler(self, dataset: Any = None) -> Any:
        return EpochSampler(super()._get_train_sampler(dataset), lambda: self.state)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        folder = Path(self._get_output_dir(trial=trial)) / f"checkpoint-{self.state.global_step}"
        if self.args.should_save:
            begin(folder)
        self.accelerator.wait_for_everyone()
        if not self.args.save_only_model:
            self._save_more(folder)
        self.accelerator.wait_for_everyone()
        super()._save_checkpoint(model, trial)

    def _save_more(self, folder: Path) -> None:
        """Write what the parents do not keep."""
        save_progress(folder, self)

    def _load_optimizer_and_scheduler(self, checkpoint: Any) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            self._load_more(Path(checkpoint))

    def _load_more(self, folder: Path) -> None:
        load_progress(folder, self)


def begin(folder: Path) -> None:
    """Make the folder of a checkpoint, which is not whole from now on."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / STATE).unlink(missing_ok=True)


def save_progress(folder: Path, trainer: Any) -> None:
    """Write where this process is within a generation, if it is in one."""
    every = trainer.args.steps_per_generation * trainer.num_iterations
    midway = trainer._step % every != 0
    state = {
        "step": trainer._step,
        "buffered": trainer._buffered_inputs if midway else None,
        "metrics": {name: list(values) for name, values in trainer._metrics["train"].items()},
        "pooled": trainer.pooled.state(),
    }
    _save(state, folder / PROGRESS.format(rank=trainer.accelerator.process_index))


def load_progress(folder: Path, trainer: Any) -> None:
    """Be where this process was; a checkpoint without it begins a generation, as TRL does."""
    path = folder / PROGRESS.format(rank=trainer.accelerator.process_index)
    if not path.exists():
        return
    device = trainer.accelerator.device
    state = torch.load(path, map_location="cpu" if device.type == "cpu" else device, weights_only=True)
    trainer._step, trainer._buffered_inputs = state["step"], state["buffered"]
    trainer._metrics["train"].clear()
    for name, values in state["metrics"].items():
        trainer._metrics["train"][name].extend(values)
    trainer.pooled.load(state["pooled"])


def save_teacher(folder: Path, teacher: Teacher, accelerator: Any, *, older: Path | None) -> Path | None:
    """Write the teacher, and say where it is; one that never changes is written once, and linked to from later checkpoints.

    Weights that ZeRO-3 has sharded are not written: there the teacher is always the model that a run is started with.

    Args:
        older: the file of the same teacher in an earlier checkpoint.
    """
    if teacher.kind == "live" or zero3(accelerator):
        return None
    main, path = accelerator.is_main_process, folder / TEACHER
    if teacher.kind != "ema" and older is not None and older.exists():
        if main and older != path:
            _link(older, path)
        return path
    state = gathered(teacher.state_dict())
    if main:
        _save(state, path)
    return path


def load_teacher(folder: Path, teacher: Teacher) -> Path | None:
    """Make the teacher the one of a checkpoint, and say where it is; None where there is none."""
    path = folder / TEACHER
    if teacher.kind == "live" or not path.exists():
        return None
    teacher.load_state_dict(torch.load(path, map_location="cpu", weights_only=True, mmap=True))
    return path


def last_checkpoint(folder: Path | str) -> Path | None:
    """The newest whole checkpoint in a trainer's output folder; one that was being written when all stopped is none."""
    found = []
    for path in Path(folder).glob("checkpoint-*"):
        try:
            step = json.loads((path / STATE).read_text("utf-8"))["global_step"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        found.append((int(step), path))
    return max(found)[1] if found else None


def _save(state: Any, path: Path) -> None:
    """Whole or not at all."""
    new = path.with_suffix(".new")
    torch.save(state, new)
    os.replace(new, path)


def _link(old: Path, new: Path) -> None:
    new.unlink(missing_ok=True)
    try:
        os.link(old, new)
    except OSError:  # another file system, or one without links
        shutil.copyfile(old, new)
