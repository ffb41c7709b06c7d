"""Parquet: the head of a file, and its rows some at a time. pyarrow is imported here only, when a file needs it.

Some writers store nested values as JSON text (three of the four evaluation sets of arXiv 2603.24472 do, the fourth does
not), so a text column whose values all are JSON lists of objects, or objects, is decoded.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from epiverb.errors import FormatError
from epiverb.io import jsonl
from epiverb.io.rows import is_messages, unpacked
from epiverb.io.sniff import SAMPLED, Head
from epiverb.io.source import Source

RESPONSES = frozenset({"response", "completion", "output", "generation", "prediction", "text", "solution", "answer"})
"""Columns of what a model wrote. It may have written JSON, so only lists of chat messages are decoded in them."""


def _open(source: Source) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(source.whole())
    except (pa.ArrowInvalid, OSError) as error:
        message = " ".join(str(error).split())[:160]
        raise FormatError(f"{source.path}: starts like Parquet but cannot be read ({message}).") from error


def head(source: Source) -> Head:
    """Columns and first rows of a Parquet file."""
    file = _open(source)
    columns = tuple(file.schema_arrow.names)
    first = next(file.iter_batches(batch_size=SAMPLED), None)
    records = decoded(first.to_pylist()) if first is not None else []
    return Head(source.path, "parquet", records, columns)


def batches(
    source: Source, nbytes: int, columns: list[str] | None = None, most: int = 1 << 16
) -> Iterator[tuple[int, Any]]:
    """Arrow batches of about `nbytes` and at most `most` rows, each with the number of its first row."""
    import pyarrow as pa

    file = _open(source)
    meta = file.metadata
    total = sum(meta.row_group(i).total_byte_size for i in range(meta.num_row_groups))
    size = max(1, min(most, int(nbytes * meta.num_rows / max(total, 1))))
    first = 1
    try:
        for batch in file.iter_batches(batch_size=size, columns=columns):
            yield first, batch
            first += batch.num_rows
    except (pa.ArrowInvalid, OSError) as error:
        message = " ".join(str(error).split())[:160]
        raise FormatError(f"{source.path}: cannot be read behind row {first - 1} ({message}).") from error


def records(source: Source, nbytes: int) -> Iterator[list[tuple[int, dict[str, Any]]]]:
    """The rows as Python objects, with their numbers."""
    for first, batch in batches(source, nbytes):
        yield list(enumerate(decoded(batch.to_pylist()), first))


def frames(source: Source, fields: jsonl.Fields, nbytes: int) -> Iterator[jsonl.Lines]:
    """The wanted columns, fitted to `fields`, with `line` = row number."""
    present = [name for name in _open(source).schema_arrow.names if name in fields]
    for first, batch in batches(source, nbytes, present):
        frame = pl.DataFrame(pl.from_arrow(batch))
        columns = [
            _fitted(frame[name], dtype) if name in frame.columns else pl.Series(name, [None] * len(frame), dtype=dtype)
            for name, dtype in fields.items()
        ]
        lines = pl.Series("line", range(first, first + len(frame)), dtype=pl.Int64)
        yield jsonl.Lines(pl.DataFrame([*columns, lines]), [])


def _fitted(series: pl.Series, dtype: pl.DataType) -> pl.Series:
    """A column in the wanted type: as it is, cast, or value by value through `jsonl.fit`."""
    if series.dtype == dtype:
        return series
    if dtype == pl.String and not series.dtype.is_nested() and series.dtype != pl.Binary:
        return (
            series.cast(pl.String).str.replace(r"^(-?\d+)\.0$", "$1") if series.dtype.is_float() else series.cast(dtype)
        )
    values: list[Any] = series.to_list()
    if dtype.is_nested():
        values = [unpacked(value) if isinstance(value, str) else value for value in values]
    return pl.Series(series.name, [jsonl.fit(value, dtype) for value in values], dtype=dtype)


def decoded(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """`rows` with the columns of JSON text decoded, in place."""
    for name in rows[0] if rows else ():
        values = [row[name] for row in rows]
        texts = [value for value in values if value is not None]
        if not texts or not all(isinstance(text, str) and text[:1] in ("[", "{") for text in texts):
            continue
        parsed = [unpacked(value) if value is not None else None for value in values]
        allowed = is_messages if name in RESPONSES else _is_nested
        if all(value is None or allowed(value) for value in parsed):
            for row, value in zip(rows, parsed, strict=True):
                row[name] = value
    return rows


def _is_nested(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and all(isinstance(item, dict) for item in value))
