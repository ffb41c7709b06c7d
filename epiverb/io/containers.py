"""Batches of a source by its container: JSON Lines in blocks, a JSON document whole, Parquet by rows, CSV whole.

A format with `project` gets columns, one with `rows` gets records; either works with each container.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import polars as pl

from epiverb.errors import FormatError
from epiverb.io import jsonl
from epiverb.io.detect import Format
from epiverb.io.raw import RAW, Batch, Reading, Skip, Unreadable, finish
from epiverb.io.sniff import Head, load_document
from epiverb.io.source import Source

Record = tuple[int, dict[str, Any]]
ROWS_AT_ONCE = 4096


class Part(NamedTuple):
    """Some records of a source as Python objects, each with its number."""

    records: list[Record]
    skipped: list[Skip]
    n_bytes: int = 0


def batches(form: Format, source: Source, reading: Reading, head: Head, nbytes: int) -> Iterator[Batch]:
    """All traces of `source`, read as `form`."""
    if form.read:
        yield from form.read(source, reading, head, nbytes)
    elif head.kind == "zip":
        raise FormatError(f"{source.path}: a zip archive cannot be read as {form.name!r}.")
    elif form.project:
        yield from _columnar(form, source, reading, head, nbytes)
    else:
        yield from _by_record(form, source, reading, head, nbytes)


def _columnar(form: Format, source: Source, reading: Reading, head: Head, nbytes: int) -> Iterator[Batch]:
    if form.project is None or form.fields is None:
        raise TypeError(f"format {form.name!r} needs both fields and project, or rows")
    fields = form.fields(head)
    for lines in _frames(source, fields, head, nbytes):
        reading.skipped += lines.skipped
        n_seen = len(lines.frame)
        frame = finish(form.project(lines.frame, reading, head), reading)
        skipped = reading.taken()
        yield Batch(frame, skipped, n_seen + len(lines.skipped) - len(skipped), lines.n_bytes)


def _frames(source: Source, fields: jsonl.Fields, head: Head, nbytes: int) -> Iterator[jsonl.Lines]:
    """The wanted columns of any container, with `line`."""
    if head.kind == "jsonl":
        yield from jsonl.read(source.open(), fields, nbytes, source.path)
    elif head.kind == "parquet":
        from epiverb.io import parquet

        yield from parquet.frames(source, fields, nbytes)
    else:
        for part in records(source, head, nbytes):
            frame = jsonl.frame_of([record for _, record in part.records], fields)
            lines = pl.Series("line", [line for line, _ in part.records], dtype=pl.Int64)
            yield jsonl.Lines(frame.with_columns(lines), part.skipped)


def _by_record(form: Format, source: Source, reading: Reading, head: Head, nbytes: int) -> Iterator[Batch]:
    rows_of = form.rows
    if rows_of is None:
        raise TypeError(f"format {form.name!r} has no way to read: it needs project, rows or read")
    for part in records(source, head, nbytes):
        if form.unfold:
            unfolded = (inner for _, record in part.records for inner in form.unfold(record))
            part = part._replace(records=list(enumerate(unfolded, 1)))
        yield of_records(part, lambda record: rows_of(record, reading, head), reading)


def of_records(part: Part, rows_of: Callable[[dict[str, Any]], list[dict[str, Any]]], reading: Reading) -> Batch:
    """The rows of some records as a batch; a row may carry its own `line`."""
    rows: list[dict[str, Any]] = []
    n_read = 0
    for line, record in part.records:
        try:
            found = rows_of(record)
        except Unreadable as error:
            reading.skip(line, str(error))
            continue
        except (TypeError, AttributeError, KeyError, IndexError) as error:
            reading.skip(line, f"not as this format has it ({type(error).__name__}: {error})")
            continue
        rows += [{"line": line, **row} for row in found]
        n_read += 1
    return Batch(finish(frame_of_rows(rows), reading), [*part.skipped, *reading.taken()], n_read, part.n_bytes)


def frame_of_rows(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Raw rows as a frame; values that do not have their column's type become null."""
    schema = {**RAW, "question": pl.String(), "part": pl.String()}
    columns = {name: [row.get(name) for row in rows] for name in schema}
    return pl.DataFrame(
        {name: pl.Series(name, column, dtype=schema[name], strict=False) for name, column in columns.items()}
    )


def records(source: Source, head: Head, nbytes: int) -> Iterator[Part]:
    """The records of any container as Python objects, some at a time."""
    if head.kind == "jsonl":
        yield from _of_lines(source, nbytes)
    elif head.kind == "parquet":
        from epiverb.io import parquet

        yield from (Part(rows, []) for rows in parquet.records(source, nbytes))
    elif head.kind == "csv":
        try:
            table = pl.read_csv(source.open().read(), infer_schema=False, truncate_ragged_lines=True)
        except pl.exceptions.PolarsError as error:
            raise FormatError(f"{source.path}: not CSV that can be read ({str(error).splitlines()[0]}).") from error
        yield Part([(i + 2, row) for i, row in enumerate(table.iter_rows(named=True))], [])
    else:
        yield from _of_document(source)


def _of_lines(source: Source, nbytes: int) -> Iterator[Part]:
    first = 1
    for block in jsonl.blocks(source.open(), nbytes, source.path):
        records: list[Record] = []
        skipped: list[Skip] = []
        lines = jsonl.mend(block).split(b"\n")
        for number, line in enumerate(lines, first):
            if not line.strip() or line == jsonl.BOM:
                continue
            try:
                records.append((number, jsonl.load(line, unfinished=number == first + len(lines) - 1)))
            except ValueError as error:
                skipped.append(Skip(number, str(error)))
        yield Part(records, skipped, len(block))
        first += jsonl.count_lines(block)


def _of_document(source: Source) -> Iterator[Part]:
    document = load_document(source)
    items = document if isinstance(document, list) else [document]
    for start in range(0, len(items), ROWS_AT_ONCE):
        part = list(enumerate(items[start : start + ROWS_AT_ONCE], start + 1))
        wrong = [(i, item) for i, item in part if not isinstance(item, dict)]
        skipped = [Skip(i, f"not a JSON object but a {type(item).__name__}") for i, item in wrong]
        yield Part([(i, item) for i, item in part if isinstance(item, dict)], skipped)
