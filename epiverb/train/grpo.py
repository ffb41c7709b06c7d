"""GRPO on TRL's stable trainer: the published settings, token weights, unknown grades, exact resume, and a watch.

    trainer = GRPO(model, reward, args=GRPOConfig("out"), train_dataset=problems, settings=Policy(), watch=None)
    trainer.train(resume_from_checkpoint=last_checkpoint("out"))

A row of the data set has `prompt` (a chat, or text), and may have `problem_id`, `benchmark`, `domain`, `gold` and `solution`. A
reward function returns None where it does not know; it may say more of each response by `log_extra` (`answer`, `correct`,
`grade_reason`, `feedback`).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from trl import GRPOConfig, GRPOTrainer

from epiverb.errors import ConfigError
from epiverb.train.advantages import advantages
from epiverb.train.inputs import Batch, joined, loss_mask, trimmed
from epiverb.train.losses import clipped, importance_weights
from epiverb.train.options import arguments
from epiverb.train.policy import Sampling, Step, counted, policy_loss
from epiverb.train.remedies import Remedy, of_policy, remedy
from epiverb.train.resume import Continued
from epiverb.train.rollouts import Lesson, Sampled, marker_mask, told
from epiverb.train.settings import Policy
from epiverb.train.watch import Marked, Watch
from epiverb.train.watched import Watched, check_parent
from epiverb.train.weights.base import Tokens

BUILT_ON: dict[str, tuple[str, ...]] = {
    "_generate_and_score_completions": ("inputs",),
    "_calculate_rewards": ("inputs", "prompts", "completions", "completion_ids_list"),
    "_prepare_inputs": ("generation_batch",),
    "_compute_loss": ("model", "inputs"),
    "_get_per_token_logps_and_entropies": ("model", "input_ids", "attention_mask", "logits_to_keep"),
    "_get_train_sampler": ("dataset",),
    "_save_checkpoint": ("model", "trial"),
    "_load_optimizer_and_scheduler": ("checkpoint",),
    "log": ("logs", "start_time"),
}
"""Methods of the parent that are called or overridden, with their arguments."""


_Parent: Any = GRPOTrainer


class GRPO(Continued, Watched, _Parent):
    """`trl.GRPOTrainer` with the settings of the published runs.

    Args:
        model, reward_funcs, args, **parent: see `trl.GRPOTrainer`.
        settings: what the loss is; the published settings. They set the arguments of TRL that mean the same.
        watch: whoever is told; its callback is added.

    Raises:
        ConfigError: settings and arguments that contradict each other, a token weight that cannot be had, or a TRL that
            this is not built on.
    """

    def __init__(
        self,
        model: Any,
        reward_funcs: Any = None,
        args: GRPOConfig | None = None,
        *,
        settings: Policy | None = None,
        watch: Watch | None = None,
        **parent: Any,
    ) -> None:
        check_parent(GRPOTrainer, BUILT_ON)
        self.policy = settings or Policy()
        self.remedy = self._remedy()
        cap = self._rollout_is_clip()
        args = arguments(args or GRPOConfig("grpo"), self.policy, cap)
        functions = [] if reward_funcs is None else reward_funcs if isinstance(reward_funcs, list) else [reward_funcs]
        self._terms_at = slice(len(functions), len(functions) + len(self.remedy.terms))
        if args.reward_weights is not None and self.remedy.terms:
            args.reward_weights = [*args.reward_weights, *(1.0 for _ in self.remedy.terms)]
        super().__init__(model, [*functions, *self._terms()], args, **parent)
        if self._is_vlm:
            raise ConfigError("these trainers take text only; give a tokenizer instead of a processor of images.")
        self._begin(watch)
        self._marks: Any = None
        self._marked: list[Marked] | None = None
        self._graded: tuple[list[list[int]], Tensor, dict[str, list[Any]]] | None = None

    def _remedy(self) -> Remedy:
        return remedy(self.policy.weights, teacher=False)

    def _rollout_is_clip(self) -> float | None:
        return self.policy.rollout_is_clip

    def _terms(self) -> list[Any]:
        """Terms of the reward as reward functions, so that TRL logs them."""

        def function(term: Any) -> Any:
            def reward(**_: Any) -> list[float | None]:
                marked = self._marked or []
                return term.reward([mark.n_markers for mark in marked], [mark.n_words for mark in marked])

            reward.__name__ = type(term).__name__
            return reward

        return [function(term) for term in self.remedy.terms]

    # ---- generation and grading ----

    def _mark(self, ids: list[list[int]]) -> list[Marked] | None:
        """The markers of responses, if anybody wants them."""
        if self.watch is not None:
            return self.watch.mark(ids)
        if not self._wants_marks():
            return None
        if self._marks is None:
            from epiverb.text import lexicon
            from epiverb.train.marks import Marks

            self._marks = Marks(self._tokenizer, lexicon.load("epiverb-en"), self.model.generation_config)
        marked: list[Marked] = self._marks(ids)
        return marked

    def _wants_marks(self) -> bool:
        return self.remedy.marks

    def _calculate_rewards(
        self, inputs: list[Any], prompts: list[Any], completions: list[Any], completion_ids_list: list[list[int]]
    ) -> Tensor:
        self._marked = self._mark(completion_ids_list)
        with _unknown_is_no_news():
            found = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        own = found.clone()
        own[:, self._terms_at] = torch.nan
        found[own.isnan().all(1)] = torch.nan  # a term of the reward does not make it known
        self._graded = completion_ids_list, found, dict(self._pending_extra_logs)
        return found

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> Batch:
        step = self.state.global_step
        output: Batch = super()._generate_and_score_completions(inputs)
        sampled = self._sampled(step, inputs)
        output["advantages"] = sampled.own(sampled.advantages)
        output["rewards"] = sampled.own(sampled.rewards)
        output["generated"] = torch.tensor(step)
        first = sampled.first
        output["keys"] = [sampled.key(first + i) for i in range(len(inputs))]
        if self._marked is not None:
            output["markers"] = marker_mask(
                self._marked, output["completion_ids"].shape[1], output["completion_ids"].device
            )
        lessons = self._teach(sampled, output)
        if self.model.training:
            self._say(sampled, output, lessons)
        self._graded = self._marked = None
        return output

    def _sampled(self, step: int, inputs: list[dict[str, Any]]) -> Sampled:
        """What was sampled, with rewards and advantages of all processes."""
        assert self._graded is not None
        ids, found, said = self._graded
        weighted, unknown = found * self.reward_weights.to(found.device), found.isnan().all(1)
        rewards = weighted.nansum(1).masked_fill(unknown, torch.nan)
        grades = (rewards - weighted[:, self._terms_at].nansum(1)) if self.remedy.terms else rewards
        group = self.num_generations if self.model.training else self.num_generations_eval
        scale = None if self.policy.scale == "none" else self.policy.scale
        ends = {*self.eos_token_ids, self._tokenizer.pad_token_id}
        return Sampled(
            step=step,
            rank=self.accelerator.process_index,
            group=group,
            rows=inputs,
            ids=ids,
            ended=[bool(row) and row[-1] in ends for row in ids],
            grades=grades,
            rewards=rewards,
            advantages=advantages(rewards, group, scale),
            said=said,
            marked=self._marked,
        )

    def _teach(self, sampled: Sampled, output: Batch) -> list[Lesson] | None:
        """Add a teacher's inputs; GRPO has none."""
        return None

    def _say(self, sampled: Sampled, output: Batch, lessons: list[Lesson] | None) -> None:
        """Tell the watch, and count what is odd."""
        unknown = int(sampled.rewards.isnan().sum())
        if self.accelerator.is_main_process:
            self.pooled.add("rewards/unknown", unknown, len(sampled.rewards))
        if unknown:
            self.fault(
                "unknown_grades", f"step {sampled.step}: {unknown} of {len(sampled.rewards)} grades are unknown."
            )
        if not bool(sampled.advantages.any()):
            self.fault("equal_rewards", f"step {sampled.step}: within each problem all rewards are equal.")
        if self.watch is not None:
            kept = zip(output["prompt_ids"], output["prompt_mask"], strict=True)
            prompts = self._tokenizer.batch_decode([ids[mask.bool()].tolist() for ids, mask in kept])
            self.watch.rollouts(sampled.step, told(sampled, prompts, lessons))

    # ---- loss ----

    def _prepare_inputs(self, generation_batch: Any) -> Batch:
        before = self._buffered_inputs
        inputs: Batch = super()._prepare_inputs(generation_batch)
        if self.model.training and self._buffered_inputs is not before:
            self._count(self._buffered_inputs)
        return inputs

    def _counts(self, batch: Batch) -> Tensor:
        """Tokens and sequences of a micro-batch that count, (losses, 2)."""
        return counted(loss_mask(batch), ~batch["rewards"].isnan()).unsqueeze(0)

    def _count(self, batches: list[Batch]) -> None:
        """Give each micro-batch what its optimizer step counts, on all processes.

        A step that spans generations cannot know those to come: it takes the present one for all of them.
        """
        counts = self.accelerator.reduce(torch.stack([self._counts(batch) for batch in batches]), reduction="sum")
        size = self.args.gradient_accumulation_steps
        for i, batch in enumerate(batches):
            if len(batches) % size:
                batch["counts"] = counts.sum(0) * size / len(batches)
            else:
                batch["counts"] = counts[i // size * size :][:size].sum(0)

    def _step_of(self, batch: Batch, n_rows: int, loss: int = 0) -> Step:
        """The optimizer step of a micro-batch of `n_rows`, for the policy loss (0) or the divergence (1)."""
        if not self.model.training:
            return Step()
        processes = self.accelerator.num_processes
        tokens, sequences = batch["counts"][loss]
        rows = n_rows * self.current_gradient_accumulation_steps * processes
        return Step(processes, rows, tokens, sequences, self.max_completion_length)

    def _tokens(self, batch: Batch, **more: Tensor) -> Tokens:
        """What a token weight may know before the logits are, (B, T) each."""
        like = batch["completion_ids"]
        place = torch.arange(like.shape[1], device=like.device).expand_as(like)
        length = batch["completion_mask"].sum(1, keepdim=True).expand_as(like)
        spread = {name: batch[f"{name}s"].unsqueeze(1).expand_as(like) for name in ("reward", "advantage")}
        return Tokens(marker=batch.get("markers"), position=place, length=length, **spread, **more)

    def _compute_loss(self, model: Any, inputs: Batch) -> Tensor:
        batch = trimmed(inputs)
        ids, attention = joined(batch)
        length, mask = batch["completion_ids"].shape[1], loss_mask(batch)
        logp, entropy, aux = self._get_per_token_logps_and_entropies(
            model, ids, attention, length, compute_entropy=True, compute_aux_loss=self.aux_loss_enabled
        )
        sampling = Sampling.of(batch)
        each = policy_loss(logp, sampling, self.policy)
        known = self._tokens(batch, student_logp=logp.detach(), entropy=entropy.detach())
        factor = of_policy(self.remedy, known)
        share = self._step_of(batch, len(ids)).shares(mask, self.policy.aggregate, ~batch["rewards"].isnan())
        share = share if factor is None else share * factor
        loss = (each.masked_fill(share == 0, 0) * share).sum()
        if self.model.training:
            self._note(batch, mask, sampling, each.detach(), known, factor)
        if aux is not None:
            steps = self.current_gradient_accumulation_steps if self.model.training else 1
            loss = loss + self.router_aux_loss_coef * aux / steps
        return loss

    def _note(
        self, batch: Batch, mask: Tensor, sampling: Sampling, each: Tensor, known: Tokens, factor: Tensor | None
    ) -> None:
        """Numbers for the log, and each token for the watch."""
        logp, entropy = known["student_logp"], known["entropy"]
        self.pooled.tokens("entropy", entropy, mask)
        self._note_policy(logp, each, sampling, mask)
        ratio = torch.ones_like(logp) if sampling.is_weight is None else sampling.is_weight
        if sampling.old_logp is not None:
            ratio = ratio * importance_weights(logp, sampling.old_logp, clip=math.inf)
        told = {"student_logp": logp, "entropy": entropy, "is_weight": ratio, "advantage": sampling.advantages}
        self._tell(batch, mask, told | {"weight": torch.ones_like(logp) if factor is None else factor})

    def _note_policy(self, logp: Tensor, each: Tensor, sampling: Sampling, mask: Tensor) -> None:
        """Numbers of the policy loss for the log."""
        old = logp if sampling.old_logp is None else sampling.old_logp
        low, high, most = self.policy.clip_low, self.policy.clip_high, self.policy.dual_clip
        ranged, dual = clipped(logp, old, sampling.advantages, low=low, high=high, dual=most)
        self.pooled.tokens("policy/loss", each, mask)
        self.pooled.tokens("policy/clipped", ranged.float(), mask)
        self.pooled.tokens("policy/dual_clipped", dual.float(), mask)
        self.pooled.tokens("policy/log_ratio", logp - old, mask)

    def _tell(self, batch: Batch, mask: Tensor, columns: dict[str, Tensor]) -> None:
        if self.watch is not None:
            self.watch.tokens(int(batch["generated"]), batch["keys"], columns, mask.bool())

    def _load_more(self, folder: Path) -> None:
        super()._load_more(folder)
        if self.watch is not None:
            for batch in self._buffered_inputs or []:
                pairs = zip(batch["completion_ids"], batch["completion_mask"], strict=True)
                self.watch.recall(batch["keys"], [ids[mask.bool()].tolist() for ids, mask in pairs])


@contextmanager
def _unknown_is_no_news() -> Iterator[None]:
    """Without TRL's warning at each unknown grade, which prints the whole row; they are counted and said once."""

    def keep(record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith("All reward functions returned None")

    log = logging.getLogger("trl.trainer.grpo_trainer")
    log.addFilter(keep)
    try:
        yield
    finally:
        log.removeFilter(keep)
