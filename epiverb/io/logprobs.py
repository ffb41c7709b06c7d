"""Log-probabilities that trace files hold beside the text: OpenAI's and vLLM's batch output, vLLM's RequestOutput objects.

They are read when a run is scored, from the files it was made of; a trace is found by its line and sample number.

| format          | where they stand                                    | ids                                        |
|-----------------|-----------------------------------------------------|--------------------------------------------|
| `openai-batch`  | `choices[].logprobs.content[]`: token, bytes, top   | only where vLLM writes tokens as `token_id:N` |
| `vllm-outputs`  | `outputs[].logprobs[]`: id -> logprob, rank; `token_ids` | yes                                    |

Source: OpenAI API reference, chat completion object; vllm-project/vllm, vllm/sequence and vllm/logprobs (`Logprob`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from epiverb.io.streams import MAGIC, Unpacked

FORMATS = ("openai-batch", "vllm-outputs")


@dataclass(frozen=True)
class Token:
    """One generated token of a trace file."""

    logprob: float | None
    top: tuple[float, ...]
    """Log-probabilities of the most likely tokens, best first."""
    token_id: int | None = None
    text: bytes | None = None
    """What it adds to the text, where the file tells."""


def read(path: str, form: str) -> Iterator[tuple[int, int, list[Token]]]:
    """(line, sample, tokens) of every response of a JSON Lines file that has log-probabilities; nothing for other files."""
    file = Path(path)
    if form not in FORMATS or not file.is_file():
        return
    with open(file, "rb") as raw:
        head = raw.read(4)
        raw.seek(0)
        codec = next((name for magic, name in MAGIC.items() if head.startswith(magic)), None)
        lines = _lines(cast("BinaryIO", Unpacked(raw, codec)) if codec else raw)
        for number, line in enumerate(lines, 1):
            try:
                record = json.loads(line)
            except ValueError:
                continue  # the reader of traces has said so
            if isinstance(record, dict):
                yield from ((number, sample, tokens) for sample, tokens in _of(record, form) if tokens)


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    rest = b""
    while block := stream.read(1 << 20):
        *whole, rest = (rest + block).split(b"\n")
        yield from whole
    if rest:
        yield rest


def _of(record: dict[str, Any], form: str) -> Iterator[tuple[int, list[Token]]]:
    if form == "vllm-outputs":
        for j, output in enumerate(record.get("outputs") or []):
            yield output.get("index", j), _vllm(output)
        return
    body = (record.get("response") or {}).get("body") or {}
    for j, choice in enumerate(body.get("choices") or []):
        content = (choice.get("logprobs") or {}).get("content") or []
        yield choice.get("index", j), [_openai(entry) for entry in content]


def _vllm(output: dict[str, Any]) -> list[Token]:
    """Of each position a dict of candidates by id, the sampled one among them also where it is not among the k best."""
    ids, steps = output.get("token_ids") or [], output.get("logprobs") or []
    if len(ids) != len(steps):
        return []
    found = []
    for token, step in zip(ids, steps, strict=True):
        known = {int(i): entry if isinstance(entry, dict) else {"logprob": entry} for i, entry in (step or {}).items()}
        own = known.get(int(token), {}).get("logprob")
        ranked = [entry for entry in known.values() if entry.get("rank") is not None]
        k = len(known) - (len(ranked) == len(known) and any(e["rank"] > len(known) for e in ranked))
        best = sorted((float(entry["logprob"]) for entry in known.values()), reverse=True)[:k]
        found.append(Token(own, tuple(best), int(token)))
    return found


def _openai(entry: dict[str, Any]) -> Token:
    text = entry.get("token") or ""
    index = text.removeprefix("token_id:")
    token_id = int(index) if text.startswith("token_id:") and index.isdigit() else None
    raw = bytes(entry["bytes"]) if entry.get("bytes") is not None else text.encode("utf-8", "replace")
    top = sorted((float(one["logprob"]) for one in entry.get("top_logprobs") or []), reverse=True)
    return Token(entry.get("logprob"), tuple(top), token_id, raw)
