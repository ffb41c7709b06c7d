"""The traces of a run as token ids with places in their text: stored ids where there are some, else the text encoded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from epiverb.errors import AlignmentError
from epiverb.models.base import Request
from epiverb.models.pieces import Span, places, token_bytes

if TYPE_CHECKING:
    from epiverb.models.chat import Chat
    from epiverb.run import Run

SLICE = 2_000
"""Traces whose tokens are read at once."""
COLUMNS = (
    "trace_id",
    "problem_id",
    "benchmark",
    "condition",
    "context",
    "sample",
    "prompt",
    "response",
    "thinking_start",
    "thinking_end",
    "correct",
    "status",
)
DIFFER = "its token ids do not spell its text with this tokenizer"


@dataclass(frozen=True)
class Aligned:
    """A trace as tokens."""

    row: dict[str, Any]
    """Its columns `COLUMNS`."""
    prompt: tuple[int, ...] = ()
    ids: tuple[int, ...] = ()
    start: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    """Code point where each token begins; -1: not known."""
    end: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    given: tuple[int, ...] = ()
    """The last tokens of `prompt` that are a beginning of the response which was given, not sampled."""
    fault: str | None = None
    """Why there are no tokens."""

    @property
    def key(self) -> str:
        """The trace id."""
        return str(self.row["trace_id"])


class Source:
    """Reads a run's traces for one model.

    Args:
        chat: the model's template and tokenizer.
    """

    def __init__(self, run: Run, chat: Chat) -> None:
        self.run, self.chat = run, chat
        self.tokenizer = chat.tokenizer
        self.pieces = token_bytes(self.tokenizer)
        self._prompts: dict[str, tuple[int, ...]] = {}
        self._special = [token for token in self.tokenizer.all_special_tokens if len(token) > 2]

    def traces(self, wanted: pl.Expr | None = None) -> pl.DataFrame:
        """The rows of the run's traces, without text that is not needed to choose among them."""
        lazy = self.run.scan("traces").select(COLUMNS)
        return (lazy.filter(wanted) if wanted is not None else lazy).collect()

    def read(self, traces: pl.DataFrame) -> Iterator[Aligned]:
        """Each of `traces` with its tokens, in order.

        Raises:
            AlignmentError: the tokenizer is not the one that made the stored ids: it spells hardly any text with them.
        """
        seen = differ = 0
        for part in traces.iter_slices(SLICE):
            stored = self._stored(part["trace_id"])
            for row in part.iter_rows(named=True):
                one = self._aligned(row, stored.get(row["trace_id"]))
                seen, differ = seen + (row["trace_id"] in stored), differ + (one.fault == DIFFER)
                if differ >= 20 and 2 * differ > seen:
                    raise self._other(differ, seen)
                yield one
        if differ and differ == seen:
            raise self._other(differ, seen)

    def _other(self, differ: int, seen: int) -> AlignmentError:
        return AlignmentError(
            f"{self.run.path}: the tokenizer of {self.chat.name} does not spell the text of {differ} of the first {seen} traces "
            "from their stored token ids, so another one made them. Give the model that wrote them, or one with its tokenizer."
        )

    def _stored(self, keys: pl.Series) -> dict[str, tuple[list[int], int]]:
        """Trace -> stored ids, and code points of the response before the first of them."""
        rows = self.run.scan("tokens").filter(pl.col("trace_id").is_in(keys.to_list())).sort("trace_id", "position")
        grouped = rows.group_by("trace_id").agg("token_id", pl.col("start").first()).collect()
        return {key: (ids, start or 0) for key, ids, start in grouped.iter_rows()}

    def _aligned(self, row: dict[str, Any], stored: tuple[list[int], int] | None) -> Aligned:
        text = row["response"]
        if row["status"] in ("missing", "empty") or not text:
            return Aligned(row, fault="no text")
        prompt = self.prompt(row["prompt"])
        if prompt is None:
            return Aligned(row, fault="no prompt is known, so its first token stands behind nothing")
        if stored is None:
            ids, spans = self._encoded(text)
        else:
            ids, given = stored
            spans = places([self.pieces[i] if 0 <= i < len(self.pieces) else b"" for i in ids], text[given:], given)
            if ids and all(start is None for start, _ in spans):
                return Aligned(row, fault=DIFFER)
            head = tuple(self.tokenizer.encode(text[:given], add_special_tokens=False)) if given else ()
            return Aligned(row, (*prompt, *head), tuple(ids), _array(spans, 0), _array(spans, 1), head)
        return Aligned(row, prompt, tuple(ids), _array(spans, 0), _array(spans, 1))

    def _encoded(self, text: str) -> tuple[list[int], list[Span]]:
        """Ids and places of a text whose own ids are not known."""
        if getattr(self.tokenizer, "is_fast", False):
            found = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
            return found["input_ids"], [(int(a), int(b)) for a, b in found["offset_mapping"]]
        ids = list(self.tokenizer.encode(text, add_special_tokens=False))
        return ids, places([self.pieces[i] for i in ids], text)

    def prompt(self, text: str | None) -> tuple[int, ...] | None:
        """The ids of a stored prompt: as it is where it was rendered already, else as a user's turn by the template."""
        if text is None:
            return None
        if text not in self._prompts:
            self._prompts[text] = self._prompt(text)
        return self._prompts[text]

    def _prompt(self, text: str) -> tuple[int, ...]:
        if self._as_it_is(text):
            rendered = any(token in text for token in self._special)
            return tuple(self.tokenizer.encode(text, add_special_tokens=not rendered))
        return self.chat.encode(Request("", messages=({"role": "user", "content": text},))).ids

    def _as_it_is(self, text: str) -> bool:
        """Whether a prompt is what the model was shown, and not the question only."""
        engine = self.run.manifest.get("engine") or {}
        sampled = engine.get("engine", engine.get("name")) in ("hf", "vllm")
        plain = self.chat.plain or not self.tokenizer.chat_template
        return sampled or plain or any(token in text for token in self._special)

    def described(self, traces: pl.DataFrame) -> dict[str, int]:
        """How the ids of traces were come by: `stored`, `encoded`, and of how many the prompt was `prompt_rendered` anew."""
        known = self.run.scan("tokens").select("trace_id").unique().collect()["trace_id"]
        there = traces.filter(~pl.col("status").is_in(["missing", "empty"]) & (pl.col("response") != ""))
        stored = int(there["trace_id"].is_in(known.to_list()).sum())
        anew = [text for text in there["prompt"].drop_nulls().unique() if not self._as_it_is(text)]
        rendered = int(there["prompt"].is_in(anew).sum())
        return {"stored": stored, "encoded": len(there) - stored, "prompt_rendered": rendered}


def _array(spans: Sequence[Span], side: int) -> np.ndarray:
    return np.array([-1 if span[side] is None else span[side] for span in spans], np.int64)
