"""Pretraining of a base: from a seed to a model folder, with a log, so that a killed command goes on where it was."""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epiverb.config import to_dict
from epiverb.configs.lab import LabPretrainConfig
from epiverb.errors import ConfigError, Stopped, StorageError
from epiverb.lab import corpus, tokenizer, words
from epiverb.models.loading import load_model, require, versions

if TYPE_CHECKING:
    from torch import Tensor

Progress = Callable[[str, int, "int | None", int], None]
"""Called with the stage, steps done, steps in all, and tokens learned from."""
BLOCK = 1024
"""Examples drawn together and sorted by length, so that a batch is hardly padded."""
WINDOW = 1024
"""Positions of the model."""
WARMUP = 50
"""Steps in which the learning rate rises; then it falls to nothing in a line."""
MATRICES = 5.0
"""Learning rate of the matrices, which Muon turns, as a multiple of the embeddings', which Adam trains."""
CHECKPOINT, LOG, RECORD = "checkpoint.pt", "training.csv", "training.json"
COLUMNS = ("step", "tokens", "loss", "rate", "seconds")
_SHAPING = (
    "habit",
    "start",
    "steps",
    "batch",
    "rate",
    "hidden",
    "layers",
    "heads",
    "precision",
    "threads",
    "compile",
    "seed",
)
"""Settings that make it this model and no other."""


def pretrain(config: LabPretrainConfig, *, progress: Progress | None = None) -> dict[str, Any]:
    """What was trained, as `training.json` in the folder has it.

    Raises:
        ConfigError: settings that cannot be, or a folder that holds something else.
        Stopped: Ctrl-C; the last checkpoint is kept and the same command continues.
    """
    require("torch", "train"), require("transformers", "train")
    out = Path(config.out)
    _check(config)
    done = _finished(out, config)
    if done is not None:
        return done
    trainer = Trainer(config, out)
    try:
        trainer.run(progress)
    except KeyboardInterrupt:
        raise Stopped(f"stopped: {trainer.kept:,} of {config.steps:,} steps are kept in {out}.") from None
    return trainer.finish()


def _check(config: LabPretrainConfig) -> None:
    for name in ("steps", "batch", "hidden", "layers", "heads", "threads", "every"):
        if getattr(config, name) < 1:
            raise ConfigError(f"--{name} {getattr(config, name)}: at least 1.")
    if config.hidden % config.heads or config.hidden // config.heads % 2:
        raise ConfigError(f"--hidden {config.hidden}: not {config.heads} heads of an even width each.")
    if config.batch > BLOCK or BLOCK % config.batch:
        raise ConfigError(f"--batch {config.batch}: not a divisor of {BLOCK}, such as 16, 32 or 64.")
    if not config.rate > 0:
        raise ConfigError(f"--rate {config.rate:g}: is not above 0.")


def _finished(out: Path, config: LabPretrainConfig) -> dict[str, Any] | None:
    """The record of the model that is there already; None where there is work to do."""
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out}: is a file, not a folder. Choose another --out.")
    record = out / RECORD
    if record.is_file():
        there = json.loads(record.read_text("utf-8"))
        if all(there["config"].get(name) == getattr(config, name) for name in _SHAPING):
            return there
        if not config.overwrite:
            raise ConfigError(f"{out}: holds another model. Pass --overwrite to replace it, or another --out.")
    elif out.exists() and any(out.iterdir()) and not (out / CHECKPOINT).exists() and not (out / LOG).exists():
        raise ConfigError(f"{out}: is not empty and holds no pretraining. Choose another --out.")
    if config.overwrite:
        shutil.rmtree(out, ignore_errors=True)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{out}: {error.strerror or error}") from None
    return None


class Trainer:
    """A model in training; made from the last checkpoint of its folder, where there is one."""

    def __init__(self, config: LabPretrainConfig, out: Path) -> None:
        import torch

        self.config, self.out = config, out
        self.habit = corpus.HABITS[config.habit]
        torch.set_num_threads(config.threads)
        torch.set_flush_denormal(True)
        with torch.random.fork_rng():
            torch.manual_seed(config.seed)
            self.model = model_of(config)
        if config.start:
            _start_from(self.model, config.start)
        # The fused attention's backward pass takes 40 % of a step on a CPU where heads are as narrow as these.
        self.model.set_attn_implementation("eager")
        self.body = torch.compile(self.model.model, dynamic=True) if config.compile else self.model.model
        self.optimizers = _optimizers(self.model, config.rate)
        self.half = _half(config.precision)
        self.step = self.tokens = self.kept = 0
        self.spent = 0.0
        self.rows: list[tuple[Any, ...]] = []
        self.losses: list[float] = []
        """Of the steps that no row tells of yet."""
        self._load()

    def run(self, progress: Progress | None = None) -> None:
        """All steps that are left."""
        config, start = self.config, time.process_time() - self.spent
        for ids, weights in batches(self.habit, config.seed, config.batch, begin=self.step):
            self.losses.append(self._learn(ids, weights))
            self.step += 1
            self.spent = time.process_time() - start
            if self.step % 20 == 0 or self.step == config.steps:
                rate = config.rate * schedule(self.step - 1, config.steps)
                self.rows.append(
                    (self.step, self.tokens, sum(self.losses) / len(self.losses), rate, round(self.spent, 1))
                )
                self.losses = []
            if progress:
                progress(f"{config.habit}", self.step, config.steps, self.tokens)
            if self.step == config.steps:
                return
            if self.step % config.every == 0:
                self._keep()

    def _learn(self, ids: Tensor, weights: Tensor) -> float:
        """One step; the weighted mean loss over the learned tokens, in nats."""
        import torch
        from torch.nn.functional import cross_entropy

        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * schedule(self.step, self.config.steps)
        learned = weights[:, 1:] > 0
        with torch.autocast("cpu", torch.bfloat16, enabled=self.half):
            hidden = self.body(input_ids=ids, use_cache=False).last_hidden_state
            logits = self.model.lm_head(hidden[:, :-1][learned])
        weight = weights[:, 1:][learned]
        losses = cross_entropy(logits.float(), ids[:, 1:][learned], reduction="none")
        loss = (losses * weight).sum() / weight.sum()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        self.tokens += int((ids != words.IDS[words.PAD]).sum())
        return float(loss.detach())

    def _keep(self) -> None:
        import torch

        state = {
            "identity": _identity(self.config),
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "step": self.step, "tokens": self.tokens, "spent": self.spent, "rows": self.rows, "losses": self.losses,
        }  # fmt: skip
        scratch = self.out / f"{CHECKPOINT}.partial"
        torch.save(state, scratch)
        os.replace(scratch, self.out / CHECKPOINT)
        self._log()
        self.kept = self.step

    def _load(self) -> None:
        import torch

        path = self.out / CHECKPOINT
        if not path.exists():
            return
        state = torch.load(path, weights_only=True)
        if state["identity"] != _identity(self.config):
            differing = [k for k, v in _identity(self.config).items() if state["identity"].get(k) != v]
            raise ConfigError(
                f"{self.out}: an unfinished model with other settings ({', '.join(differing)}). Continue it with its "
                "own, choose another --out, or pass --overwrite to begin again."
            )
        self.model.load_state_dict(state["model"])
        for optimizer, kept in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(kept)
        self.step, self.tokens, self.spent = state["step"], state["tokens"], state["spent"]
        self.rows, self.losses, self.kept = [tuple(row) for row in state["rows"]], state["losses"], state["step"]

    def _log(self) -> None:
        scratch = self.out / f"{LOG}.partial"
        with scratch.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows(
                (step, tokens, f"{loss:.4f}", f"{rate:.6f}", spent) for step, tokens, loss, rate, spent in self.rows
            )
        os.replace(scratch, self.out / LOG)

    def finish(self) -> dict[str, Any]:
        """Write the model folder; the record comes last, and with it the model is there."""
        tokenizer.save(self.out, think=self.habit.think)
        self.model.eval().save_pretrained(self.out)
        self._log()
        record = {
            "command": "epiverb lab pretrain",
            "config": {key: value for key, value in to_dict(self.config).items() if key in _SHAPING},
            "habit": self.habit.about,
            "parameters": sum(weight.numel() for weight in self.model.parameters()),
            "precision_used": "bfloat16" if self.half else "float32",
            "tokens": self.tokens,
            "cpu_seconds": round(self.spent, 1),
            "loss": round(self.rows[-1][2], 4),
            "versions": versions("torch", "transformers", "epiverb"),
        }
        scratch = self.out / f"{RECORD}.partial"
        scratch.write_text(json.dumps(record, indent=1) + "\n", "utf-8")
        os.replace(scratch, self.out / RECORD)
        (self.out / CHECKPOINT).unlink(missing_ok=True)
        return record


def _identity(config: LabPretrainConfig) -> dict[str, Any]:
    return {name: getattr(config, name) for name in _SHAPING}


def model_of(config: LabPretrainConfig) -> Any:
    """A Qwen3 model of the configured size with fresh weights."""
    from transformers import GenerationConfig, Qwen3Config, Qwen3ForCausalLM

    ends = words.IDS[words.END]
    model = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=len(words.IDS),
            hidden_size=config.hidden,
            intermediate_size=3 * config.hidden,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            num_key_value_heads=config.heads,
            head_dim=config.hidden // config.heads,
            max_position_embeddings=WINDOW,
            # Whether two numbers are equal is read from what a head's slow dimensions hold; this leaves it more of them.
            rope_parameters={"rope_type": "default", "rope_theta": 1e6},
            tie_word_embeddings=True,
            eos_token_id=ends,
            pad_token_id=words.IDS[words.PAD],
            bos_token_id=None,
        )
    )
    model.generation_config = GenerationConfig(
        eos_token_id=ends, pad_token_id=words.IDS[words.PAD], do_sample=True, temperature=0.6, top_p=0.95, top_k=20
    )
    return model


def _start_from(model: Any, folder: str) -> None:
    """Give `model` the weights of another base; raises `ConfigError` where they do not fit."""
    other = load_model(folder)
    try:
        model.load_state_dict(other.state_dict())
    except RuntimeError as error:
        raise ConfigError(f"--start {folder}: its weights are of another size than the model to be trained.") from error


def _optimizers(model: Any, rate: float) -> list[Any]:
    """Muon for the matrices between the embeddings, Adam for the rest; each group knows its peak learning rate."""
    import torch

    from epiverb.lab.muon import Muon

    matrices = [weight for name, weight in model.named_parameters() if weight.ndim == 2 and "embed" not in name]
    kept = {id(weight) for weight in matrices}
    rest = [weight for weight in model.parameters() if id(weight) not in kept]
    return [
        Muon([{"params": matrices, "peak": MATRICES * rate}], lr=rate, weight_decay=0.01),
        torch.optim.AdamW([{"params": rest, "peak": rate}], lr=rate, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def _half(precision: str) -> bool:
    """Whether the arithmetic is in bfloat16."""
    import torch

    if precision == "auto":
        return torch.backends.cpu.get_cpu_capability() == "AVX512" and torch.cpu._is_avx512_bf16_supported()
    return precision == "bfloat16"


def schedule(step: int, steps: int) -> float:
    """The learning rate of a step as a share of its peak."""
    return min((step + 1) / min(WARMUP, steps), 1.0) * (1 - step / steps)


def batches(habit: corpus.Habit, seed: int, size: int, *, begin: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
    """Ids and weights, batch by batch without end, from the batch `begin` on: the same whether earlier ones were asked for.

    Rows are padded at their end; a weight is 0 where nothing is learned.
    """
    import torch

    block, first = divmod(begin, BLOCK // size)
    while True:
        rng = random.Random(f"lab pretrain {habit.name} {seed} {block}")
        drawn = corpus.examples(habit, rng)
        rows = sorted((next(drawn).tokens(think=habit.think) for _ in range(BLOCK)), key=lambda row: len(row[0]))
        order = list(range(BLOCK // size))
        rng.shuffle(order)
        for place in order[first:]:
            chosen = rows[place * size : (place + 1) * size]
            width = min(WINDOW, max(len(ids) for ids, _ in chosen))
            ids = torch.full((size, width), words.IDS[words.PAD])
            weights = torch.zeros(size, width)
            for i, (row, weight) in enumerate(chosen):
                ids[i, : len(row)] = torch.tensor(row[:width])
                weights[i, : len(row)] = torch.tensor(weight[:width])
            yield ids, weights
        block, first = block + 1, 0
