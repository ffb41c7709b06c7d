"""The `server` engine: any endpoint that speaks the OpenAI protocol (vLLM, SGLang, llama.cpp, Ollama, hosted models)."""

from __future__ import annotations

import asyncio
import os
import queue
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from epiverb.errors import ConfigError, EngineError
from epiverb.models import loading
from epiverb.models.base import Completion, Request, Sampling
from epiverb.models.chat import Chat, Prompt
from epiverb.models.client import Client, Pace, Refused
from epiverb.models.ordered import Together, refused, samples_of, too_long
from epiverb.models.wire import OPEN_SERVERS, Call, body_of, completions_of

DEFAULT_KEY = "OPENAI_API_KEY"
LOCAL = "http://127.0.0.1:8000/v1"
TOO_LONG = re.compile(r"context|max_model_len|too long|too large|max(?:imum)?[ _](?:\w+[ _])?(?:length|tokens)", re.I)
"""How servers say that a prompt and its response do not fit into the window."""


class Server:
    """Samples from an OpenAI-compatible endpoint.

    Args:
        model: the name the server knows it by.
        base_url: the server's address, with `/v1`; default: the environment variable OPENAI_BASE_URL, else this machine.
        key_env: environment variable that holds the key. The key itself is never written anywhere.
        concurrency: requests at a time.
        requests_per_minute: at most so many, tries again included.
        retries: tries after the first, for what may pass (429, 5xx, time-outs, broken answers).
        retry_delay: seconds before the second try; doubled each time, and spread by chance.
        timeout: seconds for one answer. Long thinking takes long.
        per_call: samples asked for at a time (the protocol's `n`). With 1 each sample is kept as it comes; more are cheaper
            where a server bills the prompt every time, and some servers do not know `n`: what is missing is asked for again.
        plain: plain completion, the messages as text; for base models.
        template: folder or hub name whose tokenizer and chat template render the prompts here; the plain completions
            endpoint is then used. It makes prefixes, token counts and windows exact.
        limit_field: `max_completion_tokens` for models that refuse `max_tokens`.
        body: more fields for each request; null leaves one out that the server does not know (`seed`).
        window: tokens of prompt and response together, where the server does not tell.
    """

    name = "server"

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        key_env: str = DEFAULT_KEY,
        concurrency: int = 16,
        requests_per_minute: float | None = None,
        retries: int = 6,
        retry_delay: float = 0.5,
        timeout: float = 3600.0,
        per_call: int = 1,
        plain: bool = False,
        template: str | None = None,
        limit_field: str = "max_tokens",
        body: dict[str, Any] | None = None,
        window: int | None = None,
    ) -> None:
        self.httpx = loading.require("httpx", "server")
        self.model = model
        self.url = (base_url or os.environ.get("OPENAI_BASE_URL") or LOCAL).rstrip("/")
        self._key = os.environ.get(key_env)
        if key_env != DEFAULT_KEY and not self._key:
            raise ConfigError(f"the environment variable {key_env}, which is to hold the key, is not set.")
        self.concurrency, self.per_call = max(1, concurrency), max(1, per_call)
        self.pace, self.retries, self.retry_delay, self.timeout = (
            Pace(requests_per_minute),
            retries,
            retry_delay,
            timeout,
        )
        self.plain, self.limit_field, self.body = plain, limit_field, dict(body or {})
        self.chat = Chat(loading.load_tokenizer(template), template) if template else None
        self.kind, self.window = self._look(window)
        self.used: dict[str, Any] = {
            "engine": self.name,
            "model": model,
            "url": _public(self.url),
            "server": self.kind,
            "window": self.window,
            "key_env": key_env if self._key else None,
            "template": template,
            "body": self.body,
            "per_call": self.per_call,
            "n_retries": 0,
            "versions": loading.versions("httpx"),
        }

    def generate(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[Completion]:
        """See `models.base.Engine.generate`. The requests go out from a thread of their own."""
        self.used["sampling"] = asdict(sampling)
        together, calls, done = Together(), [], []
        for place, request in enumerate(requests):
            samples = samples_of(request, sampling)
            together.expect(place, samples)
            prompt, room, fault = self._prompt(request, sampling)
            if fault:
                done += together.take(place, *refused(request, samples, prompt.text if prompt else "", fault))
                continue
            for i in range(0, len(samples), self.per_call):
                calls.append(Call(place, request, samples[i : i + self.per_call], prompt, room))
        yield from done
        try:
            for call, completions in _threaded(lambda out: self._answers(calls, sampling, out)):
                yield from together.take(call.place, *completions)
        except EngineError:
            yield from together.rest()
            raise

    def _prompt(self, request: Request, sampling: Sampling) -> tuple[Prompt | None, int, str | None]:
        """The prompt where it is made here, the tokens its responses may have, and why it cannot be asked."""
        limit = sampling.max_tokens
        if self.chat:
            prompt = self.chat.encode(request)
            room = min(limit, self.window - len(prompt.ids)) if self.window else limit
            return prompt, room, None if room >= 1 else too_long(len(prompt.ids), self.window or 0)
        if request.text is not None:
            return Prompt(request.text, ()), limit, None
        if not request.messages:
            raise EngineError(f"request {request.key!r} has neither messages nor text.")
        if self.plain:
            return Prompt(Call(0, request, (), None, None).shown, ()), limit, None
        return None, limit, None

    async def _answers(self, calls: list[Call], sampling: Sampling, out: queue.Queue[Any]) -> None:
        await self._each(calls, lambda client, call: self._ask(client, call, sampling), out)

    def post_all(self, bodies: Iterable[tuple[str, dict[str, Any]]]) -> Iterator[tuple[str, dict[str, Any] | Refused]]:
        """Key and answer of each plain completion that is asked for, as they come; what the server will not do is `Refused`."""

        async def ask(client: Client, item: tuple[str, dict[str, Any]]) -> dict[str, Any] | Refused:
            try:
                return await client.post("completions", item[1])
            except Refused as error:
                return error

        for (key, _), answer in _threaded(lambda out: self._each(list(bodies), ask, out)):
            yield key, answer

    async def _each(self, items: Sequence[Any], ask: Callable[[Client, Any], Any], out: queue.Queue[Any]) -> None:
        """Ask for all `items`, `concurrency` at a time; each answer goes to `out` as it comes."""
        limits = self.httpx.Limits(max_connections=self.concurrency, max_keepalive_connections=self.concurrency)
        times = self.httpx.Timeout(self.timeout, connect=10.0)
        waiting = iter(items)
        async with self.httpx.AsyncClient(
            base_url=self.url, headers=self._headers(), limits=limits, timeout=times
        ) as http:
            client = Client(http, retries=self.retries, delay=self.retry_delay, pace=self.pace, secret=self._key)

            async def work() -> None:
                for item in waiting:
                    out.put((item, await ask(client, item)))

            tasks = [asyncio.ensure_future(work()) for _ in range(min(self.concurrency, len(items)))]
            try:
                await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                self.used["n_retries"] += client.n_retries

    async def _ask(self, client: Client, call: Call, sampling: Sampling) -> list[Completion]:
        """The samples of one call, asked for again where a server sends fewer than `n`."""
        found: list[Completion] = []
        while len(found) < len(call.samples):
            left = replace(call, samples=call.samples[len(found) :])
            try:
                answer = await self._post(client, left, sampling)
            except Refused as error:
                if not TOO_LONG.search(str(error)) or error.status not in (400, 413, 422):
                    raise EngineError(self._why(error)) from error
                return found + refused(
                    call.request, left.samples, call.shown, f"the server refused the prompt: {error}"
                )
            found += completions_of(left, answer, sampling)
            self.used["answered_by"] = answer.get("model")
        return found

    async def _post(self, client: Client, call: Call, sampling: Sampling) -> dict[str, Any]:
        """The answer. Where prompt and limit together pass the window, vLLM refuses; without a limit it fills the window."""
        try:
            return await client.post(call.path, self._body(call, sampling))
        except Refused as error:
            if self.kind != "vllm" or call.room is None or not TOO_LONG.search(str(error)):
                raise
            return await client.post(call.path, self._body(replace(call, room=None), sampling))

    def _body(self, call: Call, sampling: Sampling) -> dict[str, Any]:
        return body_of(call, self.model, self.kind, sampling, self.limit_field, self.body)

    def _look(self, window: int | None) -> tuple[str, int | None]:
        """What kind of server it is, and its window; raises `EngineError` where none answers, or has no such model."""
        try:
            response = self.httpx.get(f"{self.url}/models", headers=self._headers(), timeout=30.0)
        except (self.httpx.HTTPError, self.httpx.InvalidURL) as error:
            raise EngineError(
                f"no server answers at {_public(self.url)} ({error}); is it running, and base_url right?"
            ) from error
        if response.status_code in (401, 403):
            raise EngineError(
                f"{_public(self.url)} refuses the key ({response.status_code}); set {DEFAULT_KEY}, or key_env."
            )
        with suppress(ValueError, KeyError, TypeError, AttributeError):
            models = {entry["id"]: entry for entry in response.json()["data"]}
            if models and self.model not in models:
                names = ", ".join(sorted(models)[:10])
                raise EngineError(f"{_public(self.url)} has no model {self.model!r}; it has: {names}.")
            entry = models[self.model]
            return str(entry.get("owned_by") or "unknown"), window or entry.get("max_model_len")
        return "unknown", window

    def _why(self, error: Refused) -> str:
        hint = {401: f" (set {DEFAULT_KEY}, or key_env)", 404: " (is base_url right, and does it end with /v1?)"}
        known = (
            ""
            if self.kind in OPEN_SERVERS or error.status != 400
            else " (a field it does not know is left out by body)"
        )
        return f"{_public(self.url)} refuses the request: {error.status} {error}{hint.get(error.status, known)}"

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._key}"} if self._key else {}

    def count_tokens(self, texts: list[str]) -> list[int] | None:
        """Tokens of each text; None without `template`."""
        return self.chat.count_tokens(texts) if self.chat else None

    def render(self, request: Request) -> str | None:
        """The prompt as the model is shown it; None where only the server knows its template."""
        if self.chat:
            return self.chat.render(request)
        return Call(0, request, (), None, None).shown if self.plain and request.text is None else request.text

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *exception: object) -> None:
        return None


def _threaded(main: Any) -> Iterator[Any]:
    """What the coroutine `main(out)` puts into the queue `out`, while it runs in a thread with a loop of its own.

    A thread, so that it works inside a notebook's loop, and goes on while the caller writes.
    """
    out: queue.Queue[Any] = queue.Queue()
    end = object()
    loop = asyncio.new_event_loop()
    task = loop.create_task(main(out))

    def run() -> None:
        try:
            loop.run_until_complete(task)
        except asyncio.CancelledError:
            pass
        except BaseException as error:
            out.put((end, error))
        finally:
            out.put((end, None))
            loop.close()

    thread = threading.Thread(target=run, name="epiverb-server", daemon=True)
    thread.start()
    try:
        while (item := out.get())[0] is not end:
            yield item
        if item[1] is not None:
            raise item[1]
    finally:
        with suppress(RuntimeError):  # the loop is closed already
            loop.call_soon_threadsafe(task.cancel)
        thread.join()


def _public(url: str) -> str:
    """`url` without user, password and query: these may be secrets."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
