"""The loss of SDPO for one micro-batch: the divergence from the teacher, and the policy loss of the same tokens beside it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from epiverb.train.chunked import Chunked, Seen, chunked_divergence
from epiverb.train.forward import States
from epiverb.train.inputs import Batch
from epiverb.train.losses import importance_weights
from epiverb.train.policy import Sampling, Step, policy_loss
from epiverb.train.projection import Head
from epiverb.train.remedies import InChunks
from epiverb.train.settings import Distillation, Policy


@dataclass(frozen=True)
class Distilling:
    """A micro-batch, ready for the hidden states of the student."""

    settings: Distillation
    policy: Policy
    parts: tuple[float, float]
    """Factors of the divergence and of the policy loss."""
    temperature: float
    batch: Batch
    mask: Tensor
    """Tokens that count (B, T)."""
    teachers: list[tuple[float, States]]
    """Empty: nobody has one."""
    late: InChunks | None
    of_teacher: Step
    of_policy: Step

    @cached_property
    def sampling(self) -> Sampling:
        """What was known when the tokens were sampled."""
        return Sampling.of(self.batch)

    @cached_property
    def shares(self) -> Tensor:
        """What each divergence counts for, before importance and remedies (B, T)."""
        each = self.of_teacher.shares(self.mask, self.settings.aggregate, self.batch["taught"]) * self.parts[0]
        return each if self.sampling.is_weight is None else each * self.sampling.is_weight

    def loss(self, hidden: Tensor, head: Head, softcap: float | None) -> Chunked:
        """The whole loss, with what it was made of.

        Args:
            hidden: the student's states that predict the response (B, T, H).
        """
        # Nobody has a teacher: the divergence weighs nothing, whatever it is.
        teachers = self.teachers or [(1.0, States(hidden.detach(), head))]
        asked, old = self.settings, self.sampling.old_logp
        return chunked_divergence(
            hidden,
            head.weight,
            [each.hidden for _, each in teachers],
            [each.head.weight for _, each in teachers],
            asked.alpha,
            ids=self.batch["completion_ids"],
            mask=self.mask,
            weights=self.shares,
            old_logp=None if asked.is_clip is None else old,
            is_clip=asked.is_clip or 1.0,
            weigh=None if self.late is None else self.late.distill,
            policy=self._policy() if self.parts[1] else None,
            temperature=self.temperature,
            topk=None if asked.topk is None else min(asked.topk, len(head.weight)),
            tail=asked.tail,
            entry_clip=asked.entry_clip,
            b_student=head.bias,
            b_teacher=[each.head.bias for _, each in teachers],
            softcap=softcap,
            teacher_mix=[factor for factor, _ in teachers],
        )

    def _policy(self) -> Any:
        """GRPO's loss of a chunk, shares and remedies included."""
        known = ~self.batch["rewards"].isnan()
        shares = self.of_policy.shares(self.mask, self.policy.aggregate, known).reshape(-1) * self.parts[1]
        late, sampling = self.late, self.sampling

        def policy(logp: Tensor, seen: Seen) -> Tensor:
            loss = policy_loss(logp, sampling.at(seen.at), self.policy) * shares[seen.at]
            return loss if late is None or late.policy is None else loss * late.policy

        return policy

    def columns(self, done: Chunked) -> dict[str, Tensor]:
        """What there is to know of each token (B, T); of those without a teacher what it says is NaN."""
        assert done.student_logp is not None
        assert done.teacher_logp is not None
        ratio = torch.ones_like(done.student_logp)
        if self.settings.is_clip is not None and self.sampling.old_logp is not None:
            ratio = importance_weights(done.student_logp, self.sampling.old_logp, clip=self.settings.is_clip)
        told = {
            "teacher_logp": done.teacher_logp,
            "divergence": done.divergence,
            "teacher_entropy": done.teacher_entropy,
            "weight": done.weight / (self.shares * ratio),
        }
        untaught = ~(self.mask.bool() & self.batch["taught"].unsqueeze(1))
        told = {name: values.masked_fill(untaught, torch.nan) for name, values in told.items()}
        ratio = ratio if self.sampling.is_weight is None else ratio * self.sampling.is_weight
        own = {"student_logp": done.student_logp, "entropy": done.entropy, "is_weight": ratio}
        return told | own | {"advantage": self.sampling.advantages}
