"""SFT is TRL's, told by token class; it continues where it stopped."""

from __future__ import annotations

import numpy as np
import pytest
from datasets import Dataset
from trl import SFTConfig, SFTTrainer

from epiverb.train.resume import last_checkpoint
from epiverb.train.sft import SFT
from tests.train.runs import gap, load, logged, weights
from tests.train.test_trainer_faults import Notebook
from tests.train.test_trainer_resume import Stop

ROWS = [
    {
        "prompt": [{"role": "user", "content": f"What is {i} + 2?"}],
        "completion": [{"role": "assistant", "content": f"Wait, let me check: maybe {i}. So it is {i}."}],
    }
    for i in range(6)
]


def made(cls, at, *, rows=ROWS, watch=None, callbacks=None, **more):
    model, tokenizer = load()
    usual = {
        "per_device_train_batch_size": 2, "max_steps": 3, "learning_rate": 1e-3, "logging_steps": 1, "save_strategy": "no",
        "report_to": "none", "use_cpu": True, "bf16": False, "gradient_checkpointing": False, "disable_tqdm": True,
    }  # fmt: skip
    args = SFTConfig(str(at), **usual | more)
    extra = {"watch": watch} if cls is SFT else {}
    return cls(
        model, args, train_dataset=Dataset.from_list(rows), processing_class=tokenizer, callbacks=callbacks, **extra
    )


def test_it_is_trls_and_tells_each_class(tmp_path):
    watch = Notebook(load()[1])
    ours, theirs = made(SFT, tmp_path / "a", watch=watch), made(SFTTrainer, tmp_path / "b")
    ours.train()
    theirs.train()
    assert gap(weights(ours), weights(theirs)) == 0
    assert logged(ours, "sft/nll") == pytest.approx(logged(ours, "loss"), rel=1e-4)
    assert len({row.key for _, row in watch.rows}) == 6
    assert all("Wait, let me check" in row.marked.text for _, row in watch.rows)
    rows = {row.key: row for _, row in watch.rows}
    _, keys, columns, mask = watch.seen[0]
    total = sum(-columns["student_logp"][mask].sum().item() for _, _, columns, mask in watch.seen[:1])
    assert total / int(mask.sum()) == pytest.approx(logged(ours, "loss")[0], rel=1e-5)
    of_class = {name: [] for name in watch.classes}
    for key, logp, kept in zip(keys, columns["student_logp"], mask, strict=True):
        for index, value in zip(rows[key].marked.classes, logp[kept].tolist(), strict=True):
            of_class[watch.classes[index]].append(-value)
    assert len(of_class["reconsideration"]) >= 2  # Wait
    assert len(of_class["uncertainty"]) >= 2  # maybe
    assert all(np.isfinite(values).all() for values in of_class.values() if values)


def test_packed_rows_are_told_document_by_document(tmp_path):
    """Two documents in a row of the batch are two responses to the watch."""
    watch = Notebook(load()[1])
    texts = [{"text": f"Wait, it is {i}. Perhaps {i} is right."} for i in range(6)]
    trainer = made(
        SFT, tmp_path, rows=texts, watch=watch, packing=True, max_length=40, max_steps=1, per_device_train_batch_size=4
    )
    trainer.train()
    found = [row.marked.text for _, row in watch.rows]
    assert len(found) >= 2
    assert all(text.count("Perhaps") <= 1 for text in found)
    assert sum(mask.sum().item() for *_, mask in watch.seen) == sum(len(row.ids) for _, row in watch.rows)


@pytest.mark.parametrize("at", [4])
def test_it_continues(tmp_path, at):
    """Stopped in the second epoch."""
    shape = {"max_steps": 6}
    whole = made(SFT, tmp_path / "whole", **shape)
    whole.train()
    made(SFT, tmp_path / "parts", callbacks=[Stop(at)], **shape).train()
    rest = made(SFT, tmp_path / "parts", **shape)
    rest.train(resume_from_checkpoint=str(last_checkpoint(tmp_path / "parts")))
    assert gap(weights(rest), weights(whole)) == 0
    assert logged(rest, "loss") == logged(whole, "loss")
