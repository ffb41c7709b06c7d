"""The `hf` engine: a transformers model in this process, on any device."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from itertools import islice
from typing import Any

from epiverb.errors import EngineError
from epiverb.models import loading
from epiverb.models.base import Completion, Processor, Request, Sampling
from epiverb.models.chat import Chat
from epiverb.models.decode import Decoder, Job
from epiverb.models.ordered import Together, refused, samples_of, too_long

AHEAD = 512
"""Requests looked at together, so that prompts of like length share a batch."""
ROWS = {"cpu": 64}
"""Rows of a batch at most, by device: more do not make a CPU faster."""
MOST_ROWS = 256
SHARE = 0.6
"""Of the free memory, what the caches of a batch may take."""


class HF:
    """Samples from a transformers model.

    Args:
        model: folder or hub name.
        revision: branch, tag or commit on the hub.
        dtype: `auto` (the checkpoint's own), `float32`, `bfloat16`, `float16`.
        device: `cpu`, `cuda`, `cuda:1`, `mps`; default: the best there is.
        device_map: `auto` spreads the model over all GPUs (instead of `device`).
        trust_remote_code: run code that the model's repository brings.
        plain: plain completion, no chat template (base models).
        window: tokens of prompt and response together, where less than the model's own.
        batch_tokens: tokens, prompts and longest responses together, that a batch may hold; default: by free memory.
        batch_size: rows that a batch may have; default: 64 on a CPU, else 256.
        processors: see `models.base.Processor`.
    """

    name = "hf"

    def __init__(
        self,
        model: str,
        *,
        revision: str | None = None,
        dtype: str = "auto",
        device: str | None = None,
        device_map: str | None = None,
        trust_remote_code: bool = False,
        plain: bool = False,
        window: int | None = None,
        batch_tokens: int | None = None,
        batch_size: int | None = None,
        processors: Sequence[Processor] = (),
    ) -> None:
        torch = loading.require("torch", "train")
        if dtype != "auto" and not isinstance(getattr(torch, dtype, None), torch.dtype):
            raise EngineError(f"dtype {dtype!r} is unknown; use auto, float32, bfloat16 or float16.")
        source: dict[str, Any] = {"revision": revision, "trust_remote_code": trust_remote_code}
        tokenizer = loading.load_tokenizer(model, **source)
        placed: dict[str, Any] = {"device_map": device_map} if device_map else {}
        loaded = loading.load_model(model, dtype=dtype, **placed, **source)
        if not device_map:
            loaded = _moved(loaded, device or _best_device(torch))
        self._set(loaded, tokenizer, model, plain, window, batch_tokens, batch_size, processors)
        self.used["revision"] = revision

    @classmethod
    def over(
        cls,
        model: Any,
        tokenizer: Any,
        name: str = "model in memory",
        *,
        plain: bool = False,
        window: int | None = None,
        batch_tokens: int | None = None,
        batch_size: int | None = None,
        processors: Sequence[Processor] = (),
    ) -> HF:
        """The engine over a model that is loaded already; leaving it does not free the model."""
        engine = cls.__new__(cls)
        engine._set(model, tokenizer, name, plain, window, batch_tokens, batch_size, processors)
        return engine

    def _set(
        self,
        model: Any,
        tokenizer: Any,
        name: str,
        plain: bool,
        window: int | None,
        batch_tokens: int | None,
        batch_size: int | None,
        processors: Sequence[Processor],
    ) -> None:
        self.chat = Chat(tokenizer, name, plain=plain)
        self.tokenizer = tokenizer
        self.model = model
        own = loading.window_of(model.config)
        self.window = min(filter(None, (own, window)), default=None)
        self.eos = loading.end_ids(tokenizer, getattr(model, "generation_config", None), model.config)
        self.processors = list(processors)
        """May be changed between calls of `generate`."""
        self.batch_tokens = batch_tokens
        self._rows = batch_size or ROWS.get(model.device.type, MOST_ROWS)
        self.used: dict[str, Any] = {"engine": self.name, "model": name, **_described(model, tokenizer)}

    def generate(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[Completion]:
        """See `models.base.Engine.generate`."""
        self._note(sampling)
        waiting, together = enumerate(requests), Together()
        try:
            while block := list(islice(waiting, AHEAD)):
                jobs = []
                for place, request in block:
                    job = self._job(place, request, sampling)
                    together.expect(place, job.samples)
                    if job.room >= 1:
                        jobs.append(job)
                    else:
                        fault = too_long(len(job.prompt.ids), self.window or 0)
                        yield from together.take(place, *refused(request, job.samples, job.prompt.text, fault))
                for job, completion in self._decoded(jobs, sampling):
                    yield from together.take(job.place, completion)
        except EngineError:
            yield from together.rest()
            raise

    def _job(self, place: int, request: Request, sampling: Sampling) -> Job:
        prompt = self.chat.encode(request)
        room = min(sampling.max_tokens, self.window - len(prompt.ids)) if self.window else sampling.max_tokens
        return Job(request, prompt, samples_of(request, sampling), room, place)

    def _decoded(self, jobs: list[Job], sampling: Sampling) -> Iterator[tuple[Job, Completion]]:
        """Every job's completions, batch by batch; a batch that does not fit into memory is tried again in halves."""
        import torch

        decoder = Decoder(self.model, self.chat, self.eos, self.processors)
        jobs = sorted((job for job in jobs if job.samples), key=lambda job: len(job.prompt.ids))
        limit = self.used["batch_tokens"] = self.batch_tokens or self._room()
        while jobs:
            batch, rest = _batch(jobs, limit, self._rows)
            done: set[tuple[int, int]] = set()
            try:
                for job, completion in decoder.run(batch, sampling):
                    done.add((job.place, completion.sample))
                    yield job, completion
                jobs = rest
            except torch.OutOfMemoryError as error:
                self._halve(batch, error)
                jobs = [*_undone(batch, done), *rest]

    def _halve(self, batch: list[Job], error: Exception) -> None:
        """Smaller batches from now on; raises `EngineError` where one row is too much."""
        import torch

        rows = sum(len(job.samples) for job in batch)
        if rows == 1:
            raise EngineError(
                f"{self.chat.name} runs out of memory on one response of {batch[0].request.key!r}; lower --max-tokens, "
                "choose a smaller dtype, or spread the model: --engine-option device_map=auto."
            ) from error
        self._rows = self.used["rows_after_out_of_memory"] = rows // 2
        torch.cuda.empty_cache()

    def _room(self) -> int:
        """Tokens whose keys and values fit into the free memory."""
        import torch

        config = self.model.config.get_text_config()
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        # Each step writes the cache anew, one layer at a time; hence a share of the free memory, not all of it.
        per_token = 2 * config.num_hidden_layers * heads * size * self.model.dtype.itemsize
        if self.model.device.type == "cuda":
            free = torch.cuda.mem_get_info(self.model.device)[0]
        else:
            free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
        return max(1, int(SHARE * free) // per_token)

    def _note(self, sampling: Sampling) -> None:
        self.used["sampling"] = asdict(sampling)
        self.used["thinking"] = self.chat.how
        self.used["processors"] = [type(processor).__name__ for processor in self.processors]

    def count_tokens(self, texts: list[str]) -> list[int]:
        """Tokens of each text without special tokens."""
        return self.chat.count_tokens(texts)

    def render(self, request: Request) -> str:
        """The prompt as the model is shown it."""
        return self.chat.render(request)

    def __enter__(self) -> HF:
        return self

    def __exit__(self, *exception: object) -> None:
        import gc

        import torch

        del self.model
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _batch(jobs: list[Job], limit: int, rows: int) -> tuple[list[Job], list[Job]]:
    """The jobs of the next batch, from the front, and those left. A job that is too large alone is cut in two."""
    batch: list[Job] = []
    taken = length = room = 0
    for i, job in enumerate(jobs):
        length, room = max(length, len(job.prompt.ids)), max(room, job.room)
        fit = min(rows, max(1, limit // (length + room))) - taken
        if fit >= len(job.samples):
            batch.append(job)
            taken += len(job.samples)
            continue
        if batch:
            return batch, jobs[i:]
        head, tail = job.samples[:fit], job.samples[fit:]
        return [replace(job, samples=head)], [replace(job, samples=tail), *jobs[i + 1 :]]
    return batch, []


def _undone(batch: list[Job], done: set[tuple[int, int]]) -> list[Job]:
    left = (replace(job, samples=tuple(j for j in job.samples if (job.place, j) not in done)) for job in batch)
    return [job for job in left if job.samples]


def _best_device(torch: Any) -> str:
    return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"


def _moved(model: Any, device: str) -> Any:
    try:
        return model.to(device)
    except (RuntimeError, AssertionError) as error:
        line = " ".join(str(error).split())[:200]
        raise EngineError(
            f"the model cannot be put on device {device!r}; try --engine-option device=cpu. ({line})"
        ) from error


def _described(model: Any, tokenizer: Any) -> dict[str, Any]:
    """What is known of the model without decoding: goes into `Engine.used`."""
    generation = getattr(model, "generation_config", None)
    suggested = generation.to_diff_dict() if generation else {}
    return {
        "commit": getattr(model.config, "_commit_hash", None),
        "architecture": type(model).__name__,
        "dtype": str(model.dtype).removeprefix("torch."),
        "device": str(model.device),
        "attention": model.config._attn_implementation,
        "window": loading.window_of(model.config),
        "vocabulary": getattr(model.config.get_text_config(), "vocab_size", None),
        "eos_token_ids": sorted(loading.end_ids(tokenizer, generation, model.config)),
        "chat_template_sha256": loading.template_hash(tokenizer),
        # What a model's authors suggest is not decoded with unless it was asked for; it is on record.
        "suggested_not_used": loading.suggestions(suggested),
        "logprobs_of": "the model's own distribution, float32, before processors, temperature and truncation",
        "versions": loading.versions("torch", "transformers"),
    }
