"""A run: a folder of Parquet tables, `run.json` (how it was made) and `summary.json` (what it says).

A run is written into a hidden sibling folder and renamed when it is whole, so that a killed command leaves either the
last complete run or none.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epiverb.errors import ConfigError, DataError, MissingExtra
from epiverb.schema import TABLES, Column

if TYPE_CHECKING:
    import datasets
    import pandas
    import polars as pl


def polars_schema(table: str) -> dict[str, Any]:
    """Column name -> polars type of one of the tables in `epiverb.schema`."""
    import polars as pl

    types = {"str": pl.String, "int": pl.Int64, "float": pl.Float64, "bool": pl.Boolean}
    return {column.name: types[column.dtype] for column in TABLES[table]}


def conform(frame: pl.DataFrame, table: str) -> pl.DataFrame:
    """`frame` with exactly the columns, order and types of `table`; absent nullable columns become null.

    A column of text may be held as an `Enum`.

    Raises:
        DataError: a required column is absent, or holds a null.
    """
    import polars as pl

    def expression(column: Column) -> pl.Expr:
        dtype = schema[column.name]
        if column.name in frame.columns:
            return pl.col(column.name).cast(dtype)
        if column.nullable:
            return pl.lit(None, dtype=dtype).alias(column.name)
        raise DataError(f"table {table!r} needs a column {column.name!r}; it has {', '.join(frame.columns)}.")

    schema = polars_schema(table)
    held = [(name, pl.String if dtype == pl.Enum else dtype) for name, dtype in frame.schema.items()]
    exact = held == list(schema.items())
    whole = frame if exact else frame.select([expression(column) for column in TABLES[table]])
    for column in TABLES[table]:
        if not column.nullable and whole[column.name].null_count():
            raise DataError(f"table {table!r}: column {column.name!r} holds {whole[column.name].null_count()} nulls.")
    return whole


def write_table(frame: pl.DataFrame, path: str | Path, *, packed: bool = True, arrays: Any = None) -> None:
    """Write a table as Parquet, all text as plain strings.

    Columns that are `Enum`s go to the file as the dictionaries that they are; to hash their text instead, row by row,
    would cost more than to find what they hold.

    Args:
        packed: with lz4.
        arrays: column -> Arrow array, for columns of which there is one already: long text need not be copied again.
    """
    import polars as pl
    import pyarrow as pa
    import pyarrow.parquet as pq

    oldest, given = pl.CompatLevel.oldest(), arrays or {}
    columns = {name: given.get(name, None) for name in frame.columns}
    pq.write_table(
        pa.table({name: frame[name].to_arrow(compat_level=oldest) if a is None else a for name, a in columns.items()}),
        path,
        compression="lz4" if packed else "none",
        use_dictionary=[name for name, dtype in frame.schema.items() if dtype == pl.Enum],
        write_statistics=False,
        store_schema=False,  # or readers would give dictionaries back
    )


class Run:
    """A finished run, opened for reading. Tables are read when asked for, as pandas frames.

    Args:
        path: the run folder. Raises `DataError` where it holds no `run.json`.
        condition: only the traces of this arm; the summary stays that of the whole run.
    """

    def __init__(self, path: str | Path, *, condition: str | None = None) -> None:
        self.path = Path(path)
        self.condition = condition
        if not (self.path / "run.json").is_file():
            raise DataError(f"{self.path}: not a run folder (no run.json). {self._hint()}")

    def _hint(self) -> str:
        if (self.path / "sampling.json").is_file():
            return "Its sampling is not finished; the command that began it continues it."
        return "Make one with: epiverb analyze FILE --out DIR"

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """How the run was made: config, versions, lexicon and input hashes (`run.json`)."""
        return json.loads((self.path / "run.json").read_text("utf-8"))

    @cached_property
    def summary(self) -> dict[str, Any]:
        """What the run says: the document that `--json` prints (`summary.json`)."""
        return json.loads((self.path / "summary.json").read_text("utf-8"))

    def scan(self, table: str) -> pl.LazyFrame:
        """One table as a polars LazyFrame, empty where the run does not hold it."""
        import polars as pl

        files = self._files(table)
        return self._scanned(table, pl.scan_parquet(files, glob=False) if files else None)

    def parts(self, table: str) -> Iterator[pl.LazyFrame]:
        """What `scan` gives, file by file, so that one who goes through a table need not hold more than one of them."""
        import polars as pl

        for file in self._files(table):
            yield self._scanned(table, pl.scan_parquet(file, glob=False))

    def _files(self, table: str) -> list[Path]:
        if table not in TABLES:
            raise DataError(f"no table {table!r}; a run has {', '.join(TABLES)}.")
        path = self.path / f"{table}.parquet"  # a file, or a folder of parts
        return [path] if path.is_file() else sorted(path.glob("*.parquet"))

    def _scanned(self, table: str, rows: pl.LazyFrame | None) -> pl.LazyFrame:
        """Those of the rows that are of this arm."""
        import polars as pl

        if rows is None:
            rows = pl.LazyFrame(schema=polars_schema(table))
        if self.condition is None:
            return rows
        if table == "traces":
            return rows.filter(pl.col("condition") == self.condition)
        return rows.join(self.scan("traces").select("trace_id"), on="trace_id", how="semi")

    @cached_property
    def conditions(self) -> list[str | None]:
        """The arms of the run, in the order in which they stand."""
        return self.scan("traces").select("condition").unique(maintain_order=True).collect()["condition"].to_list()

    @cached_property
    def traces(self) -> pandas.DataFrame:
        """One row a sampled response."""
        return self.scan("traces").collect().to_pandas()

    @cached_property
    def hits(self) -> pandas.DataFrame:
        """One row a marker occurrence."""
        return self.scan("hits").collect().to_pandas()

    @cached_property
    def values(self) -> pandas.DataFrame:
        """One row a measure of a trace."""
        return self.scan("values").collect().to_pandas()

    @cached_property
    def points(self) -> pandas.DataFrame:
        """One row a step of a trajectory."""
        return self.scan("points").collect().to_pandas()

    def wide(self) -> pandas.DataFrame:
        """One row a trace: its coordinates and every measure as a column; the text is left out."""
        text = {"prompt", "context", "response"}
        traces = self.scan("traces").select([c.name for c in TABLES["traces"] if c.name not in text]).collect()
        values = self.scan("values").collect().pivot("measure", index="trace_id", values="value")
        return traces.join(values, on="trace_id", how="left").to_pandas()

    @property
    def tables(self) -> list[str]:
        """The tables that the run holds."""
        return [name for name in TABLES if self._files(name)]

    def to_pandas(self, *tables: str) -> dict[str, pandas.DataFrame]:
        """Table name -> pandas frame, of the named tables or of all that the run holds."""
        return {name: self.scan(name).collect().to_pandas() for name in tables or self.tables}

    def to_datasets(self, *tables: str) -> datasets.DatasetDict:
        """The tables as a Hugging Face `DatasetDict` in memory, a split each: those named, or all that the run holds.

        `run.to_datasets("hits")["hits"].to_parquet(...)`, `.push_to_hub(...)`: tables differ in columns, so push one by one.

        Raises:
            MissingExtra: datasets is not installed.
        """
        try:
            from datasets import Dataset, DatasetDict
        except ImportError as error:
            raise MissingExtra("datasets", "train") from error
        frames = {name: self.scan(name).collect() for name in tables or self.tables}
        return DatasetDict({name: Dataset(frame.to_arrow()) for name, frame in frames.items()})

    def to_wandb(self, *tables: str) -> dict[str, Any]:
        """Table name -> `wandb.Table`, of the named tables or of `traces` and `hits`: `wandb.log(run.to_wandb())`.

        Raises:
            MissingExtra: wandb is not installed.
            DataError: a table has more rows than W&B keeps.
        """
        try:
            import wandb
        except ImportError as error:
            raise MissingExtra("wandb", "wandb") from error
        found, most = {}, wandb.Table.MAX_ARTIFACT_ROWS
        for name in tables or ("traces", "hits"):
            frame = self.scan(name).collect()
            if len(frame) > most:
                raise DataError(
                    f"table {name!r} has {len(frame):,} rows, W&B keeps {most:,}: log other tables, or one arm."
                )
            found[name] = wandb.Table(columns=frame.columns, data=[list(row) for row in frame.iter_rows()])
        return found

    def _repr_html_(self) -> str:
        from html import escape

        lines = [f"{name}: {block['hits']:,} hits" for name, block in self.summary["lexicons"].items()]
        return f"<b>{escape(repr(self))}</b><br>{escape('; '.join(lines))}"

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}: {self.summary['n_traces']} traces of {self.summary['n_problems']} problems)"


@contextmanager
def writing(out: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A hidden folder to write a run into; it takes the place of `out` when the block ends without an error.

    Raises:
        ConfigError: `out` exists and `overwrite` is not set, or it exists and is no run.
    """
    out = Path(out)
    if out.exists():
        if not overwrite:
            raise ConfigError(f"{out}: exists already. Pass --overwrite to replace it, or another --out.")
        if not (out / "run.json").is_file() and (out.is_file() or any(out.iterdir())):
            raise ConfigError(f"{out}: is not a run folder, so it is not overwritten. Choose another --out.")
    out.parent.mkdir(parents=True, exist_ok=True)
    scratch = out.with_name(f".{out.name}.{uuid.uuid4().hex[:8]}.partial")
    scratch.mkdir()
    try:
        yield scratch
        if out.exists():
            retired = scratch.with_suffix(".old")
            os.rename(out, retired)
            os.rename(scratch, out)
            shutil.rmtree(retired)
        else:
            os.rename(scratch, out)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Write `document` as indented UTF-8 JSON; a NaN is a fault, not a value."""
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", "utf-8")
