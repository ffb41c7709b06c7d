"""Inspect logs: a `.eval` archive or the older `.json` document, one sample a member or list item.

Source: UKGovernmentBEIS/inspect_ai, log format 2: `header.json` (`version, status, eval, plan, results, stats`),
`samples/{id}_epoch_{n}.json`; a run that did not finish has `_journal/start.json` instead of the header.

Traps: newer logs compress members with zstd (method 93), which Python's zipfile reads from 3.14 on only, so members are
inflated here. Long strings are moved to `attachments` and referred to. A redacted reasoning part holds a cipher; what
can be read is its summary. Epochs count from 1, samples here from 0.
"""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

from epiverb.errors import FormatError
from epiverb.io.containers import Part, of_records
from epiverb.io.detect import Format
from epiverb.io.raw import Batch, Reading, Skip
from epiverb.io.rows import Row, amount, as_string, count, ending_of, joined, message_parts, plain, verdict
from epiverb.io.sniff import Head, load_document
from epiverb.io.source import Source

HEADERS = ("header.json", "_journal/start.json")
OWN = "epistemic_markers"
"""The scorer of `epiverb.integrations.inspect`, whose number of markers is no grade. Inspect may put a figure behind it."""
ATTACHMENT = "attachment://"
LOCAL_HEADER = struct.Struct("<26xHH")
"""A member's local header: 30 bytes, the last four the lengths of its name and its extra field."""


def recognise(head: Head) -> str | None:
    """An archive with Inspect's header, or a document with its top-level keys."""
    if head.kind == "zip":
        found = next((name for name in HEADERS if name in head.members), None)
        return f"it is a zip archive with {found} in it, as Inspect writes .eval logs" if found else None
    if head.has("version", "status", "eval", "samples"):
        return "it has the keys version, status, eval and samples, as Inspect writes .json logs"
    return None


def read(source: Source, reading: Reading, head: Head, nbytes: int) -> Iterator[Batch]:
    """All samples of a log, in the order of the archive."""
    if head.kind != "zip":
        document = load_document(source)
        samples = list(enumerate(document.get("samples") or [], 1))
        yield _batch(Part(samples, []), document.get("eval") or {}, reading)
        return
    stream = source.whole()
    try:
        with zipfile.ZipFile(stream) as archive:
            yield from _of_archive(archive, stream, reading, nbytes)
    except zipfile.BadZipFile as error:
        raise FormatError(f"{source.path}: the archive is damaged ({error}).") from error


def _of_archive(archive: zipfile.ZipFile, stream: BinaryIO, reading: Reading, nbytes: int) -> Iterator[Batch]:
    members = {info.filename: info for info in archive.infolist()}  # a later copy of a member replaces the earlier one
    spec = _spec(members, stream, reading)
    samples: list[tuple[int, dict[str, Any]]] = []
    skipped: list[Skip] = []
    size = 0
    names = [name for name in members if name.startswith("samples/") and name.endswith(".json")]
    for number, name in enumerate(names, 1):
        try:
            data = inflate(members[name], stream)
            samples.append((number, json.loads(data.decode("utf-8", "surrogatepass"), strict=False)))
            size += len(data)
        except (ValueError, OSError, zlib.error) as error:
            skipped.append(Skip(number, f"{name}: cannot be read ({' '.join(str(error).split())[:120]})"))
        if size >= nbytes:
            yield _batch(Part(samples, skipped, size), spec, reading)
            samples, skipped, size = [], [], 0
    yield _batch(Part(samples, skipped, size), spec, reading)


def _spec(members: dict[str, zipfile.ZipInfo], stream: BinaryIO, reading: Reading) -> dict[str, Any]:
    """The `eval` part of the header: task, model, settings."""
    name = next((name for name in HEADERS if name in members), None)
    if name is None:
        raise FormatError(f"{reading.path}: no header.json in the archive, so it is no Inspect log.")
    header = json.loads(inflate(members[name], stream))
    status = header.get("status")
    if name != HEADERS[0] or status not in (None, "success"):
        reading.note(f"the Inspect run did not finish ({status or 'no header'}): its samples so far are read.")
    return header.get("eval") or {}


def inflate(info: zipfile.ZipInfo, stream: BinaryIO) -> bytes:
    """The content of one member: stored, deflated, or compressed with zstd."""
    stream.seek(info.header_offset)
    name, extra = LOCAL_HEADER.unpack(stream.read(LOCAL_HEADER.size))
    stream.seek(info.header_offset + LOCAL_HEADER.size + name + extra)
    data = stream.read(info.compress_size)
    if info.compress_type == zipfile.ZIP_STORED:
        return data
    if info.compress_type == zipfile.ZIP_DEFLATED:
        return zlib.decompress(data, -zlib.MAX_WBITS)
    if info.compress_type == 93:
        import pyarrow as pa

        return pa.CompressedInputStream(pa.BufferReader(data), "zstd").read()
    raise ValueError(f"compression method {info.compress_type}")


def _batch(part: Part, spec: dict[str, Any], reading: Reading) -> Batch:
    reading.model = reading.model or as_string(spec.get("model"))
    return of_records(part, lambda sample: rows(sample, spec, reading), reading)


def rows(sample: dict[str, Any], spec: dict[str, Any], reading: Reading) -> list[Row]:
    """One row a choice of the sample's output; a sample that failed is one row without text."""
    sample = _attached(sample)
    output = sample.get("output") or {}
    choices = output.get("choices") or []
    usage = output.get("usage") or {}
    task = as_string(spec.get("task")) or ""
    epoch = sample.get("epoch")
    shared = {
        "problem_id": as_string(sample.get("id")),
        "benchmark": task.rpartition("/")[2] or None,
        "prompt": plain(sample.get("input")),
        "gold": _target(sample.get("target")),
        "sample": epoch - 1 if isinstance(epoch, int) else 0,
        **_grade(sample.get("scores"), reading),
    }
    if not choices:
        error = sample.get("error")
        reason = as_string(error.get("message") if isinstance(error, dict) else error)
        text = as_string(output.get("completion")) or None
        return [{**shared, "response": text, "finish_reason": "error" if error else None, "grade_reason": reason}]
    found = [_of_choice(choice, reading) for choice in choices]
    if len(found) == 1:
        found[0]["n_tokens"] = count(usage.get("output_tokens"))
    if usage.get("reasoning_tokens") and not any("thinking_end" in row for row in found):
        reading.hidden += 1
    return [{**shared, **row, "sample": shared["sample"] + j} for j, row in enumerate(found)]


def _of_choice(choice: dict[str, Any], reading: Reading) -> Row:
    message = choice.get("message") or {}
    parts = message.get("content")
    redacted = (
        [part for part in parts if isinstance(part, dict) and part.get("redacted")] if isinstance(parts, list) else []
    )
    if redacted:
        kept = "its summary is read instead" if any(part.get("summary") for part in redacted) else "it is missing"
        reading.note(f"reasoning is redacted by the provider in some samples: {kept}.")
    return {**joined(*message_parts(message)), "finish_reason": ending_of(choice.get("stop_reason"))}


def _attached(sample: dict[str, Any]) -> dict[str, Any]:
    """The sample with references to attachments replaced by what they refer to."""
    attachments = sample.get("attachments") or {}
    if not attachments:
        return sample

    def resolve(value: Any) -> Any:
        if isinstance(value, str):
            return attachments.get(value[len(ATTACHMENT) :], value) if value.startswith(ATTACHMENT) else value
        if isinstance(value, list):
            return [resolve(part) for part in value]
        return {key: resolve(part) for key, part in value.items()} if isinstance(value, dict) else value

    wanted = ("input", "target", "output", "scores")
    return {**sample, **{key: resolve(sample.get(key)) for key in wanted}}


def _target(target: Any) -> str | None:
    return as_string(target[0]) if isinstance(target, list) and len(target) == 1 else as_string(target)


def _grade(scores: Any, reading: Reading) -> Row:
    """The first scorer's verdict: C is right, I and N (no answer) wrong, P (partly) neither. Our own counts are none."""
    if isinstance(scores, dict):
        scores = {name: score for name, score in scores.items() if not name.rpartition("/")[2].startswith(OWN)}
    if not isinstance(scores, dict) or not scores:
        return {"grade_reason": "not scored"}
    name, score = next(iter(scores.items()))
    if len(scores) > 1:
        reading.note(f"several scorers: {name!r} is taken, {', '.join(list(scores)[1:])} left out.")
    value = score.get("value") if isinstance(score, dict) else score
    answer = as_string(score.get("answer")) if isinstance(score, dict) else None
    value = next(iter(value.values()), None) if isinstance(value, dict) else value
    points = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}.get(value) if isinstance(value, str) else amount(value)
    return {"correct": verdict(value), "reward": points, "answer": answer, "grade_reason": f"Inspect scorer {name}"}


INSPECT = Format(
    "inspect",
    "Inspect logs (.eval and .json)",
    recognise,
    read=read,
    remedy="where the provider hides reasoning, ask for summaries (--reasoning-summary auto) or use an open model",
)
