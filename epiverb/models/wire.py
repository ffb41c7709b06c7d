"""What goes to an OpenAI-compatible server and what comes back, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from epiverb.errors import EngineError
from epiverb.io.rows import joined, message_parts
from epiverb.io.rows import plain as plain_text
from epiverb.models.base import Completion, FinishReason, Request, Sampling
from epiverb.models.chat import Prompt
from epiverb.models.seeds import base

Body = dict[str, Any]
OPEN_SERVERS = ("vllm", "sglang")
"""Servers (as `/models` names their owner) that take top-k, min-p and the template's variables. They would fill in what is
left out from the model's generation config, so they are told everything."""
REASONS: dict[str | None, FinishReason] = {"stop": "stop", "length": "length", "eos": "stop", "end_turn": "stop"}


@dataclass(frozen=True)
class Call:
    """One HTTP request: some samples of one request."""

    place: int
    request: Request
    samples: tuple[int, ...]
    prompt: Prompt | None
    """Where it is rendered here, from a template or as it is."""
    room: int | None
    """Tokens a response may have; None: as many as the window leaves."""

    @property
    def path(self) -> str:
        """Where it goes, behind the server's address."""
        return "chat/completions" if self.prompt is None else "completions"

    @property
    def shown(self) -> str:
        """The prompt for `Completion.prompt`."""
        return plain_text([dict(m) for m in self.request.messages]) or "" if self.prompt is None else self.prompt.text


def body_of(call: Call, model: str, kind: str, sampling: Sampling, limit_field: str, more: Body) -> Body:
    """The JSON to send. `more` goes on top; a value of None there leaves a field out."""
    request = call.request
    body: Body = {"model": model, "n": len(call.samples), "temperature": sampling.temperature, limit_field: call.room}
    body["top_p"] = sampling.top_p if sampling.temperature else 1.0
    body["seed"] = base(sampling.seed, request.key) + call.samples[0]
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    if kind in OPEN_SERVERS:
        body |= {"top_k": sampling.top_k or -1, "min_p": sampling.min_p, "repetition_penalty": 1.0}
        body |= {"skip_special_tokens": False, "spaces_between_special_tokens": False}
    else:  # the others refuse a field that they do not know, so that nothing is dropped in silence
        body |= {name: value for name, value in (("top_k", sampling.top_k), ("min_p", sampling.min_p)) if value}
    if kind == "vllm":
        body |= {"return_token_ids": True, "return_tokens_as_token_ids": sampling.logprobs is not None}
    body |= _chat(call, kind, sampling) if call.prompt is None else _plain(call, call.prompt, sampling)
    body |= more
    return {
        name: value for name, value in body.items() if value is not None or (name == limit_field and name not in more)
    }


def _chat(call: Call, kind: str, sampling: Sampling) -> Body:
    request = call.request
    body: Body = {"messages": [dict(message) for message in request.messages]}
    if sampling.logprobs is not None:
        body |= {"logprobs": True, "top_logprobs": sampling.logprobs}
    if request.thinking is not None:
        body["chat_template_kwargs"] = {"enable_thinking": request.thinking}
    if request.prefix and kind not in OPEN_SERVERS:
        raise EngineError(
            "this server cannot go on from a response that has begun. Render the prompt here, with the server's option "
            "template=FOLDER, or use --engine hf or vllm."
        )
    if request.prefix:
        body["messages"].append({"role": "assistant", "content": request.prefix})
        body |= {"continue_final_message": True, "add_generation_prompt": False}
    return body


def _plain(call: Call, prompt: Prompt, sampling: Sampling) -> Body:
    shown: Any = list(prompt.ids) or prompt.text + call.request.prefix
    return {"prompt": shown, **({"logprobs": sampling.logprobs} if sampling.logprobs is not None else {})}


def completions_of(call: Call, answer: Body, sampling: Sampling) -> list[Completion]:
    """The samples in a server's answer; fewer than asked for where it does not know `n`."""
    choices = answer["choices"][: len(call.samples)]
    usage = (answer.get("usage") or {}).get("completion_tokens") if len(choices) == 1 else None
    return [
        _completion(call, sample, choice, usage, sampling)
        for sample, choice in zip(call.samples, choices, strict=False)
    ]


def _completion(call: Call, sample: int, choice: Body, usage: int | None, sampling: Sampling) -> Completion:
    request = call.request
    if call.prompt is None:
        reasoning, answer = message_parts(choice.get("message") or {})
    else:
        reasoning, answer = None, choice.get("text")
    row = joined(reasoning, answer)
    span = (row["thinking_start"], row["thinking_end"]) if reasoning else None
    reason = REASONS.get(choice.get("finish_reason"), "error")
    ids, dropped = _ids(choice, reason)
    logprobs, tops = _logprobs(choice, sampling.logprobs)
    if dropped and logprobs is not None:
        logprobs, tops = logprobs[: len(ids or ())], tops[: len(ids or ())] if tops is not None else None
    given = len(request.prefix)
    return Completion(
        key=request.key,
        sample=sample,
        prompt=call.shown,
        text=request.prefix + (row["response"] or ""),
        token_ids=ids,
        finish_reason=reason,
        n_tokens=len(ids) if ids is not None else usage,
        logprobs=logprobs,
        top_logprobs=tops,
        error=None if reason != "error" else f"the server ended it with {choice.get('finish_reason')!r}",
        given=given,
        thinking=(span[0] + given, span[1] + given) if span else None,
    )


def _ids(choice: Body, reason: str) -> tuple[tuple[int, ...] | None, bool]:
    """Token ids where the server tells them, and whether the end-of-turn token was taken off."""
    ids = choice.get("token_ids")
    if not isinstance(ids, list):
        return None, False
    # vLLM counts the token that ended the response; a stop string is told by its text.
    ended = reason == "stop" and not isinstance(choice.get("stop_reason"), str)
    return tuple(ids[:-1] if ended else ids), ended


def _logprobs(choice: Body, asked: int | None) -> tuple[Any, Any]:
    """Log-probabilities of the tokens, and of the most likely ones where their ids can be told."""
    told = choice.get("logprobs")
    if asked is None or not told:
        if asked is not None:
            raise EngineError("the server sent no log-probabilities; ask for none, or use --engine hf or vllm.")
        return None, None
    if told.get("content") is not None:
        own = [item["logprob"] for item in told["content"]]
        tops = [[(top["token"], top["logprob"]) for top in item.get("top_logprobs") or ()] for item in told["content"]]
    else:
        own = told.get("token_logprobs") or []
        tops = [list((step or {}).items()) for step in told.get("top_logprobs") or [{}] * len(own)]
    if not asked:
        return tuple(own), None
    return tuple(own), tuple(
        tuple((_id(name), value) for name, value in sorted(top, key=_by_value)[:asked]) for top in tops
    )


def _by_value(item: tuple[str, float]) -> float:
    return -item[1]


def _id(name: str) -> int:
    """The id in `token_id:17`, which is how vLLM names tokens when asked to."""
    kind, _, number = name.rpartition(":")
    if kind != "token_id" or not number.isdigit():
        raise EngineError(
            "the server names the most likely tokens by their text, from which no token id can be told; ask for the "
            "log-probabilities of the sampled tokens only, or use --engine hf or vllm."
        )
    return int(number)
