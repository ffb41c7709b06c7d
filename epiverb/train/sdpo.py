"""SDPO on TRL's stable GRPO trainer: the teacher is the model that has seen a solution of the same problem.

    trainer = SDPO(model, reward, args=GRPOConfig("out"), train_dataset=problems, settings=Distillation())

After generation and grading each response gets a demonstration, the teacher a prompt with it. In the loss the teacher reads
the student's response behind that prompt, and the student is drawn towards it at every token. GRPO's loss of the same tokens
is taken in the same pass where `blend` or a token weight asks for it.

Source: arXiv 2603.24472, beanie00/self-distillation-analysis@5c51051; arXiv 2601.20802, lasgroup/SDPO@0e6d510.
Ours differs: docs/design/training.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object
from torch import Tensor
from trl import GRPOConfig

from epiverb.contexts import parse as parse_context
from epiverb.errors import ConfigError
from epiverb.train import resume
from epiverb.train.chunked import Chunked
from epiverb.train.distilling import Distilling
from epiverb.train.faults import logger
from epiverb.train.following import Following
from epiverb.train.forward import States, add_head, response_states, states
from epiverb.train.grpo import GRPO
from epiverb.train.inputs import Batch, chosen, encoder, joined, loss_mask, padded, trimmed
from epiverb.train.logps import chunked_logps
from epiverb.train.policy import counted, policy_loss
from epiverb.train.projection import Head
from epiverb.train.remedies import InChunks, Remedy, remedy
from epiverb.train.rollouts import Lesson, Peers, Sampled, Teaching, lesson_fractions
from epiverb.train.settings import Distillation, Policy
from epiverb.train.sharding import prepared, sharded
from epiverb.train.teacher import Teacher
from epiverb.train.watch import Watch


class SDPO(GRPO):
    """`trl.GRPOTrainer` that distils from the model with privileged context.

    Args:
        model, reward_funcs, args, watch, **parent: see `GRPO`.
        settings: the divergence and the teacher; the published settings.
        policy: GRPO's loss, where there is one besides; its weights must be `none`, those of `settings` weigh both.
    """

    _tag_names = ["trl", "sdpo"]  # noqa: RUF012
    _name = "SDPO"

    def __init__(
        self,
        model: Any,
        reward_funcs: Any = None,
        args: GRPOConfig | None = None,
        *,
        settings: Distillation | None = None,
        policy: Policy | None = None,
        watch: Watch | None = None,
        **parent: Any,
    ) -> None:
        self.settings = settings or Distillation()
        policy = policy or Policy()
        if policy.weights != "none":
            raise ConfigError("the policy's token weights are those of the distillation: give them there.")
        super().__init__(model, reward_funcs, args, settings=policy, watch=watch, **parent)
        self._check()
        add_head(self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model)
        asked = self.settings
        self.teacher = Teacher(self.model, asked.teacher, rate=asked.rate, rank=asked.teacher_rank)
        prepared(self.teacher, self.accelerator)
        self.add_callback(Following(self))
        positions = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        self._positions: int | None = positions
        self._teacher_in: Path | None = None

    def _check(self) -> None:
        """Raise `ConfigError` for what does not go together."""
        if self.aux_loss_enabled:
            raise ConfigError("SDPO has no load-balancing loss for mixtures of experts: set router_aux_loss_coef=0.0.")
        self._needs = parse_context(self.settings.contrast).needs
        if not self.remedy.needs("contrast_logp"):
            return
        if self.settings.teacher == "trust-region":
            raise ConfigError("a contrast needs one teacher; trust-region has two. Use fixed, ema or live.")
        if not {"wrong", "unrelated"} & set(self._needs):
            raise ConfigError(f"contrast {self.settings.contrast!r} shows neither a wrong nor an unrelated solution.")

    def _remedy(self) -> Remedy:
        return remedy(self.settings.weights, teacher=True)

    def _rollout_is_clip(self) -> float | None:
        return self.settings.rollout_is_clip

    def _wants_marks(self) -> bool:
        return self.remedy.marks or "markers" in self.settings.choose

    @property
    def _parts(self) -> tuple[float, float]:
        """Factors of the divergence and of the policy loss. A token weight that routes between both has them whole."""
        blend = self.settings.blend
        return (1.0, 1.0) if not blend and "policy" in self.remedy.losses else (1 - blend, blend)

    # ---- lessons ----

    def _teach(self, sampled: Sampled, output: Batch) -> list[Lesson]:
        chat = not isinstance(sampled.rows[0]["prompt"], str)
        encode = encoder(self.processing_class, self.chat_template_kwargs, chat=chat)
        teaching = Teaching(self.settings, encode, self._positions, self.args.seed)
        contrast = self.remedy.needs("contrast_logp")
        unrelated = contrast and "unrelated" in self._needs
        peers = self._peers(sampled, everywhere=unrelated)
        lessons = teaching.lessons(sampled, peers, self.settings.context, teaching.demonstration(sampled.step))
        taught = [lesson.prompt.used for lesson in lessons]
        self._inputs(output, "teacher", lessons)
        if contrast:
            others = teaching.lessons(sampled, peers, self.settings.contrast, teaching.contrast(peers, unrelated))
            self._inputs(output, "contrast", others)
            taught = [a and b.prompt.used for a, b in zip(taught, others, strict=True)]
        output["taught"] = torch.tensor(taught, device=output["completion_ids"].device)
        if self.model.training:
            self._count_lessons(sampled, peers, lessons, taught)
        return lessons

    def _peers(self, sampled: Sampled, everywhere: bool) -> Peers:
        """Candidates; those of all processes where a group is spread over several."""
        texts = self._tokenizer.batch_decode(sampled.ids, skip_special_tokens=True)
        own = sampled.peers(texts)
        if self.accelerator.num_processes == 1 or not (everywhere or sampled.spread()):
            return Peers(sampled.first, own, sampled.group)
        return Peers(0, gather_object(own), sampled.group)

    def _inputs(self, output: Batch, name: str, lessons: list[Lesson]) -> None:
        rows = [lesson.ids for lesson in lessons]
        device, pad = output["completion_ids"].device, self._tokenizer.pad_token_id
        output[f"{name}_ids"], output[f"{name}_mask"] = padded(rows, pad, "left", device)

    def _count_lessons(self, sampled: Sampled, peers: Peers, lessons: list[Lesson], taught: list[bool]) -> None:
        for name, value in lesson_fractions(sampled, peers, lessons, taught, self.settings.threshold).items():
            self.pooled.add(f"self_distillation/{name}", value * len(lessons), len(lessons))
        anybody = torch.tensor(float(sum(taught)), device=self.accelerator.device)
        if not bool(self.accelerator.reduce(anybody, reduction="sum")):
            reason = next((each.prompt.reason for each in lessons if each.prompt.reason), "no contrast")
            self.fault("no_demonstration", f"step {sampled.step}: no response has a teacher, such as: {reason}")

    def _counts(self, batch: Batch) -> Tensor:
        return torch.cat([super()._counts(batch), counted(loss_mask(batch), batch["taught"]).unsqueeze(0)])

    # ---- loss ----

    def _compute_loss(self, model: Any, inputs: Batch) -> Tensor:
        rows = inputs["taught"] | (self._parts[1] > 0) & ~inputs["rewards"].isnan()
        # A row without any loss is not looked at; some forward there must be, since other processes wait for it.
        asleep = not bool(rows.any())
        batch = trimmed(chosen(inputs, torch.arange(1) if asleep else rows.nonzero().squeeze(1)))
        work = self._distilling(batch, loss_mask(batch) * (not asleep), len(rows))
        ids, attention = joined(batch)
        length = batch["completion_ids"].shape[1]
        found: list[Chunked] = []

        def take(hidden: Tensor, head: Head, softcap: float | None) -> dict[str, Tensor]:
            found.append(work.loss(response_states(hidden, length), head, softcap))
            return {"loss": found[0].loss}

        with self.accelerator.autocast():
            loss: Tensor = model(input_ids=ids, attention_mask=attention, head=take)["loss"]
        if self.model.training and not asleep:
            self._note_taught(work, found[0])
        return loss

    def _distilling(self, batch: Batch, mask: Tensor, n_rows: int) -> Distilling:
        """The loss of a micro-batch of `n_rows`, of which those with a loss are left."""
        return Distilling(
            settings=self.settings,
            policy=self.policy,
            parts=self._parts,
            temperature=self.temperature,
            batch=batch,
            mask=mask,
            teachers=self._ask(batch, "teacher", batch["taught"] & mask.any(1)),
            late=self._late_weights(batch, mask),
            of_teacher=self._step_of(batch, n_rows, 1),
            of_policy=self._step_of(batch, n_rows, 0),
        )

    def _ask(self, batch: Batch, who: str, rows: Tensor) -> list[tuple[float, States]]:
        """The states of the teacher's parts for the responses, 0 where there is no lesson; [] where nobody has one.

        Sharded weights are gathered in the forward, so there every process asks, if only about a token.
        """
        places = rows.nonzero().squeeze(1)
        if not len(places) and not sharded(self.accelerator):
            return []
        some = trimmed(chosen(batch, places if len(places) else torch.arange(1)))
        ids, attention = joined(some, who)
        length, full = some["completion_ids"].shape[1], batch["completion_ids"].shape
        keep = sharded(self.accelerator)
        with torch.no_grad(), self.accelerator.autocast():
            parts = self.teacher.run(self.model, lambda model: states(model, ids, attention, length, keep=keep))

        def spread(hidden: Tensor) -> Tensor:
            out = hidden.new_zeros((*full, hidden.shape[-1]))
            if len(places):
                out[places, :length] = hidden
            return out

        return [(factor, States(spread(each.hidden), each.head)) for factor, each in parts]

    def _late_weights(self, batch: Batch, mask: Tensor) -> InChunks | None:
        """The token weight, with what it must know before the logits are."""
        if self.remedy.weight is None:
            return None
        taught = batch["taught"].unsqueeze(1).expand_as(mask)
        more = {"has_teacher": taught}
        if self.remedy.needs("contrast_logp"):
            more["contrast_logp"] = self._contrast(batch, mask * taught)
        return InChunks(self.remedy.weight, self._tokens(batch, **more))

    def _contrast(self, batch: Batch, mask: Tensor) -> Tensor:
        """Log-probabilities under the second context (B, T)."""
        parts = self._ask(batch, "contrast", batch["taught"] & mask.any(1))
        if not parts or not bool(mask.any()):
            return torch.zeros(mask.shape, device=mask.device)
        _, (hidden, head) = parts[0]
        text = self.model.config.get_text_config()
        cap = getattr(text, "final_logit_softcapping", None)
        how = {"b": head.bias, "temperature": self.temperature, "softcap": cap}
        return chunked_logps(hidden, head.weight, batch["completion_ids"], mask=mask, **how).logp.nan_to_num(0)

    def _note_taught(self, work: Distilling, done: Chunked) -> None:
        """Numbers for the log, and each token for the watch."""
        told, mask = work.columns(done), work.mask
        self.pooled.tokens("entropy", told["entropy"], mask)
        self.pooled.tokens("distill/logp_gap", told["teacher_logp"] - told["student_logp"], mask)
        for name in ("divergence", "teacher_entropy", "weight"):
            self.pooled.tokens(f"distill/{name}", told[name], mask)
        if self._parts[1]:
            logp = told["student_logp"]
            self._note_policy(logp, policy_loss(logp, work.sampling, self.policy), work.sampling, mask)
        self._tell(work.batch, mask, told)

    # ---- resume ----

    def _save_more(self, folder: Path) -> None:
        super()._save_more(folder)
        self._teacher_in = resume.save_teacher(folder, self.teacher, self.accelerator, older=self._teacher_in)

    def _load_more(self, folder: Path) -> None:
        super()._load_more(folder)
        self._teacher_in = resume.load_teacher(folder, self.teacher)
        if self._teacher_in is None and self.teacher.kind != "live":
            logger.warning(f"{folder} holds no teacher, so the teacher is the model that this run was started with.")
