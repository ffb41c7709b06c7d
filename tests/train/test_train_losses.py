"""Losses, advantages and shares against values worked by hand, autograd, and properties."""

from __future__ import annotations

import math

import pytest
import torch

from epiverb.errors import ConfigError
from epiverb.train.advantages import advantages
from epiverb.train.losses import (
    MODES,
    aggregate,
    clip_loss,
    clipped,
    divergence,
    importance_weights,
    sampled_token_loss,
    shares,
    token_logps,
)

STUDENT = torch.tensor([[[0.5, 0.5]]], dtype=torch.float64).log()
TEACHER = torch.tensor([[[0.8, 0.2]]], dtype=torch.float64).log()


def test_divergence_of_two_coins():
    """Student 1/2, 1/2; teacher 4/5, 1/5; their middle 13/20, 7/20."""
    forward = 0.8 * math.log(0.8 / 0.5) + 0.2 * math.log(0.2 / 0.5)
    reverse = 0.5 * math.log(0.5 / 0.8) + 0.5 * math.log(0.5 / 0.2)
    middle = 0.5 * (0.8 * math.log(0.8 / 0.65) + 0.2 * math.log(0.2 / 0.35))
    middle += 0.5 * (0.5 * math.log(0.5 / 0.65) + 0.5 * math.log(0.5 / 0.35))
    for alpha, expected in ((0, forward), (1, reverse), (0.5, middle)):
        assert divergence(STUDENT, TEACHER, alpha).item() == pytest.approx(expected, rel=1e-12)


def test_temperature_divides_both_logits_and_nothing_else():
    assert torch.equal(divergence(STUDENT, TEACHER, 0.5, temperature=2), divergence(STUDENT / 2, TEACHER / 2, 0.5))


def test_top_one_with_tail_is_a_coin_and_without_is_nothing():
    student = torch.tensor([[[0.6, 0.3, 0.1]]], dtype=torch.float64).log()
    teacher = torch.tensor([[[0.2, 0.5, 0.3]]], dtype=torch.float64).log()
    coins = torch.tensor([[[0.6, 0.4]]]).double().log(), torch.tensor([[[0.2, 0.8]]]).double().log()
    torch.testing.assert_close(divergence(student, teacher, 0.5, topk=1), divergence(*coins, 0.5))
    assert divergence(student, teacher, 0.5, topk=1, tail=False).item() == 0
    other = divergence(student, teacher, 0.5, support=torch.tensor([[[1]]]))
    coins = torch.tensor([[[0.3, 0.7]]]).double().log(), torch.tensor([[[0.5, 0.5]]]).double().log()
    torch.testing.assert_close(other, divergence(*coins, 0.5))


def test_a_support_with_all_of_the_mass_is_finite(draw):
    student = torch.tensor([[[50.0, 0.0, -50.0]]], requires_grad=True)
    loss = divergence(student, draw(1, 1, 3, dtype=torch.float32), 0.5, topk=1).sum()
    (gradient,) = torch.autograd.grad(loss, student)
    assert loss.isfinite()
    assert gradient.isfinite().all()


@pytest.mark.parametrize("alpha", [0, 0.25, 0.5, 1])
@pytest.mark.parametrize("options", [{}, {"topk": 3}, {"topk": 3, "tail": False}, {"entry_clip": 0.02}])
def test_gradient_of_the_divergence(draw, alpha, options):
    student, teacher = draw(2, 3, 7, grad=True), draw(2, 3, 7)
    assert torch.autograd.gradcheck(lambda z: divergence(z, teacher, alpha, temperature=0.7, **options), student)
    teacher.requires_grad_()
    divergence(student, teacher, alpha, **options).sum().backward()
    assert teacher.grad is None


def test_half_precision_logits_are_widened():
    exact = divergence(STUDENT.bfloat16().float(), TEACHER.bfloat16().float(), 0.5)
    assert torch.equal(divergence(STUDENT.bfloat16(), TEACHER.bfloat16(), 0.5), exact)
    assert exact.dtype == torch.float32


def test_an_entry_adds_no_more_than_the_clip():
    """KL(teacher || student) has the terms 0.8 log 1.6 = 0.376 and 0.2 log 0.4 = -0.183."""
    clipped_sum = divergence(STUDENT, TEACHER, 0, entry_clip=0.1).item()
    assert clipped_sum == pytest.approx(0.1 + 0.2 * math.log(0.4))


def test_sampled_token_loss_has_the_gradient_of_the_reverse_kl_in_the_mean(draw):
    student, teacher = draw(1, 1, 5, grad=True), draw(1, 1, 5)
    ids = torch.arange(5).reshape(1, 5)
    each = sampled_token_loss(token_logps(student.expand(1, 5, 5), ids), token_logps(teacher.expand(1, 5, 5), ids))
    mean = (each * torch.softmax(student.detach(), -1).reshape(1, 5)).sum()
    ours = torch.autograd.grad(mean, student)[0]
    torch.testing.assert_close(ours, torch.autograd.grad(divergence(student, teacher, 1).sum(), student)[0])


def test_token_logps(draw):
    logits, ids = draw(2, 3, 5), torch.tensor([[0, 4, 2], [1, 1, 3]])
    expected = torch.log_softmax(logits / 0.6, -1).gather(-1, ids[..., None])[..., 0]
    torch.testing.assert_close(token_logps(logits, ids, temperature=0.6), expected)


def test_importance_weights_are_clipped_above_only_and_carry_no_gradient():
    logp = torch.tensor([[math.log(0.5), math.log(0.01), 0.0]], requires_grad=True)
    ours = importance_weights(logp, torch.tensor([[math.log(0.1), math.log(0.1), 0.0]]))
    torch.testing.assert_close(ours, torch.tensor([[2.0, 0.1, 1.0]]))
    assert not ours.requires_grad


def test_importance_weights_of_sequences():
    """Ratios 3/2 and 1/2 make 3/4 for the whole response; what is masked does not count."""
    logp = torch.tensor([[1.5, 0.5, 7.0]]).log()
    ours = importance_weights(logp, torch.zeros(1, 3), mask=torch.tensor([[1, 1, 0]]), level="sequence")
    torch.testing.assert_close(ours, torch.tensor([[0.75, 0.75, 0.0]]))


def test_clip_loss_by_hand():
    """Advantage 1: ratio 2 counts as 1.28, 1/2 as itself. Advantage -1: 1/2 counts as 0.8, 2 as itself, 4 as 3."""
    ratio = torch.tensor([[2.0, 0.5], [0.5, 2.0], [4.0, 1.0]])
    logp = ratio.log().requires_grad_()
    advantage = torch.tensor([1.0, -1.0, -1.0])
    loss = clip_loss(logp, torch.zeros(3, 2), advantage)
    torch.testing.assert_close(loss, torch.tensor([[-1.28, -0.5], [0.8, 2.0], [3.0, 1.0]]))
    # A token that is held back has no gradient; another's is minus advantage times ratio.
    (gradient,) = torch.autograd.grad(loss.sum(), logp)
    torch.testing.assert_close(gradient, torch.tensor([[0.0, -0.5], [0.0, 2.0], [0.0, 1.0]]))
    ranged, limited = clipped(logp, torch.zeros(3, 2), advantage)
    assert ranged.tolist() == [[True, False], [True, False], [False, False]]
    assert limited.tolist() == [[False, False], [False, False], [True, False]]
    assert clip_loss(logp, torch.zeros(3, 2), advantage, dual=None)[2, 0].item() == 4


def test_tokens_may_have_their_own_advantage():
    logp = torch.zeros(1, 2)
    assert clip_loss(logp, logp, torch.tensor([[2.0, -3.0]])).tolist() == [[-2, 3]]


LOSS = torch.tensor([[1.0, 2.0, 3.0], [10.0, 99.0, 99.0]])
MASK = torch.tensor([[1, 1, 1], [1, 0, 0]])


@pytest.mark.parametrize(
    ("mode", "expected", "only_first", "only_second"),
    [
        ("token-mean", 16 / 4, 6 / 3, 10.0),
        ("seq-mean-token-mean", (2 + 10) / 2, 2.0, 10.0),
        ("seq-mean-token-sum", (6 + 10) / 2, 6.0, 10.0),
        ("seq-mean-token-sum-norm", 16 / 3, 6 / 3, 10 / 3),
        ("verl-effective", (2 + 10) / 2, 2 / 2, 10 / 2),
    ],
)
def test_aggregation_by_hand(mode, expected, only_first, only_second):
    assert aggregate(LOSS, MASK, mode).item() == pytest.approx(expected)
    assert aggregate(LOSS, MASK, mode, samples=torch.tensor([1, 0])).item() == pytest.approx(only_first)
    assert aggregate(LOSS, MASK, mode, samples=torch.tensor([0, 1])).item() == pytest.approx(only_second)


@pytest.mark.parametrize("mode", MODES)
def test_micro_batches_sum_to_the_batch(mode, draw):
    loss, mask = draw(6, 5), torch.ones(6, 5)
    mask[1, 2:], mask[4, 1:] = 0, 0
    samples = torch.tensor([1.0, 1, 0, 1, 1, 1])
    counted = mask * samples[:, None]
    whole = {"token-mean": counted.sum(), "verl-effective": 6, "seq-mean-token-sum-norm": 5}
    denominator = whole.get(mode, (counted.sum(1) > 0).sum())
    parts = [
        aggregate(loss[i : i + 2], mask[i : i + 2], mode, samples=samples[i : i + 2], denominator=denominator)
        for i in (0, 2, 4)
    ]
    torch.testing.assert_close(sum(parts), aggregate(loss, mask, mode, samples=samples))


@pytest.mark.parametrize("mode", MODES)
def test_nothing_counted_is_zero_and_what_is_masked_may_be_anything(mode):
    loss = torch.tensor([[math.nan, 1.0]], requires_grad=True)
    nothing = aggregate(loss, torch.zeros(1, 2), mode)
    assert nothing.item() == 0
    assert torch.autograd.grad(nothing, loss)[0].tolist() == [[0, 0]]
    assert aggregate(loss, torch.tensor([[0, 1]]), mode).isfinite()


def test_shares_of_a_mean_sum_to_one():
    for mode in ("token-mean", "seq-mean-token-mean", "verl-effective"):
        assert shares(MASK, mode).sum().item() == pytest.approx(1)


def test_advantages_by_hand():
    rewards = [1.0, 0.0, 0.0, 1.0, 3.0, 1.0]
    assert advantages(rewards, 2).tolist() == [0.5, -0.5, -0.5, 0.5, 1.0, -1.0]
    by_group = advantages(rewards, 2, "group", eps=0)
    torch.testing.assert_close(by_group, torch.tensor([1.0, -1, -1, 1, 1, -1]) / math.sqrt(2))
    # Rewards 1, 0, 0, 1, 3, 1: mean 1, squares sum to 6, over 5.
    by_batch = advantages(rewards, 2, "batch", eps=0)
    torch.testing.assert_close(by_batch, torch.tensor([0.5, -0.5, -0.5, 0.5, 1, -1]) / math.sqrt(6 / 5))


def test_groups_in_any_order():
    assert advantages([1, 5, 0, 7], groups=["a", "b", "a", "b"]).tolist() == [0.5, -1.0, -0.5, 1.0]


def test_an_unknown_reward_counts_in_no_mean():
    rewards = [1.0, math.nan, 0.0, math.nan, math.nan, 1.0]
    assert advantages(rewards, 3).tolist() == [0.5, 0.0, -0.5, 0.0, 0.0, 0.0]
    assert advantages(rewards, 3, "group").isfinite().all()
    assert advantages(rewards, 3, "batch").isfinite().all()


def test_equal_rewards_have_no_advantage_and_a_group_of_one_keeps_its_reward():
    assert advantages([1.0, 1.0], 2, "group").tolist() == [0, 0]
    assert advantages([0.25, 0.75], 1).tolist() == [0.25, 0.75]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: divergence(STUDENT, TEACHER, 1.5), "alpha is 1.5"),
        (lambda: divergence(STUDENT, TEACHER, 0.5, temperature=0), "temperature is 0"),
        (lambda: divergence(STUDENT, TEACHER, 0.5, topk=3), "topk is 3; it lies between 1 and the 2"),
        (lambda: aggregate(LOSS, MASK, "token-meen"), "Did you mean 'token-mean'"),
        (lambda: advantages([1.0, 0.0, 1.0], 2), "3 rewards cannot be divided into groups of 2"),
        (lambda: advantages([1.0], 1, "std"), "unknown scale 'std'"),
        (lambda: advantages([1.0]), "one of both"),
        (lambda: advantages([1.0], groups=["a", "b"]), "1 rewards and 2 groups"),
        (lambda: importance_weights(LOSS, LOSS, level="sequence"), "need a mask"),
        (lambda: importance_weights(LOSS, LOSS, level="sequences"), "Did you mean 'sequence'"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ConfigError, match=message):
        call()
