"""The divergence from hidden states: equal to the naive one, exact where bfloat16 logits are not, and small."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from epiverb.errors import ConfigError
from epiverb.train.chunked import chunked_divergence
from epiverb.train.logps import chunked_logps
from epiverb.train.losses import aggregate, clip_loss, divergence, importance_weights, shares, token_logps

DOUBLE = torch.float64


def heads(draw, vocabulary=40, width=8, teacher_width=6):
    return draw(vocabulary, width, grad=True), draw(vocabulary, teacher_width)


@pytest.mark.parametrize("alpha", [0, 0.3, 0.5, 1])
@pytest.mark.parametrize(
    "options",
    [
        {}, {"topk": 5}, {"topk": 5, "tail": False}, {"entry_clip": 0.01}, {"topk": 5, "entry_clip": 0.01},
        {"temperature": 0.7},
    ],
)  # fmt: skip
@pytest.mark.parametrize("chunk", [1, 4, 100])
def test_equals_the_naive_path(draw, alpha, options, chunk):
    h, h_T = draw(2, 7, 8, grad=True), draw(2, 7, 6)
    W, W_T = heads(draw)
    mask = torch.ones(2, 7)
    mask[0, 5:] = 0
    naive = divergence(h @ W.T, h_T @ W_T.T, alpha, **options)
    loss = aggregate(naive, mask, "verl-effective")
    share = shares(mask, "verl-effective")
    ours = chunked_divergence(h, W, h_T, W_T, alpha, mask=mask, weights=share, chunk=chunk, **options)
    torch.testing.assert_close(ours.loss, loss)
    torch.testing.assert_close(ours.divergence[mask > 0], naive[mask > 0].detach())
    for one, other in zip(
        torch.autograd.grad(3 * ours.loss, (h, W)), torch.autograd.grad(3 * loss, (h, W)), strict=True
    ):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("options", [{"alpha": 0}, {"alpha": 0.5}, {"alpha": 1}, {"topk": 3}, {"softcap": 2.0}])
def test_gradient_by_differences(draw, options):
    h, W, b = draw(5, 4, grad=True), draw(9, 4, grad=True), draw(9, grad=True)
    h_T, W_T, b_T = draw(5, 4), draw(9, 4), draw(9)
    weights = draw(5).abs()

    def loss(h, W, b):
        settings = {"weights": weights, "b_student": b, "b_teacher": b_T, "chunk": 2, **options}
        return chunked_divergence(h, W, h_T, W_T, **settings).loss

    assert torch.autograd.gradcheck(loss, (h, W, b))


@pytest.mark.parametrize("alpha", [0, 0.5, 1])
@pytest.mark.parametrize("gap", [0.1, 0.5])
def test_single_precision_is_as_good_as_it_gets(draw, alpha, gap):
    """The loss is right to 1e-6, where the naive one in single precision is not always; so are gradients, relatively."""
    h, W = draw(32, 64), draw(3000, 64) / 4
    h_T = h + gap * draw(32, 64)

    def single(x):
        return x.float().clone()

    truth_h, truth_W = h.clone().requires_grad_(), W.clone().requires_grad_()
    truth = divergence(truth_h @ truth_W.T, h_T @ W.T, alpha).mean()
    expected = torch.autograd.grad(truth, (truth_h, truth_W))
    ours_h, ours_W = single(h).requires_grad_(), single(W).requires_grad_()
    ours = chunked_divergence(ours_h, ours_W, single(h_T), single(W), alpha, chunk=7).loss
    assert ours.item() == pytest.approx(truth.item(), rel=1e-6)
    for one, other in zip(torch.autograd.grad(ours, (ours_h, ours_W)), expected, strict=True):
        assert ((one - other).norm() / other.norm()).item() < 1e-5


def bfloat16_case(draw):
    h = draw(32, 64).bfloat16()
    W = (draw(2000, 64) / 4).bfloat16()
    return h, W, (h.double() + 0.02 * draw(32, 64)).bfloat16()


def test_bfloat16_keeps_the_gradient(draw):
    """Rounded logits cost percents of the gradient; products of bfloat16 summed in float32 cost nothing.

    The head is held in float32 so that its gradient is not rounded in the end; its values are bfloat16's.
    """
    h, W, h_T = bfloat16_case(draw)
    truth_W = W.double().requires_grad_()
    truth = divergence(h.double() @ truth_W.T, h_T.double() @ W.double().T, 0.5).mean()
    (expected,) = torch.autograd.grad(truth, truth_W)

    def off(gradient):
        return ((gradient.double() - expected).norm() / expected.norm()).item()

    rounded_W = W.clone().requires_grad_()
    rounded = divergence(h @ rounded_W.T, h_T @ W.T, 0.5).mean()
    assert off(torch.autograd.grad(rounded, rounded_W)[0]) > 0.03
    ours_W = W.float().requires_grad_()
    ours = chunked_divergence(h, ours_W, h_T, W, 0.5)
    assert off(torch.autograd.grad(ours.loss, ours_W)[0]) < 1e-3
    assert ours.loss.item() == pytest.approx(truth.item(), rel=1e-5)


def test_bfloat16_gradients_are_rounded_once(draw):
    """What comes back in bfloat16 is the exact gradient rounded to it, and no further off than that."""
    h, W, h_T = bfloat16_case(draw)
    exact_h = h.double().requires_grad_()
    exact = divergence(exact_h @ W.double().T, h_T.double() @ W.double().T, 0.5).mean()
    (expected,) = torch.autograd.grad(exact, exact_h)
    ours_h = h.clone().requires_grad_()
    ours = chunked_divergence(ours_h, W, h_T, W, 0.5).loss
    (gradient,) = torch.autograd.grad(ours, ours_h)
    assert gradient.dtype == torch.bfloat16
    rounding = (expected.bfloat16().double() - expected).norm()
    assert (gradient.double() - expected).norm() < 1.01 * rounding


def test_autocast_does_not_round(draw):
    h, W, h_T = draw(8, 16).float(), draw(50, 16).float(), draw(8, 16).float()
    plain = chunked_divergence(h, W, h_T, W, 0.5).loss
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(chunked_divergence(h, W, h_T, W, 0.5).loss, plain)


def test_float16_gradients_survive_until_the_loss_scale(draw):
    """A token's share in a long batch is below the least number of float16; its scaled gradient is not."""
    h, W = (draw(4, 8) / 2).half().requires_grad_(), draw(20, 8).half()
    share = torch.full((4,), 1e-7)
    loss = chunked_divergence(h, W, draw(4, 8).half(), W, 0.5, weights=share).loss
    (gradient,) = torch.autograd.grad(loss * 2.0**16, h)
    assert gradient.dtype == torch.float16
    assert (gradient != 0).float().mean() > 0.9


def test_what_is_logged(draw):
    h, h_T = draw(2, 5, 8), draw(2, 5, 6)
    W, W_T = heads(draw)
    ids, markers = torch.randint(40, (2, 5)), torch.tensor([3, 7, 11])
    mask = torch.tensor([[1, 1, 1, 1, 0], [1, 1, 0, 0, 0]])
    ours = chunked_divergence(h, W, h_T, W_T, 0.5, ids=ids, mask=mask, mass_ids=markers, temperature=0.8, chunk=3)
    logp_s, logp_t = torch.log_softmax(h @ W.T / 0.8, -1), torch.log_softmax(h_T @ W_T.T / 0.8, -1)
    expected = {
        "divergence": divergence(h @ W.T, h_T @ W_T.T, 0.5, temperature=0.8),
        "entropy": -(logp_s.exp() * logp_s).sum(-1),
        "teacher_entropy": -(logp_t.exp() * logp_t).sum(-1),
        "student_logp": token_logps(h @ W.T, ids, temperature=0.8),
        "teacher_logp": token_logps(h_T @ W_T.T, ids, temperature=0.8),
        "student_mass": logp_s.exp()[..., markers].sum(-1),
        "teacher_mass": logp_t.exp()[..., markers].sum(-1),
        "weight": torch.full((2, 5), 1 / 6, dtype=DOUBLE),
    }
    for name, values in expected.items():
        logged = getattr(ours, name)
        assert not logged.requires_grad
        torch.testing.assert_close(logged[mask > 0], values[mask > 0].detach())
        assert logged[mask == 0].isnan().all()
    plain = chunked_divergence(h, W, h_T, W_T, 0.5)
    assert plain.student_logp is None
    assert plain.student_mass is None


def test_importance_ratio_and_weigh(draw):
    h, h_T = draw(2, 5, 8, grad=True), draw(2, 5, 6)
    W, W_T = heads(draw)
    ids, old = torch.randint(40, (2, 5)), -draw(2, 5).abs() * 3
    seen_places = []

    def weigh(seen):
        seen_places.append(seen.at)
        return 1 + seen.teacher_entropy * seen.divergence

    ours = chunked_divergence(h, W, h_T, W_T, 0.5, ids=ids, old_logp=old, is_clip=1.5, weigh=weigh, chunk=4)
    each = divergence(h @ W.T, h_T @ W_T.T, 0.5)
    ratio = importance_weights(token_logps(h @ W.T, ids), old, clip=1.5)
    factor = 1 + (ours.teacher_entropy * each).detach()
    loss = (each * ratio * factor).mean()
    torch.testing.assert_close(ours.loss, loss)
    torch.testing.assert_close(ours.weight, ratio * factor / 10)
    assert torch.cat(seen_places).tolist() == list(range(10))
    for one, other in zip(torch.autograd.grad(ours.loss, (h, W)), torch.autograd.grad(loss, (h, W)), strict=True):
        torch.testing.assert_close(one, other)


def test_teachers_are_mixed_in_their_logits(draw):
    h, W = draw(6, 8, grad=True), draw(30, 8)
    first, second = (draw(6, 4), draw(30, 4)), (draw(6, 8), draw(30, 8))
    ours = chunked_divergence(h, W, [first[0], second[0]], [first[1], second[1]], 1, teacher_mix=(0.7, 0.3), chunk=4)
    mixture = 0.7 * first[0] @ first[1].T + 0.3 * second[0] @ second[1].T
    torch.testing.assert_close(ours.loss, divergence(h @ W.T, mixture, 1).mean())


def test_bias_and_softcap(draw):
    h, W, b = draw(6, 8, grad=True), draw(30, 8, grad=True), draw(30, grad=True)
    h_T, W_T, b_T = draw(6, 5), draw(30, 5), draw(30)
    student, teacher = 3 * torch.tanh((h @ W.T + b) / 3), 3 * torch.tanh((h_T @ W_T.T + b_T) / 3)
    loss = divergence(student, teacher, 0.5, temperature=0.9).mean()
    ours = chunked_divergence(
        h, W, h_T, W_T, 0.5, b_student=b, b_teacher=b_T, softcap=3.0, temperature=0.9, chunk=4
    ).loss
    torch.testing.assert_close(ours, loss)
    for one, other in zip(torch.autograd.grad(ours, (h, W, b)), torch.autograd.grad(loss, (h, W, b)), strict=True):
        torch.testing.assert_close(one, other)


def test_a_frozen_head_gets_no_gradient_and_tied_weights_get_both(draw):
    h, W, h_T = draw(6, 8, grad=True), draw(30, 8), draw(6, 8)
    chunked_divergence(h, W, h_T, W).loss.backward()
    assert W.grad is None
    tied = draw(30, 8, grad=True)
    ids = torch.arange(6)
    ours = chunked_divergence(tied[ids], tied, h_T, W).loss
    naive = divergence(tied[ids] @ tied.T, h_T @ W.T, 0.5).mean()
    torch.testing.assert_close(torch.autograd.grad(ours, tied)[0], torch.autograd.grad(naive, tied)[0])


def test_nothing_to_look_at_still_reaches_every_parameter(draw):
    """A process without a demonstration must take part in the backward, or the others wait for it."""
    h, W = draw(2, 3, 8, grad=True), draw(30, 8, grad=True)
    loss = chunked_divergence(h, W, draw(2, 3, 8), W.detach(), mask=torch.zeros(2, 3)).loss
    loss.backward()
    assert loss.item() == 0
    assert h.grad.abs().sum() == 0
    assert W.grad.abs().sum() == 0


def test_no_gradient_is_taken_where_none_is_wanted(draw):
    h, W = draw(6, 8, grad=True), draw(30, 8, grad=True)
    with torch.no_grad():
        assert not chunked_divergence(h, W, draw(6, 8), W).loss.requires_grad


def test_extreme_logits_stay_finite():
    """Teacher and student each sure of another token, as far as single precision goes."""
    h = torch.tensor([[300.0, 0.0]], requires_grad=True)
    W = torch.eye(2)
    for alpha in (0, 0.5, 1):
        ours = chunked_divergence(h, W, torch.tensor([[0.0, 300.0]]), W, alpha)
        (gradient,) = torch.autograd.grad(ours.loss, h)
        expected = {0: 300.0, 0.5: 0.6931472, 1: 300.0}[alpha]
        assert ours.loss.item() == pytest.approx(expected, rel=1e-5)
        assert gradient.isfinite().all()


def test_bad_input(draw):
    h, W, h_T = draw(2, 3, 8), draw(30, 8), draw(2, 3, 8)
    wrong = [
        ((h, W, h_T, draw(31, 8)), {}, "the teacher's vocabulary has 31 tokens, the student's 30"),
        ((h, W, draw(2, 4, 8), W), {}, r"the teacher's tokens are \(2, 4\)"),
        ((h, W, h_T, draw(30, 9)), {}, "width 8, their head 9"),
        ((h, W, h_T, W), {"mask": torch.ones(3, 2)}, r"mask is \(3, 2\), the tokens are \(2, 3\)"),
        ((h, W, h_T, W), {"old_logp": torch.zeros(2, 3)}, "give ids"),
        ((h, W, h_T, W, 2), {}, "alpha is 2"),
        ((h, W, h_T, W), {"topk": 31}, "topk is 31"),
        ((h, W, [h_T, h_T], [W, W]), {}, "give teacher_mix"),
        ((h, W, [h_T, h_T], [W]), {"teacher_mix": (1, 0)}, "2 hidden states, 1 heads"),
    ]
    for args, options, message in wrong:
        with pytest.raises(ConfigError, match=message):
            chunked_divergence(*args, **options)


MEMORY = """
import resource, torch
torch.set_num_threads(1)
from epiverb.train.chunked import chunked_divergence
h, W, ids = torch.randn(500, 16, requires_grad=True), torch.randn(60_000, 16), torch.zeros(500, dtype=torch.long)
chunked_divergence(h[:1], W, h[:1].detach(), W, ids=ids[:1]).loss.backward()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
chunked_divergence(h, W, torch.randn(500, 16), W, ids=ids, chunk=16).loss.backward()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is counted in kilobytes on Linux")
def test_there_is_never_a_tensor_of_tokens_by_vocabulary():
    """One would be 114 MiB; the naive path needs thirteen."""
    grown = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True).stdout
    assert int(grown) / 1024 < 60


@pytest.mark.parametrize("options", [{}, {"topk": 4}, {"softcap": 3.0}])
def test_a_policy_loss_is_taken_in_the_same_pass(draw, options):
    """GRPO's and the divergence, each on its own tokens, as routing wants it."""
    h, W, h_T = draw(2, 5, 8, grad=True), draw(30, 8, grad=True), draw(2, 5, 8)
    W_T, ids, old = draw(30, 8), torch.randint(30, (2, 5)), -draw(2, 5).abs() * 3
    advantage = draw(2, 5)
    taught = torch.tensor([[1.0] * 5, [0.0] * 5], dtype=DOUBLE)
    share = shares(torch.ones(2, 5), "verl-effective").double()

    def policy(logp, seen):
        at = seen.at
        clip = clip_loss(logp, old.reshape(-1)[at], advantage.reshape(-1)[at])
        return clip * (share * (1 - taught)).reshape(-1)[at]

    ours = chunked_divergence(
        h, W, h_T, W_T, 0.5, ids=ids, weights=share * taught, policy=policy, temperature=0.8, chunk=3, **options
    )
    cap = options.pop("softcap", None)
    student, teacher = (z if cap is None else cap * torch.tanh(z / cap) for z in (h @ W.T, h_T @ W_T.T))
    clip = clip_loss(token_logps(student, ids, temperature=0.8), old, advantage)
    each = divergence(student, teacher, 0.5, temperature=0.8, **options)
    loss = (share * (taught * each + (1 - taught) * clip)).sum()
    torch.testing.assert_close(ours.loss, loss)
    torch.testing.assert_close(ours.policy, (share * (1 - taught) * clip).detach())
    for one, other in zip(torch.autograd.grad(ours.loss, (h, W)), torch.autograd.grad(loss, (h, W)), strict=True):
        torch.testing.assert_close(one, other)
    with pytest.raises(ConfigError, match="give ids with policy"):
        chunked_divergence(h, W, h_T, W_T, policy=policy)


def test_logps_from_hidden_states(draw):
    h, W, b, ids = draw(2, 5, 8), draw(30, 8), draw(30), torch.randint(30, (2, 5))
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    ours = chunked_logps(h, W, ids, mask=mask, b=b, temperature=0.7, softcap=4.0, chunk=3)
    logits = 4 * torch.tanh((h @ W.T + b) / 4)
    logp = torch.log_softmax(logits / 0.7, -1)
    torch.testing.assert_close(ours.logp[mask > 0], token_logps(logits, ids, temperature=0.7)[mask > 0])
    torch.testing.assert_close(ours.entropy[mask > 0], -(logp.exp() * logp).sum(-1)[mask > 0])
    assert ours.logp[mask == 0].isnan().all()


def test_a_sharded_head_is_refused(draw):
    with pytest.raises(ConfigError, match="gather it first"):
        chunked_logps(draw(2, 8), torch.empty(0, 8), torch.zeros(2, dtype=torch.long))
