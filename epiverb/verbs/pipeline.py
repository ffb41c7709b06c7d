"""One batch of raw records to finished tables, and all batches to a run folder: read, split, match, measure, write.

Every step is a function of a columnar batch, so batches go through a small pool of threads (polars and numpy release the
interpreter lock) and memory does not grow with the file. What the estimates need is kept as sums per problem.
"""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import polars as pl

from epiverb.errors import ConfigError, MissingExtra
from epiverb.measures.base import Batch, Hits, by_lexicon
from epiverb.measures.compute import compute
from epiverb.run import conform, write_table
from epiverb.text import loops, thinking
from epiverb.text.cues import CUES
from epiverb.text.match import Matcher
from epiverb.text.offsets import Flat
from epiverb.text.words import Words
from epiverb.verbs.summary import Part

if TYPE_CHECKING:
    from epiverb.configs.analyze import AnalyzeConfig
    from epiverb.text.lexicon import Lexicon

X = TypeVar("X")
Y = TypeVar("Y")

WORKERS = 2
MEASURED = ("traces", "hits", "values", "points")
"""The tables that every run has; those of tokens are written where tokens are known."""
MERGED = 1 << 17
"""Bytes below which the parts of a table become one file at the end. A megabyte of packed values is a million rows, and
writing those anew would cost a tenth of the whole run."""


@dataclass(frozen=True)
class Tables:
    """What one batch becomes."""

    traces: pl.DataFrame
    found: pl.DataFrame
    """Like `hits`, but trace_id is the row number in `traces`."""
    values: pl.DataFrame
    points: pl.DataFrame
    text: Words | None = None
    """The words of the responses, and the responses as bytes, where they were looked at."""

    @property
    def hits(self) -> pl.DataFrame:
        """The `hits` table."""
        ids = self.traces["trace_id"]
        return self.found.with_columns(ids.cast(pl.Enum(ids)).gather(self.found["trace_id"]))


@dataclass(frozen=True)
class Pipeline:
    """The steps from raw records to tables, with what they need: lexicons, domains, a token counter, a grader."""

    lexicons: tuple[Lexicon, ...]
    matcher: Matcher
    domains: dict[str, str]
    count_tokens: Callable[[pl.Series], pl.Series] | None = None
    grade: Callable[[pl.DataFrame], pl.DataFrame] | None = None

    @classmethod
    def of(cls, config: AnalyzeConfig, lexes: tuple[Lexicon, ...], grade: Any = None) -> Pipeline:
        """What `analyze` runs with these settings."""
        return cls(lexes, Matcher((*lexes, CUES)), config.domain, token_counter(config.tokenizer), grade)

    def __call__(self, raw: pl.DataFrame, flat: Flat | None = None) -> Tables:
        """The tables of one batch of raw records; `flat` are the bytes of the responses, where there are such already."""
        if self.grade is not None:
            raw = self.grade(raw)
        responses = raw["response"]
        flat = flat or Flat.of(responses)
        text = Words(flat)
        n_words = pl.Series("n_words", text.of_rows(), dtype=pl.Int64)
        frame = raw.with_columns(loops.find(responses, flat)["loop_start"], n_words)
        frame = thinking.annotate(frame)
        if self.domains:
            domain = pl.col("benchmark").replace_strict(self.domains, default=None, return_dtype=pl.String)
            frame = frame.with_columns(pl.coalesce(domain, "domain").alias("domain"))
        if self.count_tokens is not None and frame["n_tokens"].null_count():
            counted = self.count_tokens(frame["response"])
            frame = frame.with_columns(pl.col("n_tokens").fill_null(counted))
        traces = conform(frame, "traces")
        # Hits carry row numbers until they are written: joining on long ids would cost more than finding them.
        found = self.matcher.hits(traces.with_columns(pl.int_range(pl.len(), dtype=pl.UInt32).alias("trace_id")), flat)
        by_name = by_lexicon(found)
        nothing = Hits.of(found.clear())
        named = {name: by_name.get(name, nothing) for name in (*(lex.name for lex in self.lexicons), CUES.name)}
        values, points = compute(Batch(traces, named, self.lexicons, text))
        return Tables(traces, found.head(len(found) - len(named[CUES.name].row)), values, points, text)


def token_counter(name: str | None) -> Callable[[pl.Series], pl.Series] | None:
    """A function from responses to token counts, without special tokens, for a tokenizer folder, file or hub name."""
    if name is None:
        return None
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise MissingExtra("tokenizers", "tokens") from None
    file = Path(name) / "tokenizer.json" if Path(name).is_dir() else Path(name)
    try:
        tokenizer = Tokenizer.from_file(str(file)) if file.is_file() else Tokenizer.from_pretrained(name)
    except Exception as error:
        raise ConfigError(f"--tokenizer {name}: {' '.join(str(error).split())[:200]}") from None

    def count(responses: pl.Series) -> pl.Series:
        encoded = tokenizer.encode_batch_fast(responses.to_list(), add_special_tokens=False)
        return pl.Series([len(one.ids) for one in encoded], dtype=pl.Int64)

    return count


def in_order(function: Callable[[X], Y], items: Iterable[X], at_once: int = WORKERS) -> Iterator[Y]:
    """`function` of each item, in order, so many at a time; at most one finished result waits."""
    with ThreadPoolExecutor(at_once) as pool:
        pending: deque[Any] = deque()
        try:
            for item in items:
                pending.append(pool.submit(function, item))
                if len(pending) > at_once:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


def measure(pipeline: Pipeline, folder: Path, batch: tuple[int, pl.DataFrame], flat: Flat | None = None) -> Part:
    """Measure a batch and write its tables as the parts of its number; what the estimates need comes back."""
    number, raw = batch
    tables = pipeline(raw, flat)
    write_part(folder, number, tables)
    return Part.of(tables)


def write_part(folder: Path, number: int, tables: Tables) -> None:
    """Write the tables of one batch into a run folder, as part `number` of each.

    A table is a file `traces.parquet` where it is small (see `settle`), else a folder of that name with a file a part:
    readers of Parquet take either, parts are written at the same time, and none is read again to append to it.
    """
    for name in MEASURED:
        path = folder / f"{name}.parquet"
        path.mkdir(exist_ok=True)
        frame = conform(getattr(tables, name), name)
        file = path / f"part-{number:05}.parquet"
        if name == "traces" and tables.text is not None:
            # Long text at 400 MB/s and thread would cost more than matching it; the other tables are small.
            write_table(frame, file, packed=False, arrays={"response": tables.text.flat.array})
        else:
            write_table(frame, file, packed=name != "traces")


def settle(folder: Path) -> None:
    """Turn tables that are small, or of a single part, into plain files."""
    for name in MEASURED:
        path = folder / f"{name}.parquet"
        parts = sorted(path.iterdir())
        scratch = path.with_suffix(".part")
        if len(parts) == 1:
            parts[0].rename(scratch)
        elif sum(part.stat().st_size for part in parts) < MERGED:
            pl.read_parquet(parts).write_parquet(scratch, compression="zstd", statistics=False)
        else:
            continue
        shutil.rmtree(path)
        scratch.rename(path)
