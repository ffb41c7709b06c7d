"""Token weights: each by hand, and through the loss that they weigh."""

from __future__ import annotations

import dataclasses
import math
import subprocess
import sys

import pytest
import torch

from epiverb.errors import ConfigError, DataError
from epiverb.train.chunked import chunked_divergence
from epiverb.train.losses import divergence, shares
from epiverb.train.weights import WEIGHTS, parse, table
from epiverb.train.weights.base import Tokens, factors, in_chunk


def t(*values):
    return torch.tensor(values)


def test_none():
    assert parse("none")(Tokens()) == (None, None)


def test_preserve():
    distill, policy = parse("preserve:0.25")(Tokens(marker=t(True, False)))
    assert distill.tolist() == policy.tolist() == [0.25, 1]


def test_kl_clip():
    ours = parse("kl-clip:0.2")(Tokens(divergence=t(0.1, 0.2, 0.8))).distill
    torch.testing.assert_close(ours, t(1.0, 1.0, 0.25))


def test_teacher_entropy():
    ours = parse("teacher-entropy:beta=2,floor=0.1")(Tokens(teacher_entropy=t(0.0, 0.5, 9.0))).distill
    torch.testing.assert_close(ours, t(1.0, math.exp(-1), 0.1))


def test_position():
    tokens = Tokens(position=torch.arange(4), length=torch.full((4,), 4))
    torch.testing.assert_close(parse("position")(tokens).distill, t(0.625, 0.875, 1.125, 1.375))
    torch.testing.assert_close(parse("position:start=1.5,first=2")(tokens).distill, t(1.375, 1.125, 0.0, 0.0))


def test_routing():
    """Right; failed with a teacher; failed without one; unknown."""
    tokens = Tokens(reward=t(1.0, 0.0, 0.0, math.nan), has_teacher=t(1, 1, 0, 1), teacher_entropy=t(1.0, 1.0, 1.0, 1.0))
    weights = parse("routing")(tokens)
    assert weights.distill.tolist() == [0, 1, 0, 0]
    assert weights.policy.tolist() == [1, 0, 1, 0]
    torch.testing.assert_close(parse("routing:beta=1")(tokens).distill, t(0, math.exp(-1), 0, 0))
    assert parse("routing").losses == ("distill", "policy")
    assert "teacher_entropy" not in parse("routing").needs
    assert "teacher_entropy" in parse("routing:beta=1").needs


def test_contrast():
    """The first token is as likely under the wrong context: style. The second only under the right one."""
    tokens = Tokens(teacher_logp=t(-1.0, -1.0), contrast_logp=t(-1.0, -3.0))
    assert parse("contrast")(tokens).policy is None
    torch.testing.assert_close(parse("contrast")(tokens).distill, t(0.0, math.tanh(2)))
    praised = parse("contrast:bound=0.5")(dataclasses.replace(tokens, advantage=t(2.0, 2.0))).policy
    blamed = parse("contrast:bound=0.5")(dataclasses.replace(tokens, advantage=t(-2.0, -2.0))).policy
    torch.testing.assert_close(praised, t(1.0, 1 + math.tanh(2) / 2))
    torch.testing.assert_close(blamed, t(1.0, 1 - math.tanh(2) / 2))


def test_magnitude():
    """Ratios 1.1 and 4 of teacher to student; with a negative advantage their inverses; clipped to 0.8 and 1.2."""
    up = Tokens(advantage=t(1.0, 1.0), student_logp=t(0.0, 0.0), teacher_logp=t(math.log(1.1), math.log(4)))
    weights = parse("magnitude:mix=0.5,clip=0.2")(up)
    torch.testing.assert_close(weights.policy, t(1.05, 1.1))
    assert weights.distill.tolist() == [0, 0]
    down = parse("magnitude")(dataclasses.replace(up, advantage=t(-1.0, -1.0))).policy
    torch.testing.assert_close(down, t(0.5 + 0.5 / 1.1, 0.9))
    assert parse("magnitude").losses == ("policy",)


def test_marker_reward():
    """Target 10 per 1,000: ten in 1,000 words cost nothing, five half, none all, and fifty earn nothing."""
    term = parse("marker-reward:target=10,scale=0.2")
    assert term.reward([10, 5, 0, 50, 1], [1000, 1000, 300, 1000, 0]) == [0, -0.1, -0.2, 0, None]


def test_several_multiply():
    both = parse("preserve:0.5+position:start=1.5")
    assert both.needs == ("marker", "position", "length")
    tokens = Tokens(marker=t(True, False), position=torch.arange(2), length=t(2, 2))
    torch.testing.assert_close(both(tokens).distill, t(0.625, 0.75))
    torch.testing.assert_close(both(tokens).policy, t(0.5, 1.0))
    assert parse("routing+magnitude").losses == ("distill", "policy")


@pytest.mark.parametrize("alpha", [0, 0.5, 1])
@pytest.mark.parametrize("topk", [None, 4])
def test_preserve_takes_exactly_the_gradient_at_markers(draw, alpha, topk):
    """The logits' gradient is zero at markers and unchanged elsewhere, and the log still sees both."""
    student, teacher, head = draw(2, 6, 9, grad=True), draw(2, 6, 9), torch.eye(9, dtype=torch.float64)
    marker = torch.zeros(2, 6, dtype=torch.bool)
    marker[0, 1], marker[1, 3:5] = True, True
    mask = torch.ones(2, 6)

    def gradient(**options):
        done = chunked_divergence(
            student, head, teacher, head, alpha, mask=mask, weights=shares(mask), topk=topk, chunk=5, **options
        )
        return torch.autograd.grad(done.loss, student)[0], done

    plain, _ = gradient()
    ours, done = gradient(weigh=in_chunk(parse("preserve"), Tokens(marker=marker)))
    assert torch.equal(ours[marker], torch.zeros_like(ours[marker]))
    assert torch.equal(ours[~marker], plain[~marker])
    assert plain[marker].abs().min() > 0
    assert (done.weight[marker] == 0).all()
    torch.testing.assert_close(done.divergence, divergence(student, teacher, alpha, topk=topk).detach())


def test_what_a_chunk_knows_reaches_the_weight(draw):
    h, W, h_T, W_T = draw(2, 5, 8, grad=True), draw(30, 8), draw(2, 5, 8), draw(30, 8)
    tokens = Tokens(position=torch.arange(5).expand(2, 5), length=torch.full((2, 5), 5))
    weight = parse("kl-clip:0.05+teacher-entropy:0.5+position")
    done = chunked_divergence(h, W, h_T, W_T, weigh=in_chunk(weight, tokens), chunk=3)
    known = dataclasses.replace(tokens, divergence=done.divergence, teacher_entropy=done.teacher_entropy)
    torch.testing.assert_close(done.weight, factors(weight, known).distill / 10)


def test_a_token_adds_no_more_than_the_clip(draw):
    h, W, h_T = draw(7, 8), draw(30, 8), draw(7, 8)
    done = chunked_divergence(h, W, h_T, W, weights=torch.ones(7), weigh=in_chunk(parse("kl-clip:0.01"), Tokens()))
    assert (done.divergence > 0.01).any()
    assert (done.divergence * done.weight).max().item() == pytest.approx(0.01)


def test_what_is_missing_is_said(draw):
    with pytest.raises(DataError, match="needs marker of each token"):
        factors(parse("preserve"), Tokens())


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("presrve", "Did you mean 'preserve'"),
        ("preserve:kep=1", "no setting 'kep'. Did you mean 'keep'"),
        ("none:1", "It has none"),
        ("preserve:much", "keep is a number, not 'much'"),
        ("preserve:nan", "keep is a number"),
        ("position:first=1.5", "first is a number"),
        ("kl-clip:0", "the most that a token may add is above 0"),
        ("contrast:bound=1", "from 0 to below 1"),
        ("routing:beta=-1", "0 or above"),
        ("magnitude:2", "from 0 to 1"),
        ("marker-reward:-1", "above 0"),
    ],
)
def test_bad_specifications(spec, message):
    with pytest.raises(ConfigError, match=message):
        parse(spec)


def test_every_weight_says_what_it_is():
    rows = table()
    assert [row["name"] for row in rows] == list(WEIGHTS)
    assert len(rows) == 9
    for row in rows:
        assert row["about"]
        assert "arXiv" in row["source"] or "ours" in row["source"]
        known = {field.name for field in dataclasses.fields(Tokens)} | {"n_markers", "n_words"}
        assert set(WEIGHTS.get(row["name"]).needs) <= known
    names = {WEIGHTS.origin(name).partition(":")[0] for name in WEIGHTS}
    assert len(names) == len(rows)  # a file each


def test_names_need_no_torch():
    code = "import sys\nfrom epiverb.train.weights import WEIGHTS\nassert 'preserve' in WEIGHTS\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_weight_from_outside(tmp_path, monkeypatch):
    (tmp_path / "outside.py").write_text(
        "from dataclasses import dataclass\nfrom typing import ClassVar\n"
        "from epiverb.train.weights.base import Weights\n"
        "@dataclass(frozen=True)\nclass Reverse:\n"
        "    by: float = 1.0\n    losses: ClassVar = ()\n    needs: ClassVar = ('divergence',)\n"
        "    about: ClassVar = 'the other way'\n    source: ClassVar = 'arXiv 2605.11609'\n"
        "    def __call__(self, tokens):\n        return Weights(-self.by * tokens['divergence'].sign())\n"
        "REVERSE = Reverse()\n"
    )
    info = tmp_path / "outside-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: outside\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[epiverb.weights]\nreverse = outside:REVERSE\n")
    monkeypatch.syspath_prepend(tmp_path)
    from epiverb.registry import Registry

    fresh = Registry("weight", {})
    assert fresh.get("reverse").by == 1
    monkeypatch.setattr("epiverb.train.weights.WEIGHTS", fresh)
    assert parse("reverse:2")(Tokens(divergence=t(0.5))).distill.tolist() == [-2]
