"""One batch, decoded: each prompt prefilled once, its cache shared by its samples, finished rows dropped at once.

`model.generate` is not used for three reasons. It repeats the prompt before the prefill, n times the work; it computes
finished rows until the last one ends; and it draws from the global generator, so that a sample depends on its batch. The
model, its cache classes and its masks are transformers' own.
"""

from __future__ import annotations

import inspect
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from epiverb.models.base import Completion, Processor, Request, Row, Sampling
from epiverb.models.chat import Chat, Prompt
from epiverb.models.choose import choose
from epiverb.models.seeds import uniform

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Job:
    """Samples of one request that are decoded in one batch."""

    request: Request
    prompt: Prompt
    samples: tuple[int, ...]
    room: int
    """Tokens each of them may have."""
    place: int = 0
    """The request's, for whoever asked."""


@dataclass
class Live:
    """A row of the batch: one sample so far."""

    job: Job
    sample: int
    source: random.Random
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    tops: list[tuple[tuple[int, float], ...]] = field(default_factory=list)


class Decoder:
    """Decodes batches with one model.

    Args:
        eos: ids that end a response.
        processors: see `models.base.Processor`.
    """

    def __init__(self, model: Any, chat: Chat, eos: frozenset[int], processors: Sequence[Processor]) -> None:
        self.model = model
        self.chat = chat
        self.eos = eos
        self.processors = tuple(processors)
        known = inspect.signature(model.forward).parameters
        self._last = {"logits_to_keep": 1} if "logits_to_keep" in known else {}
        self._positions = "position_ids" in known

    def run(self, jobs: Sequence[Job], sampling: Sampling) -> Iterator[tuple[Job, Completion]]:
        """The samples of all `jobs` as they finish, each with its job."""
        import torch

        live = [Live(job, j, uniform(sampling.seed, job.request.key, j)) for job in jobs for j in job.samples]
        with torch.inference_mode():
            batch = Batch.prefill(self, live)
            self._begin(live, batch)
            while True:
                tokens = self._step(live, batch, sampling)
                ended = [self._ended(row, token, sampling) for row, token in zip(live, tokens, strict=True)]
                for row, end in zip(live, ended, strict=True):
                    if end:
                        yield row.job, self._completion(row, end, sampling, batch)
                going = [i for i, end in enumerate(ended) if not end]
                if not going:
                    return
                if len(going) < len(live):
                    live = [live[i] for i in going]
                    batch.keep(going)
                    self._begin(live, batch)
                batch.advance(self, [row.ids[-1] for row in live])

    def _begin(self, live: list[Live], batch: Batch) -> None:
        rows = [self._row(row, batch) for row in live]
        for processor in self.processors:
            if begin := getattr(processor, "begin", None):
                begin(rows)

    def _row(self, row: Live, batch: Batch) -> Row:
        return Row(row.job.request.key, row.sample, batch.width - row.job.prompt.prefix_ids)

    def _step(self, live: list[Live], batch: Batch, sampling: Sampling) -> list[int]:
        """The next token of each row, noted with its log-probability where that is asked for."""
        raw = batch.logits
        scores = raw
        for processor in self.processors:
            scores = processor(batch.input_ids, scores)
        greedy = sampling.temperature == 0
        chosen = choose(scores, sampling, [] if greedy else [row.source.random() for row in live])
        tokens = chosen.tolist()
        if sampling.logprobs is not None:
            _note(live, raw, chosen, sampling.logprobs)
        for row, token in zip(live, tokens, strict=True):
            row.ids.append(token)
        return tokens

    def _ended(self, row: Live, token: int, sampling: Sampling) -> str | None:
        """`stop`, `length`, or None for a row that goes on."""
        if token in self.eos or (sampling.stop and self._stopped(row, sampling.stop)):
            return "stop"
        return "length" if len(row.ids) >= row.job.room else None

    def _stopped(self, row: Live, stops: tuple[str, ...]) -> bool:
        """Whether a stop string has just been completed: it ends within the last tokens, each of a byte at least."""
        tail = row.ids[-(max(len(stop.encode()) for stop in stops) + 4) :]
        text = self.chat.decode(tail, row.job.prompt.ids)
        return any(stop in text for stop in stops) and cut(self._text(row), stops) is not None

    def _text(self, row: Live) -> str:
        return self.chat.decode(row.ids, row.job.prompt.ids)

    def _completion(self, row: Live, end: str, sampling: Sampling, batch: Batch) -> Completion:
        request, asked = row.job.request, sampling.logprobs
        if row.ids[-1] in self.eos:  # the two others are empty or as long
            row.ids, row.logprobs, row.tops = row.ids[:-1], row.logprobs[:-1], row.tops[:-1]
        text = self._text(row)
        at = cut(text, sampling.stop) if end == "stop" else None
        told = self._row(row, batch)
        extra = {k: v for p in self.processors if hasattr(p, "report") for k, v in p.report(told).items()}
        return Completion(
            key=request.key,
            sample=row.sample,
            prompt=row.job.prompt.text,
            text=request.prefix + text[:at],
            token_ids=tuple(row.ids),
            finish_reason="stop" if end == "stop" else "length",
            n_tokens=len(row.ids),
            logprobs=tuple(row.logprobs) if asked is not None else None,
            top_logprobs=tuple(row.tops) if asked else None,
            extra=extra,
            given=len(request.prefix),
        )


@dataclass
class Batch:
    """What the model knows of the rows: cache, mask, the logits of the next token."""

    cache: Any
    mask: Tensor | None
    """Ones where there is a token; None where no row is padded."""
    lengths: Tensor
    """Tokens of each row, padding not."""
    input_ids: Tensor
    logits: Tensor
    """Of the next token, float32, rows x vocabulary."""
    width: int
    """Columns of the padded prompts."""

    @classmethod
    def prefill(cls, decoder: Decoder, live: list[Live]) -> Batch:
        """The rows' prompts in the cache, each distinct one computed once."""
        import torch
        from transformers import DynamicCache

        prompts = list(dict.fromkeys(row.job.prompt.ids for row in live))
        place = {ids: i for i, ids in enumerate(prompts)}
        width, device = max(map(len, prompts)), decoder.model.device
        ids = torch.full((len(prompts), width), decoder.chat.tokenizer.pad_token_id or 0)
        mask = torch.zeros_like(ids)
        for i, prompt in enumerate(prompts):
            ids[i, width - len(prompt) :] = torch.tensor(prompt)
            mask[i, width - len(prompt) :] = 1
        ids, mask = ids.to(device), mask.to(device)
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        padded = None if bool(mask.all()) else mask
        batch = cls(DynamicCache(config=decoder.model.config), padded, mask.sum(-1), ids, ids, width)
        batch._forward(decoder, ids, positions)
        rows = [place[row.job.prompt.ids] for row in live]
        if rows != list(range(len(prompts))):
            batch.keep(rows)
        return batch

    def keep(self, rows: list[int]) -> None:
        """Only these rows, in this order; a row may be kept several times."""
        import torch

        index = torch.tensor(rows)  # on the CPU it may index any device: layers can be on several
        self.cache.batch_select_indices(index)
        self.mask = self.mask[index] if self.mask is not None else None
        self.lengths, self.input_ids = self.lengths[index], self.input_ids[index]
        self.logits = self.logits[index]

    def advance(self, decoder: Decoder, tokens: list[int]) -> None:
        """One token further."""
        import torch

        column = torch.tensor(tokens, device=self.input_ids.device)[:, None]
        if decoder.processors:
            self.input_ids = torch.cat([self.input_ids, column], 1)
        if self.mask is not None:
            self.mask = torch.cat([self.mask, torch.ones_like(column)], 1)
        self._forward(decoder, column, self.lengths[:, None])
        self.lengths = self.lengths + 1

    def _forward(self, decoder: Decoder, ids: Tensor, positions: Tensor) -> None:
        placed = {"position_ids": positions} if decoder._positions else {}
        out = decoder.model(
            input_ids=ids,
            attention_mask=self.mask,
            past_key_values=self.cache,
            use_cache=True,
            **placed,
            **decoder._last,
        )
        self.logits = out.logits[:, -1].float()


def _note(live: list[Live], raw: Tensor, chosen: Tensor, k: int) -> None:
    """Write down the log-probability of the chosen tokens, and the `k` most likely ones, under the model's own logits."""
    logp = raw.log_softmax(-1)
    own = logp.gather(1, chosen[:, None])[:, 0].tolist()
    values, ids = (part.tolist() for part in logp.topk(min(k, logp.shape[1]), -1)) if k else ([()] * len(live),) * 2
    for row, value, top, names in zip(live, own, values, ids, strict=True):
        row.logprobs.append(value)
        row.tops.append(tuple(zip(names, top, strict=True)))


def cut(text: str, stops: tuple[str, ...]) -> int | None:
    """Where the first stop string begins in `text`; None where there is none."""
    places = [place for stop in stops if (place := text.find(stop)) >= 0]
    return min(places, default=None)
