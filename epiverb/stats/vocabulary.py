"""All words of two runs, counted by problem: what `specificity` compares markers with.

The vocabulary is that of *both* runs, so that a word which only training brought in is visible. Text is broken into
runs of letters, with an inner apostrophe (`don't`), in lower case; digits, formulas and punctuation separate words.
Chinese and Japanese are not broken into words: there a word is what stands between two signs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from epiverb.errors import DataError
from epiverb.stats.problems import UNKNOWN, Array, require

if TYPE_CHECKING:
    import polars as pl

WORD = r"\p{L}+(?:['’]\p{L}+)?"
_SLICE_BYTES = 48 << 20
_KEY = ["benchmark", "problem_id"]


@dataclass(frozen=True)
class WordCounts:
    """Mean counts per trace of each word (columns) in each problem (rows), for two runs on their common problems."""

    words: list[str]
    base: Any
    """Sparse (P, V): a word's occurrences in the traces of the problem, divided by the number of those traces."""
    run: Any
    base_length: Array
    """(P,) words per trace, all words, the rare ones too."""
    run_length: Array
    n_traces: tuple[int, int]
    """Traces counted, base and run."""
    notes: list[str]

    @property
    def n_problems(self) -> int:
        """Problems in both runs."""
        return len(self.base_length)

    def columns(self, words: Iterable[str]) -> npt.NDArray[np.int64]:
        """Indices of those of `words` that occur."""
        at = {word: i for i, word in enumerate(self.words)}
        return np.array(sorted({at[word] for word in words if word in at}), dtype=np.int64)


def count_words(base: pl.DataFrame, run: pl.DataFrame, *, min_count: int = 5) -> WordCounts:
    """`WordCounts` of two frames with `problem_id`, `response` and, where known, `benchmark` and `loop_start`.

    Text from a degenerate loop on is not counted: one looping trace would outweigh hundreds. Words with fewer than
    `min_count` occurrences in both runs together are in the lengths but not in the table.

    Raises:
        DataError: no problem has text in both runs, or one run has no word.
    """
    import polars as pl

    frames = [_text(frame, name) for frame, name in ((base, "base"), (run, "run"))]
    common = frames[0].select(_KEY).unique().join(frames[1].select(_KEY).unique(), on=_KEY).sort(_KEY)
    if not len(common):
        raise DataError("word counts: no problem has text in both runs; compare runs on the same problems.")
    common = common.with_row_index("row")
    kept = [frame.join(common, on=_KEY) for frame in frames]
    notes = [
        f"{name}: {len(frame) - len(same)} of {len(frame)} traces are on problems the other run lacks; not counted."
        for name, frame, same in zip(("base", "run"), frames, kept, strict=True)
        if len(same) < len(frame)
    ]
    counts = [_count(frame.select("row", "response")) for frame in kept]
    total = pl.concat(counts).group_by("word").agg(pl.col("n").sum()).filter(pl.col("n") >= min_count).sort("word")
    words = total.select("word").with_row_index("column")
    tables = [_table(count, words, frame, len(common)) for count, frame in zip(counts, kept, strict=True)]
    (base_counts, base_length), (run_counts, run_length) = tables
    for name, length in (("base", base_length), ("run", run_length)):
        if not length.any():
            raise DataError(f"word counts: {name} has no word in any trace of the common problems.")
    traces = (len(kept[0]), len(kept[1]))
    return WordCounts(words["word"].to_list(), base_counts, run_counts, base_length, run_length, traces, notes)


def _text(frame: pl.DataFrame, name: str) -> pl.DataFrame:
    import polars as pl

    require(frame, ("problem_id", "response"), name)
    text = pl.col("response")
    if "loop_start" in frame.columns:
        text = pl.when(pl.col("loop_start").is_null()).then(text).otherwise(text.str.slice(0, pl.col("loop_start")))
    benchmark = (
        pl.col("benchmark").cast(pl.String).fill_null(UNKNOWN) if "benchmark" in frame.columns else pl.lit(UNKNOWN)
    )
    return frame.select(
        benchmark.alias("benchmark"), pl.col("problem_id").cast(pl.String), text.alias("response")
    ).drop_nulls()


def _count(frame: pl.DataFrame) -> pl.DataFrame:
    """`row, word, n`; in slices, so that memory holds the words of tens of megabytes only."""
    import polars as pl

    size = frame["response"].str.len_bytes().sum()
    rows = max(1, int(len(frame) * _SLICE_BYTES / max(size, 1)))
    parts = [
        part.lazy()
        .select("row", pl.col("response").str.to_lowercase().str.extract_all(WORD).alias("word"))
        .explode("word")
        .group_by("row", "word")
        .agg(pl.len().cast(pl.Int64).alias("n"))
        .collect()
        for part in frame.iter_slices(rows)
    ]
    # One spelling of the apostrophe: done on the distinct words, where it costs nothing.
    whole = pl.concat(parts).drop_nulls("word").with_columns(pl.col("word").str.replace("’", "'", literal=True))
    return whole.group_by("row", "word").agg(pl.col("n").sum())


def _table(counts: pl.DataFrame, words: pl.DataFrame, frame: pl.DataFrame, n_problems: int) -> tuple[Any, Array]:
    from scipy.sparse import csr_array

    traces = np.bincount(frame["row"].to_numpy(), minlength=n_problems).astype(float)
    rows, n = counts["row"].to_numpy(), counts["n"].to_numpy().astype(float)
    length = np.bincount(rows, weights=n, minlength=n_problems) / traces
    kept = counts.join(words, on="word")
    at = kept["row"].to_numpy().astype(np.int64)
    share = kept["n"].to_numpy() / traces[at]
    table = csr_array((share, (at, kept["column"].to_numpy().astype(np.int64))), shape=(n_problems, len(words)))
    return table, length
