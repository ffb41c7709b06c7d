"""A tiny model, problems, and a plain trainer whose every update draws random numbers: a shuffled order and dropout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from epiverb.models.base import Sampling
from epiverb.problems import Problem
from epiverb.train.probes import Probe, Probes

SAMPLING = Sampling(n=2, max_tokens=12, temperature=1.0, seed=3)


def problems(n: int, benchmark: str, domain: str) -> tuple[Problem, ...]:
    return tuple(
        Problem(
            f"{i}",
            benchmark,
            ({"role": "user", "content": f"What is {i} + {'1 + ' * i} 30?"},),
            str(30 + i),
            "exact",
            domain,
        )
        for i in range(n)
    )


PROBES = [Probe("id", problems(3, "sums", "id")), Probe("ood", problems(2, "others", "ood"))]


def loaded(folder: Path, dropout: float = 0.2) -> tuple[Any, Any]:
    """The model in `folder`, and its tokenizer."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder, attention_dropout=dropout)
    return model, AutoTokenizer.from_pretrained(folder)


def trainer(model: Any, tokenizer: Any, out: Path, callbacks: list[Any], *, steps: int = 4, **options: Any) -> Any:
    """A `transformers.Trainer` on a few sentences."""
    from datasets import Dataset
    from transformers import Trainer, TrainingArguments

    texts = [f"Wait, maybe {i} + {j} is {i + j}. Let me check." for i in range(4) for j in range(4)]
    rows = [tokenizer(text, padding="max_length", max_length=40, truncation=True) for text in texts]
    data = Dataset.from_list([{**row, "labels": row["input_ids"]} for row in rows])
    told = {
        "output_dir": str(out / "checkpoints"), "per_device_train_batch_size": 4, "max_steps": steps, "logging_steps": 1,
        "report_to": "none", "save_strategy": "no", "use_cpu": True, "learning_rate": 1e-3, "disable_tqdm": True, "seed": 5,
    }  # fmt: skip
    arguments = TrainingArguments(**{**told, **options})
    return Trainer(model, arguments, train_dataset=data, processing_class=tokenizer, callbacks=callbacks)


def probing(monitor: Any, every: int = 2) -> Probes:
    return Probes(monitor, PROBES, every=every, sampling=SAMPLING)
