"""TRL's own functions as a second implementation of the cores of SDPO and GRPO."""

from __future__ import annotations

from collections import defaultdict
from types import SimpleNamespace

import pytest
import torch

from epiverb.train.advantages import advantages
from epiverb.train.chunked import chunked_divergence
from epiverb.train.losses import aggregate, clip_loss, divergence, importance_weights, sampled_token_loss, token_logps

pytest.importorskip("trl", minversion="1.16", reason="needs TRL as second implementation")
sdpo = pytest.importorskip("trl.experimental.sdpo.loss_utils", reason="needs this TRL's SDPO")
kernel = pytest.importorskip("trl.kernels.chunked_divergence", reason="needs this TRL's kernel")


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.5, 1.0])
def test_divergences(draw, alpha):
    student, teacher = draw(2, 5, 30, grad=True), draw(2, 5, 30)
    pairs = [
        (
            divergence(student, teacher, alpha),
            sdpo.compute_full_logit_self_distillation_loss(student, teacher, distillation_alpha=alpha),
        )
    ]
    for tail in (True, False):
        theirs = sdpo.compute_topk_self_distillation_loss(
            student, teacher, distillation_topk=6, distillation_alpha=alpha, distillation_add_tail=tail
        )
        pairs.append((divergence(student, teacher, alpha, topk=6, tail=tail), theirs))
    for ours, theirs in pairs:
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)
        gradients = [torch.autograd.grad(each.sum(), student, retain_graph=True)[0] for each in (ours, theirs)]
        torch.testing.assert_close(*gradients, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_from_hidden_states(draw, alpha):
    h, W, b = (draw(*shape, dtype=torch.float32, grad=True) for shape in ((9, 8), (50, 8), (50,)))
    h_T, W_T = draw(9, 6, dtype=torch.float32), draw(50, 6, dtype=torch.float32)
    theirs, entropy = kernel.ChunkedDivergenceFunction.apply(h, W, b, h_T, W_T, None, alpha, 0.8, 1.0, 5.0, 1.0, 5.0)
    ours = chunked_divergence(h, W, h_T, W_T, alpha, b_student=b, temperature=0.8, softcap=5.0)
    torch.testing.assert_close(ours.divergence, theirs.detach(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(ours.entropy, entropy, rtol=1e-5, atol=1e-5)
    gradients = [torch.autograd.grad(loss, (h, W, b)) for loss in (ours.loss, theirs.mean())]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_sampled_token_and_importance(draw):
    student, teacher, ids = draw(2, 5, 30, grad=True), draw(2, 5, 30), torch.randint(30, (2, 5))
    old = token_logps(student, ids).detach() + draw(2, 5)
    theirs = sdpo.compute_sampled_token_self_distillation_loss(student, teacher, ids, distillation_alpha=1.0)
    logp = token_logps(student, ids)
    ours = sampled_token_loss(logp, token_logps(teacher, ids))
    torch.testing.assert_close(ours, theirs)
    theirs = sdpo.apply_importance_sampling_clipping(theirs, logp, old, 2.0)
    torch.testing.assert_close(ours * importance_weights(logp, old, clip=2.0), theirs)


class Stub:
    """As much of TRL's trainer as its loss asks for; everything else is a metric."""

    def __init__(self, logp, loss_type):
        self.logp, self.loss_type = logp, loss_type
        self.args = SimpleNamespace(delta=3.0, steps_per_generation=1)
        self.epsilon_low, self.epsilon_high = 0.2, 0.28
        self.importance_sampling_level = "token"
        self.beta, self.top_entropy_quantile, self.current_gradient_accumulation_steps = 0.0, 1.0, 1
        self.off_policy_mask_threshold, self.aux_loss_enabled, self._entropy_bonus_enabled = None, False, False
        self.use_vllm, self.vllm_importance_sampling_correction = True, True
        self.max_completion_length = logp.shape[1]
        self.model = SimpleNamespace(training=True)
        self.accelerator = SimpleNamespace(
            num_processes=1, gather=lambda tensor: tensor, reduce=lambda tensor, reduction: tensor
        )
        self._metrics = {"train": defaultdict(list)}

    def __getattr__(self, name):
        raise AttributeError(f"TRL's loss asks for {name}, which this stub does not have")

    def _get_per_token_logps_and_entropies(self, *args, **kwargs):
        return self.logp, torch.zeros_like(self.logp), None


@pytest.mark.parametrize(
    ("loss_type", "mode", "extra"),
    [("grpo", "verl-effective", 1), ("bnpo", "token-mean", 1), ("dr_grpo", "seq-mean-token-sum-norm", 3)],
)
def test_grpo(draw, loss_type, mode, extra):
    """TRL's `GRPOTrainer._compute_loss` with clip-higher, dual clip and truncated weights of the engine, on a common case."""
    trainer = pytest.importorskip("trl").GRPOTrainer
    logp, old, engine = draw(3, 6, grad=True), draw(3, 6), draw(3, 6)
    mask = torch.ones(3, 6, dtype=torch.float64)
    mask[1, 4:] = 0
    advantage = torch.tensor([1.0, -0.7, -0.3], dtype=torch.float64)
    weights = importance_weights(old, engine, mask=mask)
    inputs = {
        "prompt_ids": torch.zeros(3, 2, dtype=torch.long), "prompt_mask": torch.ones(3, 2),
        "completion_ids": torch.zeros(3, 6, dtype=torch.long), "completion_mask": mask,
        "advantages": advantage, "old_per_token_logps": old, "importance_sampling_ratio": weights,
    }  # fmt: skip
    theirs = trainer._compute_loss(Stub(logp, loss_type), None, inputs)
    ours = aggregate(clip_loss(logp, old, advantage) * weights, mask, mode) / extra
    torch.testing.assert_close(ours, theirs)
    gradients = [torch.autograd.grad(loss, logp)[0] for loss in (ours, theirs)]
    torch.testing.assert_close(*gradients)


def test_advantages(draw):
    """The lines of TRL's trainer that make advantages, by its own nanstd."""
    from trl.trainer.utils import nanstd

    rewards = draw(12)
    rewards[4] = torch.nan
    grouped = rewards.view(-1, 4)
    gaps = rewards - torch.nanmean(grouped, 1).repeat_interleave(4)
    for scale, std in (
        ("group", nanstd(grouped, dim=1).repeat_interleave(4)),
        ("batch", nanstd(rewards)),
        (None, None),
    ):
        theirs = gaps if std is None else gaps / (std + 1e-4)
        torch.testing.assert_close(advantages(rewards, 4, scale, eps=1e-4), theirs.nan_to_num(0))
