"""JSON Lines to columns, a block at a time: the hot path of reading.

A block of whole lines goes to polars' parser with the columns that the format wants, nothing else is built. Where a
block does not parse, its pieces are tried, and the lines of the bad pieces go through `json` one by one, so that
one bad line costs one line. Both ways give the same columns (`tests/io/test_jsonl.py` holds them together):

* only `\\n` ends a line: U+2028 and U+0085 are ordinary characters, `\\r` before the end is blank space;
* a lone surrogate escape (half an emoji, cut by a tokenizer) becomes U+FFFD. polars would give NUL, or join it with
  what follows, so such escapes are replaced in the bytes before either parser sees them;
* the first of two equal keys counts, as polars has it (Python would take the last);
* `NaN` and `Infinity`, which Python writes though JSON has no such thing, are read.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, BinaryIO

import numpy as np
import polars as pl

from epiverb.errors import FormatError
from epiverb.io.raw import Skip

Fields = dict[str, pl.DataType]

MAX_LINE = 1 << 30
"""Bytes. A longer line is refused: it would need several times its size in memory."""
PIECE = 1 << 20
WINDOW = 1 << 17
BOM = b"\xef\xbb\xbf"
NEWLINE = 10
CACHED = 1 << 17
"""Bytes looked at together: small enough that they stay in the cache."""
SURROGATE = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
LOW = re.compile(rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}")


@dataclass
class Lines:
    """Some lines of a JSONL source, parsed."""

    frame: pl.DataFrame
    """One row a record: the wanted fields and `line`."""
    skipped: list[Skip]
    n_bytes: int = 0
    n_lines: int = 0


def read(stream: BinaryIO, fields: Fields, nbytes: int, path: str) -> Iterator[Lines]:
    """The records of `stream` as columns, about `nbytes` bytes at a time."""
    line = 1
    for block in blocks(stream, nbytes, path):
        if line == 1 and block.startswith(BOM):
            block = block[len(BOM) :]
        lines = parse(block, fields, line)
        line += lines.n_lines
        yield lines


def blocks(stream: BinaryIO, nbytes: int, path: str) -> Iterator[bytes]:
    """`stream` cut behind line ends into pieces of about `nbytes`; a longer line is a piece of its own."""
    if isinstance(stream, io.FileIO) and stream.seekable() and nbytes > WINDOW:
        yield from _cut_ahead(stream, nbytes)
    carry: list[bytes] = []
    while chunk := stream.read(nbytes):
        cut = chunk.rfind(b"\n") + 1
        if cut:
            block = b"".join([*carry, memoryview(chunk)[:cut]])
            carry = [chunk[cut:]] if cut < len(chunk) else []
            del chunk  # a long line must not lie in memory twice while it is parsed
            yield block
        else:
            carry.append(chunk)
            if sum(map(len, carry)) > MAX_LINE:
                raise FormatError(f"{path}: a line is longer than {MAX_LINE >> 20} MB. Is this JSON Lines?")
    if carry:
        block = b"".join(carry)
        carry.clear()
        yield block


def _cut_ahead(stream: io.FileIO, nbytes: int) -> Iterator[bytes]:
    """Blocks of a plain file up to its last one, or to a line that is longer than a window.

    Where a block ends is looked up before it is read, so that it need not be copied to be cut.
    """
    while True:
        start = stream.tell()
        stream.seek(start + nbytes - WINDOW)
        window = stream.read(WINDOW) or b""
        stream.seek(start)
        cut = window.rfind(b"\n") + 1
        if not cut or len(window) < WINDOW:
            return
        yield stream.read(nbytes - WINDOW + cut) or b""


def parse(block: bytes, fields: Fields, first_line: int) -> Lines:
    """The records in `block`, which starts at line `first_line` of its source."""
    mended, n_lines = mend(block), count_lines(block)
    frame = _by_polars(mended, fields)
    if frame is not None:
        numbers = np.arange(n_lines) if len(frame) == n_lines else _filled_lines(mended)
        if len(numbers) == len(frame):
            return Lines(_numbered(frame, numbers + first_line), [], len(block), n_lines)
    frame, skipped = _in_pieces(mended, fields, first_line)
    return Lines(frame, skipped, len(block), n_lines)


def _numbered(frame: pl.DataFrame, numbers: Any) -> pl.DataFrame:
    return frame.with_columns(pl.Series("line", numbers, dtype=pl.Int64))


def _by_polars(block: bytes, fields: Fields) -> pl.DataFrame | None:
    """The whole block at once, or None where polars does not take it."""
    if not block or block.isspace():
        return pl.DataFrame(schema=fields)
    try:
        return pl.read_ndjson(block, schema=fields)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError):
        return None  # OSError: polars unpacks a block that happens to start like a compressed file


def count_lines(block: bytes) -> int:
    """Lines in `block`; a last line without a line end is one."""
    bytes_ = np.frombuffer(block, np.uint8)
    # Four times as fast as bytes.count over 32 MB.
    ends = sum(int(np.count_nonzero(bytes_[i : i + CACHED] == NEWLINE)) for i in range(0, len(bytes_), CACHED))
    return ends + (not block.endswith(b"\n") and len(block) > 0)


def _filled_lines(block: bytes) -> np.ndarray:
    """Indices of the lines that are not blank."""
    return np.array([i for i, line in enumerate(block.split(b"\n")) if line.strip()], dtype=np.int64)


def mend(block: bytes) -> bytes:
    """`block` with each escape of a lone surrogate replaced by that of U+FFFD; mostly `block` itself."""
    out: list[bytes] = []
    done, paired = 0, -1
    for start in _surrogates(block):
        if start == paired or _is_escaped(block, start):
            continue
        high = block[start + 3 : start + 4] in b"89abAB"
        if high and LOW.match(block, start + 6):
            paired = start + 6
            continue
        out += [block[done:start], b"\\ufffd"]
        done = start + 6
    return b"".join([*out, block[done:]]) if out else block


def _surrogates(block: bytes) -> list[int]:
    """Where a `\\ud8..` to `\\udf..` stands, in order."""
    bytes_, found = np.frombuffer(block, np.uint8), []
    for low in range(0, len(bytes_) - 2, CACHED):
        some = bytes_[low : low + CACHED + 2]
        escape = (some[:-2] == ord("\\")) & (some[1:-1] == ord("u"))
        escape &= (some[2:] | 0x20) == ord("d")
        if escape.any():  # three passes over bytes in the cache: four times as fast as a regular expression
            found += (np.flatnonzero(escape) + low).tolist()
    return [start for start in found if SURROGATE.match(block, start)]


def _is_escaped(block: bytes, start: int) -> bool:
    """Whether the backslash at `start` is itself escaped, so that what follows is plain text."""
    before = start
    while before > 0 and block[before - 1] == 0x5C:
        before -= 1
    return (start - before) % 2 == 1


def _in_pieces(block: bytes, fields: Fields, first_line: int) -> tuple[pl.DataFrame, list[Skip]]:
    """A block that did not parse: its good pieces by polars, the lines of the others by Python."""
    frames: list[pl.DataFrame] = []
    skipped: list[Skip] = []
    line, start = first_line, 0
    while start < len(block):
        end = block.find(b"\n", start + PIECE) + 1 or len(block)
        piece = block[start:end]
        frame = _by_polars(piece, fields)
        if frame is not None and len(numbers := _filled_lines(piece)) == len(frame):
            frames.append(_numbered(frame, numbers + line))
        else:
            frame, wrong = _by_python(piece, fields, line, at_end=end == len(block))
            frames.append(frame)
            skipped += wrong
        line += count_lines(piece)
        start = end
    return pl.concat(frames), skipped


def _by_python(piece: bytes, fields: Fields, first_line: int, *, at_end: bool) -> tuple[pl.DataFrame, list[Skip]]:
    records, numbers, skipped = [], [], []
    lines = piece.split(b"\n")
    for i, line in enumerate(lines):
        if not line.strip():
            continue
        last = at_end and i == len(lines) - 1
        try:
            records.append(load(line, unfinished=last))
            numbers.append(first_line + i)
        except ValueError as error:
            skipped.append(Skip(first_line + i, str(error)))
    return _numbered(frame_of(records, fields), numbers), skipped


def load(line: bytes, *, unfinished: bool = False) -> dict[str, Any]:
    """The record in one line, already mended.

    Args:
        unfinished: the line has no line end, so that a fault in it is more likely a cut than a mistake.

    Raises:
        ValueError: it holds none; the message says why.
    """
    text = _decode(line)
    try:
        record = json.loads(text.strip("\ufeff \t\r"), strict=False, object_pairs_hook=first_wins)
    except json.JSONDecodeError as error:
        what = "the last line is cut off" if unfinished else "not JSON"
        raise ValueError(f"{what} ({error.msg}, column {error.colno})") from None
    except RecursionError:
        raise ValueError("not JSON that can be read (nested too deeply)") from None
    if not isinstance(record, dict):
        raise ValueError(f"not a JSON object but a {type(record).__name__}")
    return record


def _decode(line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        try:  # a writer that let half an emoji through as bytes; what it meant is gone
            return line.decode("utf-8", "surrogatepass").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        except UnicodeDecodeError:
            raise ValueError(f"not UTF-8 (byte 0x{line[error.start]:02x} at column {error.start + 1})") from None


def first_wins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose first of several equal keys counts, as in polars' parser."""
    record = dict(pairs)
    return record if len(record) == len(pairs) else dict(reversed(pairs))


def frame_of(records: list[dict[str, Any]], fields: Fields) -> pl.DataFrame:
    """The wanted fields of `records` as columns, fitted by `fit`."""
    columns = {name: [fit(record.get(name), dtype) for record in records] for name, dtype in fields.items()}
    return pl.DataFrame(columns, schema=fields)


def fit(value: Any, dtype: Any) -> Any:
    """`value` as a column of `dtype` holds it: numbers become text, a single value a list of one, objects JSON text."""
    if value is None:
        return None
    if isinstance(dtype, pl.List):
        return [fit(item, dtype.inner) for item in value] if isinstance(value, list) else [fit(value, dtype.inner)]
    if isinstance(dtype, pl.Struct):
        return {f.name: fit(value.get(f.name), f.dtype) for f in dtype.fields} if isinstance(value, dict) else None
    return as_text(value)


def as_text(value: Any) -> str:
    """How polars' parser writes a JSON value into a column of text."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return format(Decimal(repr(value)), "f").removesuffix(".0")
    return str(value) if isinstance(value, int) else json.dumps(value, ensure_ascii=False)
