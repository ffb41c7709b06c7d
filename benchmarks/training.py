"""An SDPO step against TRL's experimental SDPOTrainer with the same settings: time and memory, in one run.

    OMP_NUM_THREADS=1 python benchmarks/training.py [--tokens 64] [--vocabulary 512] [--steps 4] [--solved 0.5]

Each trainer has a process of its own, so that its peak of memory is its own; the two take turns, `--rounds` times. The model
is a random Qwen3 of 0.8 million parameters; 8 problems of 8 responses are the batch, and responses have all the tokens that
they may. `--solved` is the share of problems with a response that is right. What is given is the median of the optimizer
steps behind the first: user CPU seconds, wall seconds, and the peak of resident memory over that before training.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--vocabulary", type=int, default=512)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--solved", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--ragged", action="store_true", help="responses end where they like")
    parser.add_argument("--one", choices=("ours", "theirs"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(measured(asked)))
        return
    found: dict[str, list[dict[str, float]]] = {"ours": [], "theirs": []}
    for _ in range(asked.rounds):
        for who in found:
            command = [sys.executable, __file__, *sys.argv[1:], "--one", who]
            quiet = os.environ | {"TRL_EXPERIMENTAL_SILENCE": "1", "CI": "1", "TQDM_DISABLE": "1"}
            done = subprocess.run(command, capture_output=True, text=True, check=True, env=quiet)
            found[who].append(json.loads(done.stdout.strip().splitlines()[-1]))
    print(f"{'a step of':10} {'user s':>8} {'wall s':>8} {'peak MiB':>9}")
    means = {
        who: {name: statistics.median(row[name] for row in rows) for name in rows[0]} for who, rows in found.items()
    }
    for who, row in means.items():
        print(f"{who:10} {row['user']:8.2f} {row['wall']:8.2f} {row['peak']:9.0f}")
    ours, theirs = means["ours"], means["theirs"]
    print("ours / theirs: " + ", ".join(f"{name} {ours[name] / theirs[name]:.2f}" for name in ours))


def measured(asked: argparse.Namespace) -> dict[str, float]:
    """Median seconds of a step, and memory, of one of the two."""
    import resource

    import torch
    from datasets import Dataset
    from transformers import TrainerCallback

    class Clock(TrainerCallback):
        def __init__(self) -> None:
            self.user, self.wall = [os.times().user], [time.perf_counter()]

        def on_step_end(self, *_: Any, **__: Any) -> None:
            self.user.append(os.times().user)
            self.wall.append(time.perf_counter())

    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as home:
        folder = model_of(Path(home) / "model", asked.vocabulary)
        clock = Clock()
        rows = [{"prompt": [{"role": "user", "content": f"What is {i} + 2, step by step?"}]} for i in range(8)]
        trainer = trainer_of(asked, folder, Path(home), Dataset.from_list(rows), clock)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        trainer.train()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    user, wall = ([b - a for a, b in itertools.pairwise(times[1:])] for times in (clock.user, clock.wall))
    return {"user": statistics.median(user), "wall": statistics.median(wall), "peak": (peak - before) / 1024}


def model_of(folder: Path, vocabulary: int) -> Path:
    """A random model, and a tokenizer of bytes with as many words beside them as the vocabulary has room for."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = {letter: i for i, letter in enumerate(letters)}
    bpe = Tokenizer(models.BPE(vocab=words, merges=[]))
    bpe.pre_tokenizer, bpe.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    special = ["<pad>", "<end>", "<user>", "<model>"]
    bpe.add_special_tokens([AddedToken(name, special=True) for name in special])
    bpe.add_tokens([f"<w{i}>" for i in range(vocabulary - len(letters) - len(special))])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, pad_token="<pad>", eos_token="<end>")
    tokenizer.chat_template = (
        "{%- for m in messages %}{{- '<user>' + m.content + '<end>' }}{%- endfor %}"
        "{%- if add_generation_prompt %}{{- '<model>' }}{%- endif %}"
    )
    size = {"hidden_size": 128, "intermediate_size": 384, "num_hidden_layers": 4, "head_dim": 32}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": False}
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id, "bos_token_id": None}
    model = Qwen3ForCausalLM(Qwen3Config(vocab_size=vocabulary, max_position_embeddings=40960, **size, **heads, **ends))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def trainer_of(asked: argparse.Namespace, folder: Path, home: Path, data: Any, clock: Any) -> Any:
    """One of the two trainers, with the same settings."""
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import GRPOConfig

    model, tokenizer = (
        AutoModelForCausalLM.from_pretrained(folder),
        AutoTokenizer.from_pretrained(folder, padding_side="left"),
    )
    shared: dict[str, Any] = {
        "per_device_train_batch_size": 8, "gradient_accumulation_steps": 8, "num_generations": 8,
        "max_completion_length": asked.tokens, "max_steps": asked.steps + 1, "learning_rate": 1e-5, "logging_steps": 1,
        "save_strategy": "no", "report_to": "none", "use_cpu": True, "bf16": False, "gradient_checkpointing": False,
        "disable_tqdm": True,
    }  # fmt: skip
    if not asked.ragged:
        shared["generation_kwargs"] = {"min_new_tokens": asked.tokens}
    solved = int(asked.solved * 8)

    def grade(completions: Any, **_: Any) -> list[float]:
        return [float(i // 8 < solved and i % 2) for i in range(len(completions))]

    common = {"train_dataset": data, "processing_class": tokenizer, "callbacks": [clock]}
    if asked.one == "ours":
        from epiverb.train.sdpo import SDPO
        from epiverb.train.settings import Distillation

        return SDPO(
            model, grade, GRPOConfig(str(home / "out"), **shared), settings=Distillation(teacher="ema"), **common
        )
    from trl.experimental.sdpo import SDPOConfig, SDPOTrainer

    args = SDPOConfig(
        str(home / "out"), **shared, distillation_mode="topk_logits", distillation_topk=100, distillation_add_tail=True,
        distillation_alpha=0.5, distillation_weight=1.0, teacher_model_kind="ema", teacher_update_rate=0.05,
        success_reward_threshold=0.5, dont_reprompt_on_self_success=True, max_prompt_length=2048, max_reprompt_len=4096,
    )  # fmt: skip
    return SDPOTrainer(model, grade, args=args, **common)


if __name__ == "__main__":
    main()
