"""HTTP to a server that may be slow, full, broken or gone: tried again with patience, and each end as one line."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from epiverb.errors import EngineError

AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
"""Answers after which the same request may succeed."""
LONGEST = 60.0
"""Seconds at most between two tries, where the server does not ask for more..."""
PATIENCE = 600.0
"""...and at most where it does."""


class Refused(Exception):
    """The server understood a request and will not do it: 4xx. The message is its own."""

    def __init__(self, status: int, message: str, code: str | None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


@dataclass
class Pace:
    """When the next request may go: a rate limit, and pauses that the server asks for."""

    per_minute: float | None
    free_at: float = 0.0

    async def wait(self) -> None:
        """Until it is this request's turn."""
        now = time.monotonic()
        at = max(self.free_at, now)
        if self.per_minute:
            self.free_at = at + 60.0 / self.per_minute
        await asyncio.sleep(at - now)

    def pause(self, seconds: float) -> None:
        """Nobody goes for this long."""
        self.free_at = max(self.free_at, time.monotonic() + seconds)


class Client:
    """Posts JSON and gets JSON.

    Args:
        http: an `httpx.AsyncClient`.
        retries: tries after the first one.
        delay: seconds before the second try; doubled each time, and spread by chance.
        secret: the key, kept out of messages.
    """

    def __init__(self, http: Any, *, retries: int, delay: float, pace: Pace, secret: str | None) -> None:
        self.http = http
        self.retries = retries
        self.delay = delay
        self.pace = pace
        self.secret = secret
        self.n_retries = 0

    async def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The answer to `body`.

        Raises:
            Refused: the request itself is at fault.
            EngineError: the server is gone, or fails again and again.
        """
        import httpx

        fault = ""
        for attempt in range(self.retries + 1):
            await self.pace.wait()
            asked = None
            try:
                response = await self.http.post(path, json=body)
                if response.status_code < 400:
                    answer = response.json()
                    if isinstance(answer, dict) and answer.get("choices"):
                        return answer
                    fault = "an answer without choices"
                else:
                    fault, asked = self._fault(response), _retry_after(response)
            except httpx.HTTPError as error:
                fault = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            except ValueError:
                fault = "an answer that is no JSON"
            if attempt < self.retries:
                self.n_retries += 1
                await self._rest(attempt, asked)
        raise EngineError(
            f"the server at {self.http.base_url} failed {self.retries + 1} times in a row, last with {self._clean(fault)}. "
            "What came is kept: the same command goes on from it."
        )

    async def _rest(self, attempt: int, asked: float | None) -> None:
        if asked is not None:
            self.pace.pause(min(asked, PATIENCE))  # the server means everyone
        # Half of it by chance, so that requests that failed together do not come back together.
        wait = min(LONGEST, self.delay * 2**attempt)
        await asyncio.sleep(wait * random.uniform(0.5, 1.0) if asked is None else random.uniform(0, self.delay))

    def _fault(self, response: Any) -> str:
        """What went wrong, for a try again; raises `Refused` where there is no point in one."""
        message, code = _message(response)
        if response.status_code not in AGAIN or code == "insufficient_quota":
            raise Refused(response.status_code, self._clean(message), code)
        return f"{response.status_code} {message}"

    def _clean(self, text: str) -> str:
        line = " ".join(text.split())[:300]
        return line.replace(self.secret, "***") if self.secret else line


def _message(response: Any) -> tuple[str, str | None]:
    """The server's own words, and its code for them."""
    try:
        error = response.json().get("error") or response.json()
    except (ValueError, AttributeError):
        return response.text[:300] or response.reason_phrase, None
    if not isinstance(error, dict):
        return str(error), None
    code = error.get("code")
    return str(error.get("message") or error.get("detail") or error), code if isinstance(code, str) else None


def _retry_after(response: Any) -> float | None:
    """Seconds that the server asks to wait: a number, or a date."""
    value = response.headers.get("retry-after")
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None
