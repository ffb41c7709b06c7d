"""The teacher: weights copied from the student in memory, left as they are, or following it.

    teacher = Teacher(student, "ema", rate=0.05)
    parts = teacher.run(student, lambda model: model(**inputs).last_hidden_state)   # [(factor, what the model gave), ...]
    teacher.update(student)                                                          # once a training step

It never reads a path, so a student that was changed in memory has the teacher it should have. Its state goes into the
checkpoint.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn

from epiverb.errors import ConfigError, nearest
from epiverb.train.lowrank import blend, up_of
from epiverb.train.sharding import at_rest, fill

KINDS = ("fixed", "ema", "live", "trust-region")
T = TypeVar("T")


class Teacher:
    """A teacher of one of four kinds.

    - `fixed`: the student as it was. The published runs on mathematics.
    - `ema`: weights move towards the student's by `rate` at each update.
    - `live`: the student as it is.
    - `trust-region`: logits are those of the student as it was times 1 - `rate`, plus those of the student as it is times
      `rate`; so `run` gives two parts.

    A student all of whose parameters are trained is copied whole. Of one with frozen parameters (LoRA, QLoRA) only the
    trained ones are kept, and put into it while the teacher runs. Means of half-precision weights are kept in float32: a
    step of 0.05 times a small change is below what bfloat16 can tell, so there the teacher would never move.

    Args:
        student: unwrapped, before it is sharded.
        rate: see above; 0 leaves any teacher where it is.
        rank: with LoRA and `ema`, highest rank of what the teacher adds to a weight; None: four times the student's.

    Source: lasgroup/SDPO@0e6d510 verl/workers/actor/dp_actor.py `_update_teacher`, `TrustRegionTeacher`.
    Ours differs: float32 means, LoRA (`lowrank`), and a state that can be saved.
    """

    def __init__(
        self,
        student: nn.Module,
        kind: Literal["fixed", "ema", "live", "trust-region"] = "fixed",
        *,
        rate: float = 0.05,
        rank: int | None = None,
    ) -> None:
        if kind not in KINDS:
            raise ConfigError(f"unknown teacher {kind!r}.{nearest(kind, KINDS)}")
        if not 0 <= rate <= 1:
            raise ConfigError(f"the teacher's rate is {rate}; it lies between 0 (stays) and 1 (is the student).")
        self.kind, self.rate, self.rank = kind, rate, rank
        self.updates = 0
        self.cut = 0.0
        """Largest share of an update that the highest rank left out."""
        self.model: nn.Module | None = None
        self.weights: dict[str, Tensor] = {}
        """By name: the trained parameters where frozen ones are shared, else float32 means of half-precision ones."""
        if kind == "live":
            return
        trained = dict(_trained(student))
        if not trained:
            raise ConfigError("the student trains no parameter, so nothing tells what its teacher must keep.")
        if len(trained) < sum(1 for _ in student.parameters()):
            self.weights = {name: self._mean(parameter) for name, parameter in trained.items()}
            self._refuse_what_is_no_sum()
        else:
            self.model = copy.deepcopy(student).eval().requires_grad_(False)
            if kind == "ema":
                self.weights = {name: self._mean(p) for name, p in trained.items() if p.dtype in _HALF}

    def run(self, student: nn.Module, forward: Callable[[nn.Module], T]) -> list[tuple[float, T]]:
        """What `forward` gives for each part of the teacher, and its factor in the logits; factors sum to 1.

        The model is in evaluation mode and without gradients, and afterwards as it was.
        """
        parts: list[tuple[float, T]] = []
        share = {"live": 1.0, "trust-region": self.rate}.get(self.kind, 0.0)
        with torch.no_grad():
            if share < 1:
                with self._installed(student) as model, _evaluating(model):
                    parts.append((1 - share, forward(model)))
            if share > 0:
                with _evaluating(student):
                    parts.append((share, forward(student)))
        return parts

    @torch.no_grad()
    def update(self, student: nn.Module) -> None:
        """Move towards the student. Only `ema` moves.

        Call it once a training step, after its last mini-batch, and only if an optimizer step had a finite gradient.

        Raises:
            ConfigError: the student's trained parameters are not those that it had.
        """
        if self.kind != "ema" or not self.rate:
            return
        at_rest(student, self.model)
        trained = dict(_trained(student))
        known = dict(self.model.named_parameters()) if self.model is not None else self.weights
        if trained.keys() != known.keys():
            odd = sorted(trained.keys() ^ known.keys())[0]
            raise ConfigError(f"the student does not train what it did when its teacher was made: {odd}.")
        self.updates += 1
        products = {} if self.model is not None else {up_of(name): name for name in trained if up_of(name) in trained}
        for up, down in products.items():
            self._follow_product(str(up), down, trained)
        for name in trained.keys() - products.keys() - set(products.values()):
            self._follow(name, known[name], trained[name])

    def _follow(self, name: str, mine: Tensor, parameter: Tensor) -> None:
        """One parameter, by way of its float32 mean where it has one."""
        mean = self.weights.get(name, mine)
        mean.lerp_(parameter.to(mean.dtype), self.rate)
        if mean is not mine:
            mine.copy_(mean)

    def _follow_product(self, up: str, down: str, trained: dict[str, nn.Parameter]) -> None:
        """The two factors of one LoRA."""
        mine, theirs = (self.weights[up], self.weights[down]), (trained[up].detach(), trained[down].detach())
        theirs = theirs[0].to(mine[0].dtype), theirs[1].to(mine[1].dtype)
        rank = self.rank or 4 * theirs[0].shape[1]
        self.weights[up], self.weights[down], cut = blend(*mine, *theirs, rate=self.rate, rank=rank)
        self.cut = max(self.cut, cut)

    def _mean(self, parameter: nn.Parameter) -> Tensor:
        """A copy that means can be taken in."""
        copied = parameter.detach().clone()
        return copied.float() if self.kind == "ema" and copied.dtype in _HALF else copied

    def _refuse_what_is_no_sum(self) -> None:
        if self.kind != "ema":
            return
        for name, tensor in self.weights.items():
            if any(part in name for part in _NO_SUM) or (up_of(name) and tensor.dim() != 2):
                raise ConfigError(
                    f"a teacher that follows the student cannot have {name}: its mean is no LoRA. Use fixed."
                )

    @contextmanager
    def _installed(self, student: nn.Module) -> Iterator[nn.Module]:
        """The model with the teacher's weights: its own, or the student's with some exchanged for the time being."""
        if self.model is not None:
            yield self.model
            return
        parameters = dict(student.named_parameters())
        own = {name: parameters[name].data for name in self.weights}
        try:
            for name, tensor in self.weights.items():
                parameters[name].data = tensor.to(own[name].dtype)
            yield student
        finally:
            for name, tensor in own.items():
                parameters[name].data = tensor

    def state_dict(self) -> dict[str, Any]:
        """All that the teacher is, for a checkpoint."""
        at_rest(self.model)
        model = None if self.model is None else dict(_tensors(self.model))
        return {
            "kind": self.kind,
            "rate": self.rate,
            "updates": self.updates,
            "cut": self.cut,
            "model": model,
            "weights": dict(self.weights),
        }

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Become the teacher whose state this is.

        Raises:
            ConfigError: it is the state of another kind of teacher, or of another model.
        """
        at_rest(self.model)
        for key in ("kind", "rate"):
            if state[key] != getattr(self, key):
                raise ConfigError(
                    f"the checkpoint's teacher has {key} {state[key]!r}, this one {getattr(self, key)!r}."
                )
        mine = {} if self.model is None else dict(_tensors(self.model))
        theirs = state["model"] or {}
        if mine.keys() != theirs.keys() or self.weights.keys() != state["weights"].keys():
            odd = sorted((mine.keys() ^ theirs.keys()) | (self.weights.keys() ^ state["weights"].keys()))[0]
            raise ConfigError(f"the checkpoint's teacher is of another model: {odd} is only in one of them.")
        for name, tensor in mine.items():
            if tensor.shape != theirs[name].shape:
                sizes = f"{tuple(theirs[name].shape)} and {tuple(tensor.shape)}"
                raise ConfigError(f"the checkpoint's teacher is of another model: {name} is {sizes}.")
            fill(tensor, theirs[name])
        self.weights = {
            name: state["weights"][name].to(tensor.device, copy=True) for name, tensor in self.weights.items()
        }
        self.updates, self.cut = state["updates"], state["cut"]


_HALF = (torch.bfloat16, torch.float16)
_NO_SUM = ("lora_magnitude", "lora_E", "hada_", "lokr_", "oft_", "vera_")
"""Parameters of DoRA, AdaLoRA, LoHa, LoKr, OFT and VeRA: the weights that they make are not linear in products of two."""


def _trained(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    return ((name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad)


def _tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from model.named_parameters()
    yield from model.named_buffers()


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """No dropout for the time being; afterwards every module is in the mode it was in."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
