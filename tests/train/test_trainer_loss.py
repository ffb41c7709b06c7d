"""What the trainers optimise: sums over batches, remedies, unknown grades, and a student who meets its teacher."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from epiverb.errors import ConfigError
from epiverb.train.grpo import GRPO
from epiverb.train.sdpo import SDPO
from epiverb.train.settings import Distillation, Policy
from tests.train.runs import SCRIPT, gap, grade, load, logged, made, moved, problems, ran, weights

ACCUMULATED = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 8}
FAILED = {"0": ["right", "wait wait", "maybe", "hmm"]}
"""Nothing but markers, one response aside."""


@pytest.mark.parametrize("aggregate", ["verl-effective", "token-mean", "seq-mean-token-mean"])
def test_accumulation_is_one_big_batch(tmp_path, aggregate):
    settings, policy = Distillation(blend=0.3, aggregate=aggregate), Policy(aggregate=aggregate)
    whole = ran(SDPO, tmp_path, settings=settings, policy=policy)
    parts = ran(SDPO, tmp_path, settings=settings, policy=policy, **ACCUMULATED)
    assert moved(whole) > 1e-3
    assert gap(weights(whole), weights(parts)) < 1e-5 * moved(whole)
    assert logged(whole, "loss") == pytest.approx(logged(parts, "loss"), rel=1e-4)


def test_several_steps_on_one_generation_are_those_of_their_batches(tmp_path):
    """Two optimizer steps of eight responses: the sum over each step's own tokens, not over those of the generation."""
    settings = Distillation(aggregate="token-mean")
    shape = {"steps_per_generation": 2, "max_steps": 2, "per_device_train_batch_size": 8}
    whole = ran(SDPO, tmp_path, settings=settings, **shape)
    shape |= {"gradient_accumulation_steps": 4, "per_device_train_batch_size": 2, "steps_per_generation": 8}
    parts = ran(SDPO, tmp_path, settings=settings, **shape)
    assert gap(weights(whole), weights(parts)) < 1e-5 * moved(whole)


def test_the_student_meets_its_teacher(tmp_path):
    shape = {"max_steps": 40, "learning_rate": 4e-4, "optim": "adamw_torch", "lr_scheduler_type": "linear"}
    divergence = logged(ran(SDPO, tmp_path, settings=Distillation(topk=None), **shape), "distill/divergence")
    assert divergence[-1] < 0.25 * divergence[0]
    assert divergence[-1] < divergence[20] < divergence[10] < divergence[0]


def test_preserved_markers_leave_no_gradient(tmp_path):
    """Responses of markers alone move nothing; on any others the gradient is 0 at the markers and nowhere else."""
    one = {"num_generations": 4, "per_device_train_batch_size": 4}
    data = problems(1)
    free = ran(SDPO, tmp_path, script=FAILED, data=data, **one)
    kept = ran(SDPO, tmp_path, script=FAILED, data=data, settings=Distillation(weights="preserve"), **one)
    assert moved(free) > 1e-4
    ids = kept.rollout_func.tokenizer.eos_token_id  # only the end of the turn is no marker
    assert gap(weights(kept), weights(free)) > 1e-5
    gradients, masks = [], []

    def look(module, args, output):
        output.register_hook(lambda gradient: gradients.append(gradient.detach()))

    for settings in (Distillation(weights="preserve"), Distillation(weights="preserve", blend=0.5)):
        trainer = made(SDPO, tmp_path, script=FAILED, data=data, settings=settings, **one)
        inner = trainer._distilling

        def saw(batch, mask, n_rows, inner=inner):
            masks.append((batch["markers"], mask.bool(), batch["completion_ids"]))
            return inner(batch, mask, n_rows)

        trainer._distilling = saw
        trainer.model.model.norm.register_forward_hook(lambda *seen: look(*seen) if seen[2].requires_grad else None)
        trainer.train()
    for gradient, (markers, mask, tokens) in zip(gradients, masks, strict=True):
        at = gradient[:, -tokens.shape[1] - 1 : -1].abs().sum(-1)
        assert (markers & mask).sum() > 3
        assert at[markers & mask].eq(0).all()
        assert at[mask & ~markers & (tokens == ids)].gt(0).any()


def test_grpo_with_preserved_markers(tmp_path):
    script = {"0": ["wait wait", "maybe maybe", "right", "hmm"]}
    data = problems(1)
    shape = {"script": script, "data": data, "per_device_train_batch_size": 4, "max_completion_length": 16}
    free, kept, half = (
        ran(GRPO, tmp_path, settings=Policy(weights=spec), **shape) for spec in ("none", "preserve", "preserve:1")
    )
    assert gap(weights(free), weights(half)) == 0
    assert gap(weights(free), weights(kept)) > 1e-4


def test_unknown_grades_are_dropped_and_counted(tmp_path):
    """What is not graded has no advantage, is no demonstration, and does not count in the mean of its group."""
    script = SCRIPT | {"0": ["unknown: right", "wrong", "right", "wrong"]}
    trainer = made(SDPO, tmp_path, script=script, settings=Distillation(blend=0.5))
    held = []
    inner = trainer._teach
    trainer._teach = lambda sampled, output: held.append((sampled, inner(sampled, output))) or held[-1][1]
    trainer.train()
    sampled, lessons = held[0]
    assert sampled.rewards[:4].tolist() == pytest.approx([float("nan"), 0, 1, 0], nan_ok=True)
    assert sampled.advantages[:4].tolist() == pytest.approx([0, -1 / 3, 2 / 3, -1 / 3])
    assert [lesson.demonstration and lesson.demonstration.index for lesson in lessons[:4]] == [2, 2, None, 2]
    assert logged(trainer, "rewards/unknown") == [1 / 16]
    assert logged(trainer, "faults/unknown_grades") == [1]


def test_routing_divides_responses(tmp_path):
    """Responses that failed and have a teacher give SDPO's gradient, all others GRPO's: the sum of two runs' steps."""
    trainer = ran(SDPO, tmp_path, settings=Distillation(weights="routing"))
    start = {name: p.detach() for name, p in load()[0].named_parameters()}

    class OnlyFailed(SDPO):
        def _teach(self, sampled, output):
            lessons = super()._teach(sampled, output)
            output["taught"] = output["taught"] & (output["rewards"] < 0.5)
            return lessons

    class AllOthers(GRPO):
        def _generate_and_score_completions(self, inputs):
            output = super()._generate_and_score_completions(inputs)
            failed = [problem != "1" and "right" not in text for problem, texts in SCRIPT.items() for text in texts]
            output["advantages"] = output["advantages"].masked_fill(torch.tensor(failed), 0)
            return output

    one, other = (weights(ran(cls, tmp_path)) for cls in (OnlyFailed, AllOthers))
    both = {name: one[name] + other[name] - start[name] for name in start}
    assert gap(weights(trainer), both) < 1e-4 * moved(trainer)


@pytest.mark.parametrize("spec", ["magnitude:0", "magnitude:mix=0"])
def test_magnitude_without_teacher_is_grpo(tmp_path, spec):
    one, other = ran(SDPO, tmp_path, settings=Distillation(weights=spec)), ran(GRPO, tmp_path)
    assert gap(weights(one), weights(other)) < 1e-5 * moved(other)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The weights that two plain steps lead to."""
    return weights(ran(SDPO, tmp_path_factory.mktemp("plain"), max_steps=2))


@pytest.mark.parametrize(
    "settings",
    [
        Distillation(weights="contrast"),
        Distillation(weights="contrast", contrast="unrelated@sdpo-yaml", blend=0.5),
        Distillation(weights="magnitude"),
        Distillation(weights="kl-clip:0.001"),
        Distillation(weights="teacher-entropy+position"),
        Distillation(weights="preserve:0.5+contrast", teacher="ema"),
        Distillation(teacher="trust-region", rate=0.3, weights="position:1.5"),
        Distillation(teacher="live", alpha=0.0, topk=None, entry_clip=0.01),
        Distillation(choose="most-markers", context="solution-no-think@sdpo-yaml"),
        Distillation(sources=("dataset",), choose="random", weights="marker-reward", blend=1.0),
    ],
    ids=lambda settings: f"{settings.teacher} {settings.weights} {settings.choose}",
)
def test_every_remedy_runs(tmp_path, settings, plain):
    """Each changes what is learnt, and leaves it finite."""
    data = problems().add_column("solution", [f"It is {i}." for i in range(4)])
    trainer = ran(
        SDPO,
        tmp_path,
        settings=settings,
        data=data,
        max_steps=2,
        gradient_accumulation_steps=2,
        per_device_train_batch_size=8,
    )
    assert all(np.isfinite(logged(trainer, "loss")))
    assert all(tensor.isfinite().all() for tensor in weights(trainer).values())
    assert gap(weights(trainer), plain) > 1e-6


def test_a_contrast_is_shown_and_counts(tmp_path):
    """Where right and wrong context are the same there is nothing to learn; problem 3 has two of both."""
    script = {"0": ["right", "wrong", "wrong", "right"]}
    data = problems(1)
    trainer = made(
        SDPO,
        tmp_path,
        script=script,
        data=data,
        per_device_train_batch_size=4,
        settings=Distillation(weights="contrast"),
    )
    shown = []
    inner = trainer._inputs
    trainer._inputs = lambda output, name, lessons: shown.append((name, lessons)) or inner(output, name, lessons)
    trainer.train()
    (_, right), (_, wrong) = shown
    assert [lesson.demonstration.text for lesson in right] == ["right"] * 4
    assert [lesson.demonstration.index for lesson in right] == [3, 0, 0, 0]
    assert [lesson.demonstration.index for lesson in wrong] == [1, 2, 1, 1]
    same = ran(
        SDPO,
        tmp_path,
        script={"0": ["right"] * 4},
        data=data,
        per_device_train_batch_size=4,
        settings=Distillation(weights="contrast"),
    )
    assert moved(same) == 0
    assert logged(same, "faults/no_demonstration") == [1]


def test_a_reward_for_markers_is_logged_and_no_success(tmp_path):
    trainer = ran(GRPO, tmp_path, settings=Policy(weights="marker-reward:target=500,scale=0.4"))
    assert logged(trainer, "rewards/MarkerReward/mean")[0] < 0
    plain = ran(GRPO, tmp_path)
    assert gap(weights(trainer), weights(plain)) > 1e-4
    taught = ran(SDPO, tmp_path, settings=Distillation(weights="marker-reward:target=500,scale=0.9"))
    assert logged(taught, "self_distillation/success_sample_fraction") == [11 / 16]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda at: made(GRPO, at, settings=Policy(weights="kl-clip")), "kl-clip.* needs divergence, which only SDPO has"),
        (lambda at: made(GRPO, at, settings=Policy(weights="routing")), "routing.* only SDPO has"),
        (lambda at: made(GRPO, at, settings=Policy(weights="position")), "weighs the divergence only"),
        (lambda at: made(GRPO, at, beta=0.1), "beta=0.1 in the trainer's arguments contradicts the settings: set beta there"),
        (lambda at: made(GRPO, at, top_entropy_quantile=0.2), "top_entropy_quantile=0.2 is an option of TRL's own loss"),
        (lambda at: made(SDPO, at, policy=Policy(weights="preserve")), "are those of the distillation"),
        (lambda at: made(SDPO, at, settings=Distillation(weights="contrast", teacher="trust-region")), "needs one teacher"),
        (lambda at: made(SDPO, at, settings=Distillation(weights="contrast", contrast="solution")), "neither a wrong nor an unrelated"),
        (lambda at: Distillation(alpha=2), "alpha is 2; it lies between 0 and 1"),
        (lambda at: Policy(scale="groups"), "unknown scale 'groups'. Did you mean 'group'?"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_said(tmp_path, make, message):
    with pytest.raises(ConfigError, match=message):
        make(tmp_path)


def test_a_trl_that_changed_is_said(tmp_path, monkeypatch):
    import trl

    monkeypatch.delattr(trl.GRPOTrainer, "_generate_and_score_completions")
    with pytest.raises(
        ConfigError, match=r"GRPOTrainer._generate_and_score_completions\(inputs\).*it is not there.*trl==1.16"
    ):
        made(GRPO, tmp_path)
    monkeypatch.undo()
    monkeypatch.setattr(trl.GRPOTrainer, "_compute_loss", lambda self, batch: None)
    with pytest.raises(ConfigError, match="it takes batch"):
        made(SDPO, tmp_path)


def test_a_long_demonstration_is_cut_and_nothing_else(tmp_path):
    trainer = made(
        SDPO,
        tmp_path,
        settings=Distillation(max_reprompt=60),
        script=SCRIPT | {"0": ["right " + "so it is " * 50, "wrong", "wrong", "wrong"]},
    )
    held = []
    inner = trainer._teach
    trainer._teach = lambda sampled, output: held.append(inner(sampled, output)) or held[-1]
    trainer.train()
    lesson = held[0][1]
    text = trainer._tokenizer.decode(lesson.ids)
    assert len(lesson.ids) <= 60
    assert lesson.prompt.trimmed > 50
    assert text.startswith("<|im_start|>user\nWhat is 0 + 2?\nCorrect solution:\n\nright so it is")
    assert text.endswith("\n\nCorrectly solve the original question.<|im_end|>\n<|im_start|>assistant\n")
    assert logged(trainer, "self_distillation/trimmed_fraction") == [3 / 16]


def test_plain_text_prompts(tmp_path):
    """A base model's prompts are texts; the teacher's is one, too."""
    from datasets import Dataset

    data = Dataset.from_list([{"prompt": f"What is {i} + 2?"} for i in range(4)])
    trainer = ran(
        SDPO,
        tmp_path,
        script=None,
        data=data,
        reward_funcs=lambda completions, **_: [float(i % 3 == 0) for i in range(len(completions))],
    )
    assert logged(trainer, "distill/divergence")[0] > 0
    assert grade(["right"]) == [1.0]
