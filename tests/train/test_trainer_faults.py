"""Faults are said, counted and survived; what a watch is told."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

from epiverb.train.faults import MOST_BAD, TrainingFault
from epiverb.train.grpo import GRPO
from epiverb.train.sdpo import SDPO
from epiverb.train.settings import Distillation
from tests.train.runs import SCRIPT, Kept, gap, load, logged, made, moved, ran, weights


class Poisoned(SDPO):
    """Whose loss is not finite at some steps."""

    bad = (1,)

    def _compute_loss(self, model, inputs):
        loss = super()._compute_loss(model, inputs)
        return loss * torch.nan if self.state.global_step in self.bad else loss


def test_a_step_that_is_not_finite_is_left_out(tmp_path, caplog):
    """Weights, optimizer and teacher stay as they were, and the run goes on."""
    kept = Kept()
    with caplog.at_level(logging.WARNING, logger="epiverb.train"):
        trainer = ran(
            Poisoned,
            tmp_path,
            settings=Distillation(teacher="ema"),
            callbacks=[kept],
            max_steps=3,
            optim="adamw_torch",
            learning_rate=1e-3,
        )
    assert gap(kept.steps[0], kept.steps[1]) == 0
    assert gap(kept.steps[1], kept.steps[2]) > 1e-5
    assert logged(trainer, "faults/nonfinite_gradient") == [1]
    assert trainer.teacher.updates == 2
    assert "step 2: the gradient is not finite; left out." in caplog.text


def test_a_run_that_learns_nothing_stops(tmp_path):
    trainer = made(type("Lost", (Poisoned,), {"bad": range(2, 100)}), tmp_path, max_steps=50)
    with pytest.raises(TrainingFault, match=f"step {2 + MOST_BAD}: {MOST_BAD} steps in a row"):
        trainer.train()


@pytest.mark.parametrize("cls", [GRPO, SDPO])
def test_nothing_to_learn_from(tmp_path, cls, caplog):
    """All responses of each problem are alike, and none is right."""
    with caplog.at_level(logging.INFO, logger="epiverb.train"):
        trainer = ran(cls, tmp_path, script={name: ["wrong"] * 4 for name in SCRIPT}, max_steps=2)
    assert moved(trainer) == 0
    assert logged(trainer, "faults/equal_rewards") == [1, 1]
    assert "step 0: within each problem all rewards are equal." in caplog.text
    if cls is SDPO:
        assert logged(trainer, "faults/no_demonstration") == [1, 1]
        assert "no response has a teacher, such as: no correct solution" in caplog.text


class Notebook:
    """A watch that writes down what it is told."""

    def __init__(self, tokenizer):
        from epiverb.text import lexicon
        from epiverb.train.marks import Marks

        self._marks = Marks(tokenizer, lexicon.load("epiverb-en"))
        self.classes = self._marks.classes
        self.mark = self._marks
        self.rows, self.seen = [], []

    def rollouts(self, step, rows):
        self.rows += [(step, row) for row in rows]

    def tokens(self, step, keys, columns, mask):
        self.seen.append((step, list(keys), {name: value.clone() for name, value in columns.items()}, mask.clone()))

    def metrics(self):
        return {"epiverb/told": float(len(self.seen))}

    def recall(self, keys, ids):
        pass

    def close_step(self, step):
        raise AssertionError("the callback does")

    def callback(self):
        return None


@pytest.mark.parametrize("cls", [GRPO, SDPO])
def test_what_a_watch_is_told(tmp_path, cls):
    watch = Notebook(load()[1])
    shape = {
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 2,
        "steps_per_generation": 4,
        "max_steps": 4,
    }

    def said(completions, log_extra=None, **_):
        log_extra("grade_reason", [f"said {i}" for i in range(len(completions))])
        log_extra("correct", ["right" in each[0]["content"] for each in completions])
        return [float("right" in each[0]["content"]) for each in completions]

    trainer = ran(cls, tmp_path, watch=watch, reward_funcs=said, **shape)
    assert [step for step, _ in watch.rows] == [0] * 16 + [2] * 16
    assert len({row.key for _, row in watch.rows}) == 32
    rows = {row.key: row for _, row in watch.rows}
    one = rows["0-0-1"]
    assert one.marked.text == "wait, maybe wrong"
    assert (one.problem_id, one.benchmark, one.sample, one.reward, one.correct, one.truncated) == (
        "0",
        "sums",
        1,
        0.0,
        False,
        False,
    )
    assert one.grade_reason == "said 1"
    assert one.prompt == "<|im_start|>user\nWhat is 0 + 2?<|im_end|>\n<|im_start|>assistant\n"
    assert one.advantage == pytest.approx(-0.5)
    if cls is SDPO:
        assert (one.has_demo, one.demo, one.context) == (True, "0-0-0", "the answer is right")
        assert (rows["0-0-0"].demo, rows["0-0-4"].demo, rows["0-0-4"].has_demo) == ("0-0-3", None, False)
    else:
        assert (one.has_demo, one.demo) == (None, None)
    assert {step for step, *_ in watch.seen} == {0, 2}
    keys = [key for _, keys, *_ in watch.seen for key in keys]
    assert len(keys) == len(set(keys)) == (32 if cls is GRPO else 22)  # 5 of 16 have no teacher, and no loss
    for _, keys, columns, mask in watch.seen:
        assert mask.sum(1).tolist() == [len(rows[key].ids) for key in keys]
        for name in ("student_logp", "entropy", "weight", "is_weight"):
            assert columns[name].shape == mask.shape
            assert columns[name][mask].isfinite().all()
        if cls is SDPO:
            assert columns["divergence"][mask].gt(0).all()
    assert logged(trainer, "epiverb/told")[-1] == len(watch.seen)
    first, second = (columns["is_weight"][mask] for _, _, columns, mask in (watch.seen[0], watch.seen[-1]))
    assert np.allclose(first, 1, atol=1e-5)
    assert not np.allclose(second, 1, atol=1e-5)


def test_a_watch_changes_nothing(tmp_path):
    watched = ran(SDPO, tmp_path, watch=Notebook(load()[1]), max_steps=2)
    assert gap(weights(watched), weights(ran(SDPO, tmp_path, max_steps=2))) == 0
