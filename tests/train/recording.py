"""A training run written by hand: responses as ids, rollouts with rewards, token columns with known numbers."""

from __future__ import annotations

from pathlib import Path

import torch

from epiverb.train.monitor import Monitor
from epiverb.train.watch import Rollout
from tests.models.tiny import tiny_tokenizer

TEXTS = (
    "<think>\nWait, maybe it is 4.\n</think>\n\nSo the answer is \\boxed{4}.",
    "<think>\nClearly 5.\n</think>\n\nTherefore \\boxed{5}.",
    "<think>\nLet me check. Hmm, perhaps",
)
TOKENIZER = tiny_tokenizer()


def monitor(out: Path, **options) -> Monitor:
    return Monitor(out, TOKENIZER, **options)


def ids_of(texts=TEXTS) -> list[list[int]]:
    """The ids; those of a text that does not end in "perhaps" with the end of the turn."""
    return [TOKENIZER.encode(t) + [TOKENIZER.eos_token_id] * (not t.endswith("perhaps")) for t in texts]


def rollouts(step: int, texts=TEXTS, rank: int = 0, **more) -> list[Rollout]:
    """One row a text; the first is right, the second wrong, the third was cut off and could not be graded."""
    facts = [
        {"reward": 1.0, "correct": True, "truncated": False, "grade_reason": "boxed", "answer": "4"},
        {"reward": 0.0, "correct": False, "truncated": False, "grade_reason": "boxed", "answer": "5"},
        {"reward": None, "correct": None, "truncated": True, "grade_reason": "cut off"},
    ]
    return [
        Rollout(
            f"{step}-{rank}-{i}", ids, problem_id="sum-1", benchmark="sums", sample=3 * rank + i, prompt="2 + 2?", gold="4",
            advantage=0.5 - i if i < 2 else None, has_demo=i == 1, demo=f"{step}-{rank}-0" if i == 1 else None, trimmed=2 * i,
            **facts[i % 3], **more,
        )
        for i, ids in enumerate(ids_of(texts))
    ]  # fmt: skip


def padded(rows: list[Rollout]) -> torch.Tensor:
    """Mask of the rows' tokens."""
    width = max(len(row.ids) for row in rows)
    return torch.tensor([[1] * len(row.ids) + [0] * (width - len(row.ids)) for row in rows])


def run_step(watch: Monitor, step: int, rank: int = 0) -> dict[str, torch.Tensor]:
    """One step as a trainer takes it: two micro-batches and a padding row; the columns come back."""
    rows = rollouts(step, rank=rank)
    watch.rollouts(step, rows)
    mask = padded(rows)
    source = torch.Generator().manual_seed(step + 100 * rank)
    columns = {name: torch.rand(mask.shape, generator=source) for name in ("divergence", "student_logp")}
    columns["divergence"][0, 1] = torch.nan
    keys = [row.key for row in rows]
    for part in (slice(0, 1), slice(1, 3)):
        watch.tokens(step, keys[part], {name: values[part] for name, values in columns.items()}, mask[part])
    watch.tokens(step, ["", ""], {"divergence": torch.ones(2, 3)}, torch.zeros(2, 3))
    return columns
