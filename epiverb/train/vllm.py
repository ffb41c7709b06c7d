"""The vLLM engine that a trainer of TRL generates with, as an engine for probes: its weights are the model's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from epiverb.models.base import Completion, Request, Sampling
from epiverb.models.chat import Chat
from epiverb.models.loading import end_ids
from epiverb.models.seeds import base
from epiverb.train import ranks

DECODED = ("temperature", "top_p", "top_k", "min_p")


class InTrainer:
    """Samples through `GRPOTrainer.vllm_generation`, colocated or served.

    Every process calls `generate`, also with no request: the weights are brought up to date by all of them.

    Args:
        generation: TRL's.
        plain: no chat template.
    """

    name = "vllm"

    def __init__(self, generation: Any, tokenizer: Any, *, plain: bool = False) -> None:
        self._generation = generation
        self.chat = Chat(tokenizer, "the model in training", plain=plain)
        self._eos = end_ids(tokenizer, getattr(getattr(generation, "model", None), "generation_config", None))

    def generate(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[Completion]:
        """The samples of all requests; a sample has a seed of its own that does not change from call to call."""
        self._generation.sync_weights()
        prompts = [(request, self.chat.encode(request)) for request in requests]
        # TRL cuts what several processes asked for into equal parts, so each must ask for as many.
        ids_of = [list(prompt.ids) for _, prompt in prompts]
        most = max(ranks.gathered(len(prompts)))
        asked = [*ids_of, *[ids_of[0] if ids_of else [min(self._eos)]] * (most - len(ids_of))]
        for sample in range(sampling.n if most else 0):
            with self._set(sampling, base(sampling.seed, "probe") + sample):
                ids = self._generation.generate(asked, None, 1)[1][: len(prompts)]
            for (request, prompt), row in zip(prompts, ids, strict=True):
                ended = len(row) > 0 and row[-1] in self._eos
                kept = tuple(row[:-1] if ended else row)
                text = self.chat.decode(list(kept), prompt.ids)
                reason: Any = "stop" if ended or len(row) < sampling.max_tokens else "length"
                yield Completion(request.key, sample, prompt.text, text, kept, reason, len(kept))

    @contextmanager
    def _set(self, sampling: Sampling, seed: int) -> Iterator[None]:
        """The probes' way to decode, and behind it the trainer's own."""
        own = self._generation
        names = (*DECODED, "max_completion_length", "generation_kwargs")
        before = {name: getattr(own, name) for name in names}
        for name in DECODED:
            setattr(own, name, getattr(sampling, name))
        own.max_completion_length = sampling.max_tokens
        own.generation_kwargs = {**(before["generation_kwargs"] or {}), "seed": seed}
        try:
            yield
        finally:
            for name, value in before.items():
                setattr(own, name, value)
