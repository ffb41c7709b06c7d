"""The exact divergence over the whole vocabulary from hidden states, a chunk of tokens at a time.

The gradient is taken in the forward: a chunk's logits are projected in float32, measured, turned into a gradient on hidden
states and head, and forgotten. So there is never a tensor of tokens by vocabulary, and nothing is computed twice. Reasons and
measurements: docs/design/losses.md.

Source: the loss is lasgroup/SDPO@0e6d510 `compute_self_distillation_loss`.
Ours differs: logits are float32 products of the hidden states, never rounded to bfloat16.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from epiverb.errors import ConfigError
from epiverb.train.losses import check, importance_weights
from epiverb.train.projection import Head, Projection, low_type, mixed
from epiverb.train.tiles import Form, measure

TILE_MB = {"cpu": 16, "cuda": 256}
"""Size of a float32 tile of tokens by vocabulary that a chunk is cut to; a chunk needs about seven."""


class Seen(NamedTuple):
    """What is known of the n tokens of a chunk before they are weighted, detached, each (n,)."""

    at: Tensor
    """Their places among all tokens, flattened."""
    divergence: Tensor
    entropy: Tensor
    teacher_entropy: Tensor
    student_logp: Tensor | None
    teacher_logp: Tensor | None


class Chunked(NamedTuple):
    """The loss, and for the log what it was made of: detached, of the shape of the tokens, NaN where masked.

    A field is None where what it needs (`ids`, `policy`, `mass_ids`) was not given.
    """

    loss: Tensor
    """Sum of weight times divergence, and of the policy loss; the only part with a gradient."""
    divergence: Tensor
    """Nats at each token."""
    weight: Tensor
    """What the divergence was multiplied by: weights, importance ratio and `weigh` together."""
    entropy: Tensor
    teacher_entropy: Tensor
    student_logp: Tensor | None
    """Log-probability of the sampled token, at the temperature of the loss."""
    teacher_logp: Tensor | None
    policy: Tensor | None
    """The policy loss at each token."""
    student_mass: Tensor | None
    """Probability of all of `mass_ids` together."""
    teacher_mass: Tensor | None


_COLUMNS = Chunked._fields[1:]


class _Job:
    """All that a run over the chunks needs besides what has a gradient, flattened to N tokens.

    Args:
        hidden: the student's states (..., H).
        head: the student's.
        tokens: `ids`, `mask`, `weights` and `old_logp`, of the tokens' shape or None.
    """

    def __init__(
        self,
        form: Form,
        hidden: Tensor,
        head: Head,
        teachers: list[tuple[float, Tensor, Head]],
        tokens: dict[str, Tensor | None],
        mass_ids: Tensor | None,
    ) -> None:
        check(form.alpha, form.temperature, form.topk, len(head.weight))
        self.form, self.teachers, self.mass_ids = form, teachers, mass_ids
        shape, n, on = hidden.shape[:-1], hidden.shape[:-1].numel(), torch.is_grad_enabled()
        for name, tensor in tokens.items():
            if tensor is not None and tensor.shape != shape:
                raise ConfigError(f"{name} is {tuple(tensor.shape)}, the tokens are {tuple(shape)}.")
        flat = {name: None if tensor is None else tensor.detach().reshape(-1) for name, tensor in tokens.items()}
        self.ids, self.weights, self.old_logp = flat["ids"], flat["weights"], flat["old_logp"]
        if self.old_logp is not None and self.ids is None:
            raise ConfigError("an importance ratio needs the sampled tokens: give ids with old_logp.")
        everything = torch.ones(n, device=hidden.device) if flat["mask"] is None else flat["mask"]
        self.keep = everything.nonzero().squeeze(1)
        self.wanted = [on and of is not None and of.requires_grad for of in (hidden, head.weight, head.bias)]
        types = [of.dtype for of in (hidden, head.weight)]
        self.exact = torch.float64 if torch.float64 in types else torch.float32
        self.low = low_type(hidden, head.weight, *(of for _, states, each in teachers for of in (states, each.weight)))
        names = _COLUMNS[:4] + _COLUMNS[4:6] * (self.ids is not None) + _COLUMNS[7:] * (mass_ids is not None)
        self.columns = {name: hidden.new_full((n,), torch.nan, dtype=self.exact) for name in names}
        self.is_clip = math.inf
        self.weigh: Callable[[Seen], Tensor] | None = None
        self.policy: Callable[[Tensor, Seen], Tensor] | None = None
        self.chunk = max(1, TILE_MB.get(hidden.device.type, 64) * 2**20 // (4 * len(head.weight)))

    def add(self, policy: Callable[[Tensor, Seen], Tensor] | None) -> None:
        """Have another loss, of the log-probabilities of sampled tokens."""
        if policy is not None and self.ids is None:
            raise ConfigError("a policy loss needs the sampled tokens: give ids with policy.")
        self.policy = policy
        if policy is not None:
            self.columns["policy"] = self.columns["divergence"].clone()


def chunked_divergence(
    h_student: Tensor,
    W_student: Tensor,
    h_teacher: Tensor | Sequence[Tensor],
    W_teacher: Tensor | Sequence[Tensor],
    alpha: float = 0.5,
    *,
    ids: Tensor | None = None,
    mask: Tensor | None = None,
    weights: Tensor | None = None,
    old_logp: Tensor | None = None,
    is_clip: float = 2.0,
    weigh: Callable[[Seen], Tensor] | None = None,
    policy: Callable[[Tensor, Seen], Tensor] | None = None,
    temperature: float = 1.0,
    topk: int | None = None,
    tail: bool = True,
    entry_clip: float | None = None,
    b_student: Tensor | None = None,
    b_teacher: Tensor | Sequence[Tensor | None] | None = None,
    softcap: float | None = None,
    teacher_mix: Sequence[float] | None = None,
    mass_ids: Tensor | None = None,
    chunk: int | None = None,
) -> Chunked:
    """Weighted divergence of teacher and student from hidden states, with what a log wants of each token.

    Args:
        h_student: hidden states (..., H_s) at the positions that predict the tokens; leading axes are the tokens' shape.
        W_student: the student's head (V, H_s), whole (gathered, where it is sharded). A frozen one gets no gradient.
        h_teacher, W_teacher: the same of the teacher, which may have another hidden size; or several of each, whose logits
            are summed with the factors `teacher_mix` (a trust region: reference 1 - rho, student rho).
        ids: sampled tokens; needed for log-probabilities and `old_logp`.
        mask: tokens that are looked at; the others are skipped before anything is computed.
        weights: what multiplies each divergence, share of the loss included (`losses.shares`); None: one over the tokens.
        old_logp: log-probabilities under the policy that sampled; multiplies by min(ratio, is_clip), detached.
        weigh: function from what is known of a chunk to one more weight a token; it has no gradient.
        policy: function from log-probabilities (n,) of sampled tokens and what is known to another loss (n,), to be added.
        softcap: cap of both models' logits, c tanh(z / c).
        mass_ids: token ids whose joint probability is reported.
        chunk: tokens at a time; None: as many as fit a tile of 16 MB on a CPU, 256 MB on a GPU.

    The other settings are those of `losses.divergence`; `b_...` are biases of the heads.

    Raises:
        ConfigError: shapes or vocabularies that do not fit together, or settings that mean nothing.
    """
    shape = h_student.shape[:-1]
    teachers = _teachers(h_teacher, W_teacher, b_teacher, teacher_mix, h_student, len(W_student))
    tokens = {"ids": ids, "mask": mask, "weights": weights, "old_logp": old_logp}
    form = Form(alpha, temperature, topk, tail, entry_clip, softcap)
    job = _Job(form, h_student, Head(W_student, b_student), teachers, tokens, mass_ids)
    job.is_clip, job.weigh, job.chunk = is_clip, weigh, chunk or job.chunk
    job.add(policy)
    loss = _Chunks.apply(h_student.reshape(-1, h_student.shape[-1]), W_student, b_student, job)
    columns = [job.columns[name].reshape(shape) if name in job.columns else None for name in _COLUMNS]
    return Chunked._make([loss, *columns])


def _teachers(
    h: Tensor | Sequence[Tensor],
    W: Tensor | Sequence[Tensor],
    b: Tensor | Sequence[Tensor | None] | None,
    mix: Sequence[float] | None,
    student: Tensor,
    vocabulary: int,
) -> list[tuple[float, Tensor, Head]]:
    """Factor, hidden states (N, H_t) and head of each teacher."""
    hidden, heads = ([h], [W]) if isinstance(h, Tensor) and isinstance(W, Tensor) else (list(h), list(W))
    biases = [b] * len(hidden) if b is None or isinstance(b, Tensor) else list(b)
    factors = [1.0] * len(hidden) if mix is None else list(mix)
    if not len(hidden) == len(heads) == len(biases) == len(factors):
        raise ConfigError(
            f"{len(hidden)} hidden states, {len(heads)} heads, {len(biases)} biases and {len(factors)} factors of teachers."
        )
    if mix is None and len(hidden) > 1:
        raise ConfigError(f"{len(hidden)} teachers need a factor each: give teacher_mix.")
    for states, head in zip(hidden, heads, strict=True):
        if states.shape[:-1] != student.shape[:-1]:
            raise ConfigError(
                f"the teacher's tokens are {tuple(states.shape[:-1])}, the student's {tuple(student.shape[:-1])}."
            )
        if len(head) != vocabulary:
            raise ConfigError(f"the teacher's vocabulary has {len(head)} tokens, the student's {vocabulary}.")
    rows = zip(factors, hidden, heads, biases, strict=True)
    return [(factor, of.detach().reshape(-1, of.shape[-1]), Head(head, bias)) for factor, of, head, bias in rows]


class _Chunks(torch.autograd.Function):
    """Forward: loss and gradients. Backward: multiply them."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, W: Tensor, b: Tensor | None, job: _Job) -> Tensor:
        # Inside, autocast would round the very products that are to be exact.
        with torch.autocast(h.device.type, enabled=False):
            loss, *gradients = _run(h, Head(W, b), job)
        ctx.dtypes = h.dtype, W.dtype, None if b is None else b.dtype
        ctx.save_for_backward(*gradients)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor | None, ...]:
        scaled = (
            None if gradient is None else (gradient * scale).to(dtype)
            for gradient, dtype in zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        )
        return (*scaled, None)


def _run(h: Tensor, head: Head, job: _Job) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]:
    """The loss and its gradients on hidden states, head and bias; fills `job.columns`."""
    student = Projection(head, h, job.exact, job.low)
    teachers = [(factor, states, Projection(each, states, job.exact, job.low)) for factor, states, each in job.teachers]
    # float16 has no room for gradients before a loss scale multiplies them.
    grad_h = torch.zeros_like(h, dtype=job.exact if h.dtype == torch.float16 else h.dtype) if job.wanted[0] else None
    grad_W = torch.zeros_like(head.weight, dtype=job.exact) if job.wanted[1] else None
    grad_b = torch.zeros_like(head.bias, dtype=job.exact) if head.bias is not None and job.wanted[2] else None
    for start in range(0, len(job.keep), job.chunk):
        at = job.keep[start : start + job.chunk]
        states = h[at]
        logits_t = mixed([(factor, each.logits(of[at], job.form.softcap)) for factor, of, each in teachers])
        gradient = _measured(student.logits(states, job.form.softcap), logits_t, at, job)
        if grad_h is not None:
            grad_h[at] = student.onto_hidden(gradient).to(grad_h.dtype)
        if grad_W is not None:
            student.onto_weight(grad_W, gradient, states)
        if grad_b is not None:
            grad_b += gradient.sum(0)
    kept = {name: column[job.keep] for name, column in job.columns.items()}
    loss = (kept["divergence"] * kept["weight"]).sum()
    return loss if job.policy is None else loss + kept["policy"].sum(), grad_h, grad_W, grad_b


def _measured(logits_s: Tensor, logits_t: Tensor, at: Tensor, job: _Job) -> Tensor:
    """The gradient on the logits of the tokens `at`, weighted; what is known of them goes into the columns."""
    tile = measure(logits_s, logits_t, job.form)
    known = {"divergence": tile.divergence, "entropy": tile.entropy, "teacher_entropy": tile.teacher_entropy}
    if job.ids is not None:
        chosen = job.ids[at].unsqueeze(1)
        known["student_logp"] = tile.logp_s.gather(1, chosen).squeeze(1)
        known["teacher_logp"] = tile.logp_t.gather(1, chosen).squeeze(1)
    if job.mass_ids is not None:
        known["student_mass"] = tile.logp_s[:, job.mass_ids].exp().sum(1)
        known["teacher_mass"] = tile.logp_t[:, job.mass_ids].exp().sum(1)
    logps = (known.get("student_logp"), known.get("teacher_logp"))
    seen = Seen(at, known["divergence"], known["entropy"], known["teacher_entropy"], *logps)
    known["weight"] = _weight(seen, job)
    gradient = tile.gradient.mul_(known["weight"].unsqueeze(1))
    if job.policy is not None:
        known["policy"], slope = _policy(seen, job.policy)
        gradient.addcmul_(tile.logp_s.exp_(), slope.unsqueeze(1), value=-1)
        gradient.scatter_add_(1, chosen, slope.unsqueeze(1))
    for name, values in known.items():
        job.columns[name][at] = values
    gradient.div_(job.form.temperature)
    return gradient if tile.cap_slope is None else gradient.mul_(tile.cap_slope)


def _policy(seen: Seen, policy: Callable[[Tensor, Seen], Tensor]) -> tuple[Tensor, Tensor]:
    """The policy loss at each token (n,) and its derivative in the token's log-probability (n,)."""
    assert seen.student_logp is not None
    with torch.enable_grad():
        logp = seen.student_logp.clone().requires_grad_()
        each = policy(logp, seen)
        (slope,) = torch.autograd.grad(each.sum(), logp)
    return each.detach(), slope


def _weight(seen: Seen, job: _Job) -> Tensor:
    """What each of the tokens is weighted by (n,)."""
    if job.weights is None:
        weight = torch.full_like(seen.divergence, 1 / len(job.keep))
    else:
        weight = job.weights[seen.at].to(job.exact)
    if job.old_logp is not None and seen.student_logp is not None:
        weight = weight * importance_weights(seen.student_logp, job.old_logp[seen.at], clip=job.is_clip)
    return weight if job.weigh is None else weight * job.weigh(seen).detach().to(job.exact)
