"""Where records come from: local files and folders, data sets saved by `datasets`, and the hub."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from typing import Any

import polars as pl

from epiverb.errors import ConfigError, EpiverbError, FormatError, MissingExtra, nearest
from epiverb.io import containers, parquet
from epiverb.io.sniff import sniff
from epiverb.io.source import Source, expand

Records = Iterator[tuple[str, "dict[str, Any] | int"]]
"""Each record with where it stands, for messages. A number: so many rows there repeat a record that was given."""

AT_ONCE = 1 << 23
WIDE, LONG = 1 << 28, 1 << 18
"""Bytes and rows of a table among which repetitions are looked for: DAPO-Math-17k holds each problem a hundred times."""
OBJECTS = 4096
"""Rows that become Python objects at once."""
SPLITS = re.compile(r"(?:^|[^a-z])(train|test|validation|valid|val|dev|eval)(?:[^a-z]|$)")
SHARD = re.compile(r"[-_.]?\d{5}-of-\d{5}$")
LEFT_OUT = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json")


def is_saved(path: str) -> bool:
    """Whether a folder was written by `save_to_disk` of `datasets`."""
    return any(os.path.isfile(os.path.join(path, name)) for name in ("dataset_dict.json", "state.json"))


def files(path: str, split: str | None) -> list[str]:
    """The files of problems that `path` names, of one split.

    Raises:
        FormatError: there is none.
        ConfigError: there are several splits and none was asked for, or not the one that was.
    """
    found = [file for file in expand([path]) if os.path.basename(file) not in LEFT_OUT]
    by_split: dict[str | None, list[str]] = {}
    for file in found:
        by_split.setdefault(split_of(file), []).append(file)
    named = [name for name in by_split if name is not None]
    if split is None:
        if len(named) > 1:
            raise ConfigError(f"{path}: has several splits ({', '.join(named)}). Say which: split={named[0]}.")
        return found
    if not named:
        raise ConfigError(f"{path}: no file of it is named after a split, so {split!r} cannot be picked.")
    if split not in by_split:
        raise ConfigError(f"{path}: no split {split!r}.{nearest(split, named)}")
    return by_split[split]


def split_of(path: str) -> str | None:
    """The split that a file is named after."""
    found = SPLITS.search(stem(path).lower())
    return found[1] if found else None


def stem(path: str) -> str:
    """A file's name without its suffixes and the number of its shard."""
    name = re.split(r"[/\\]", path)[-1].split("?")[0]
    return SHARD.sub("", re.sub(r"\.(?:jsonl|ndjson|json|parquet|csv|eval)(?:\.(?:gz|zst|bz2|xz))?$", "", name))


def benchmark(path: str) -> str:
    """What a file's problems are called: by its own name, or its folder's where the file has only that of a split."""
    parts = [part for part in re.split(r"[/\\]", path) if part]
    names = [stem(path), *reversed(parts[:-1])]
    return next((name for name in names if not SPLITS.fullmatch(name.lower()) and name not in ("data", ".", "..")), "-")


def local(path: str, keys: Iterable[str] = ()) -> Records:
    """The records of one file. A set of problems is read whole or not at all.

    Args:
        keys: columns by which a row of a Parquet file repeats another; none: all rows are given.

    Raises:
        FormatError: it cannot be read, or a record of it.
    """
    source = Source(path)
    head = sniff(source)
    if head.kind == "parquet":
        for number, batch in parquet.batches(source, WIDE, most=LONG):
            yield from _distinct(batch, number, path, keys)
        return
    for part in containers.records(source, head, AT_ONCE):
        if part.skipped:
            first = part.skipped[0]
            raise FormatError(f"{path}, line {first.line}: {first.reason}. Mend or remove it: no problem is dropped.")
        for line, record in part.records:
            yield f"{path}, line {line}", record


def saved(path: str, split: str | None, keys: Iterable[str] = ()) -> Records:
    """The records of a folder that `save_to_disk` wrote."""
    library = _datasets()
    try:
        data = library.load_from_disk(path)
    except Exception as error:  # pyarrow, JSON and file errors alike
        raise FormatError(f"{path}: cannot be loaded by datasets ({_short(error)}).") from error
    return _rows(_one_split(data, split, path), path, keys)


def hub(
    name: str,
    options: dict[str, str],
    split: str | None,
    *,
    keys: Iterable[str] = (),
    trust_remote_code: bool = False,
) -> Records:
    """The records of a data set of the hub, or of a local folder that `datasets` is to read.

    Args:
        options: `config`, `revision` and `files`, where the set has any.

    Raises:
        FormatError: it cannot be reached or read.
        ConfigError: it has several splits and none was asked for.
    """
    library = _datasets()
    unknown = options.keys() - {"config", "revision", "files"}
    if unknown:
        word = sorted(unknown)[0]
        raise ConfigError(f"{name}: no option {word!r}.{nearest(word, ['config', 'revision', 'files'])}")
    arguments: dict[str, Any] = {"path": name, "name": options.get("config"), "revision": options.get("revision")}
    if "files" in options:
        at_revision = f"@{options['revision']}" if "revision" in options else ""
        places = [f"hf://datasets/{name}{at_revision}/{file}" for file in options["files"].split(",")]
        arguments = {"path": "json" if ".json" in places[0] else "parquet", "data_files": places}
    if trust_remote_code:
        if int(library.__version__.split(".")[0]) >= 4:
            raise ConfigError("trust_remote_code: datasets runs no code of a data set since version 4. Leave it out.")
        arguments["trust_remote_code"] = True
    try:
        data = library.load_dataset(**arguments)
    except Exception as error:  # the hub's, the network's and the builders' errors have no common kind
        raise FormatError(
            f"{name}: cannot be loaded by datasets ({_short(error)}). Without the hub, give local files (a named set: NAME=PATH)."
        ) from error
    return _rows(_one_split(data, split, name), name, keys)


def _datasets() -> Any:
    try:
        import datasets
    except ImportError as error:
        raise MissingExtra("datasets", "train") from error
    return datasets


def _one_split(data: Any, split: str | None, where: str) -> Any:
    if not isinstance(data, dict):
        if split is not None and str(data.split or split) != split:
            raise ConfigError(f"{where}: is split {str(data.split)!r}, not {split!r}.")
        return data
    names = [str(name) for name in data]
    if split is None and len(names) > 1:
        raise ConfigError(f"{where}: has several splits ({', '.join(names)}). Say which: split={names[0]}.")
    if split is not None and split not in names:
        raise ConfigError(f"{where}: no split {split!r}.{nearest(split, names)}")
    return data[split or names[0]]


def _rows(data: Any, where: str, keys: Iterable[str]) -> Records:
    size = max(1, min(LONG, WIDE * len(data) // max(1, data.data.nbytes)))
    first = 1
    for batch in data.with_format("arrow").iter(size):
        yield from _distinct(batch, first, where, keys)
        first += len(batch)


def _distinct(batch: Any, first: int, where: str, keys: Iterable[str]) -> Records:
    """The records of an Arrow table, those that repeat an earlier one of it by `keys` only counted."""
    by = [name for name in dict.fromkeys(keys) if name in batch.schema.names]
    rows = pl.Series(range(batch.num_rows))
    if by:
        table = pl.DataFrame(pl.from_arrow(batch.select(by))).with_row_index("\0row")
        rows = table.unique(by, keep="first", maintain_order=True)["\0row"]
    for part in rows.to_frame().iter_slices(OBJECTS):
        chosen = part.to_series().to_list()
        records = parquet.decoded(batch.take(chosen).to_pylist())
        yield from ((f"{where}, row {first + row}", record) for row, record in zip(chosen, records, strict=True))
    if len(rows) < batch.num_rows:
        yield where, batch.num_rows - len(rows)


def _short(error: Exception) -> str:
    if isinstance(error, EpiverbError):
        return str(error)
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
