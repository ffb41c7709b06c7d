"""Runs that two processes do together; `python -m tests.train.two_processes OUT` with RANK and WORLD_SIZE set.

The same runs in one process: `alone`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from epiverb.train.forward import add_head, response_states, states
from epiverb.train.grpo import GRPO
from epiverb.train.resume import last_checkpoint
from epiverb.train.sdpo import SDPO
from epiverb.train.settings import Distillation, Policy
from epiverb.train.sharding import gathered
from epiverb.train.teacher import Teacher
from tests.train.runs import SCRIPT, load, logged, made, problems, weights

LOGGED = (
    "reward",
    "entropy",
    "distill/divergence",
    "self_distillation/success_group_fraction",
    "policy/loss",
    "rewards/unknown",
)
ORDER = {str(i): SCRIPT[name] for i, name in enumerate(("0", "1", "2", "1", "3", "1"))}
"""Of each two problems the second has no response that is right."""
RUNS: dict[str, tuple[Any, dict[str, Any]]] = {
    # Each process has one problem: the second never has a demonstration.
    "a rank without demonstrations": (SDPO, {"per_device_train_batch_size": 4, "settings": Distillation(), "max_steps": 2}),
    # A problem's responses are divided among the processes, the demonstration with them; and accumulated.
    "spread groups": (SDPO, {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2, "max_steps": 2}),
    "everything": (
        SDPO,
        {
            "per_device_train_batch_size": 2,
            "gradient_accumulation_steps": 2,
            "settings": Distillation(weights="contrast", contrast="unrelated", blend=0.3, teacher="ema", aggregate="token-mean"),
            "script": {str(i): SCRIPT[name] for i, name in enumerate("032032")},
            "max_steps": 3,
        },
    ),
    "grpo": (GRPO, {"per_device_train_batch_size": 4, "settings": Policy(aggregate="token-mean", scale="group"), "max_steps": 2}),
}  # fmt: skip


def trainer_of(name: str, out: Path, share: int, **more: Any) -> Any:
    """The trainer of a run, of which each of `share` processes has a part of the batch."""
    cls, shape = RUNS[name]
    size = shape["per_device_train_batch_size"] * 2 // share
    return made(cls, out, data=problems(6), **{"script": ORDER} | shape | {"per_device_train_batch_size": size} | more)


def run(name: str, out: Path, share: int) -> tuple[dict[str, torch.Tensor], dict[str, list[float]]]:
    """The weights and the log."""
    trainer = trainer_of(name, out, share)
    trainer.train()
    return weights(trainer), {each: logged(trainer, each) for each in LOGGED}


class Stop(TrainerCallback):
    """After one step."""

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        control.should_training_stop = state.global_step == 1
        return control


def odd(completions: Any, **_: Any) -> list[float]:
    """The length of a response, modulo two."""
    return [float(len(each[0]["content"]) % 2) for each in completions]


def resumed(out: Path) -> tuple[Any, Any]:
    """Responses that are sampled: the weights of a run, and of one that was stopped within a generation."""
    shape: dict[str, Any] = {"script": None, "reward_funcs": odd, "optim": "adamw_torch", "learning_rate": 1e-3}
    shape |= {"steps_per_generation": 4, "save_strategy": "steps", "save_steps": 1, "max_steps": 3}
    whole = trainer_of("everything", out / "whole", 2, **shape)
    whole.train()
    trainer_of("everything", out / "parts", 2, callbacks=[Stop()], **shape).train()
    rest = trainer_of("everything", out / "parts", 2, **shape)
    rest.train(resume_from_checkpoint=str(last_checkpoint(out / "parts" / "out")))
    assert rest.state.global_step == 3
    return weights(whole), weights(rest)


def sharded() -> dict[str, float]:
    """Largest differences of a student and a teacher that FSDP2 has sharded from those that it has not."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    model, plain = load()[0], load()[0]
    add_head(model)
    add_head(plain)
    teacher, mesh = Teacher(model, "ema", rate=0.5), init_device_mesh("cpu", (2,))
    for each in (model, teacher.model):
        for layer in each.model.layers:
            fully_shard(layer, mesh=mesh)
        fully_shard(each, mesh=mesh)
    ids = torch.arange(20)[None]
    mask = torch.ones_like(ids)
    ((_, taught),) = teacher.run(model, lambda each: states(each, ids, mask, 5, keep=True))
    expected = states(plain, ids, mask, 5)

    def work(hidden: torch.Tensor, head: Any, _: Any) -> dict[str, torch.Tensor]:
        return {"loss": (response_states(hidden, 5) @ head.weight.T).logsumexp(-1).sum()}

    for each in (model, plain):
        each(input_ids=ids, attention_mask=mask, head=work)["loss"].backward()
    own = dict(plain.named_parameters())
    gradients = [(p.grad.full_tensor() - own[name].grad).abs().max().item() for name, p in model.named_parameters()]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.1)
    teacher.update(model)
    state = gathered(teacher.state_dict())
    moved = [(state["model"][name] - 1.05 * p).abs().max().item() for name, p in own.items()]
    teacher.load_state_dict(state | {"model": state["model"] | {name: p.detach() for name, p in own.items()}})
    state = gathered(teacher.state_dict())
    back = [(state["model"][name] - p).abs().max().item() for name, p in own.items()]
    states_gap = (taught.hidden - expected.hidden).abs().max().item()
    return {"states": states_gap, "gradient": max(gradients), "update": max(moved), "load": max(back)}


if __name__ == "__main__":
    # transformers loads an optimizer onto the device cpu:0, a name that torch does not know.
    torch.serialization.register_package(
        5, lambda _: None, lambda storage, name: storage if name[:4] == "cpu:" else None
    )
    folder = Path(sys.argv[1])
    found: dict[str, Any] = {name: run(name, folder, 2) for name in RUNS}
    found["resumed"] = resumed(folder)
    found["sharded"] = sharded()
    torch.save(found, folder / f"rank-{torch.distributed.get_rank()}.pt")
    torch.distributed.destroy_process_group()
