"""What formulas ask of an arm, taken from its run folders: a sum and a weight for each seed and problem (and word).

A figure of a problem is the mean of its samples, and one of an arm the mean over problems and seeds, unless a quantity says
that it is a ratio of sums. Unknown grades are left out, as everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import polars as pl

from epiverb.errors import ConfigError, nearest
from epiverb.lab.claims.formula import Call
from epiverb.lab.claims.plan import Scale, arm
from epiverb.run import Run
from epiverb.schema import EPISTEMIC
from epiverb.text import lexicon as lexicons

LEXICON, OTHER = "kim2026", "epiverb-en"
"""The published counter, by which claims are decided, and the one that is shown beside it."""
KEY = ["benchmark", "problem_id"]
CELLS = [*KEY, "key", "above", "below"]
"""Columns of what a quantity gives: `above` over `below`, a row a problem, and a word (`key`) where it looks at words."""
FEW = 30
"""Words that the base says less often are not followed."""
_WORD = re.compile(r"[a-z]+")


@dataclass(frozen=True)
class Runs:
    """The finished runs of a folder of claims, by arm, step and seed."""

    out: Path
    scale: Scale
    lexicon: str = LEXICON
    """Whose markers are counted where a formula does not say."""

    def folder(self, call: Call, seed: int) -> Path:
        """Where the run lies that a call asks of, with a seed."""
        return self.out / call.arm / f"seed{seed}" / (call.step or default_step(call.arm))

    def traces(self, call: Call, seed: int) -> pl.LazyFrame:
        """The traces that a call asks of: of its group of benchmarks and its condition."""
        rows = Run(self.folder(call, seed)).scan("traces")
        if call.where:
            if call.where not in self.scale.groups:
                raise ConfigError(f"no group of benchmarks {call.where!r}.{nearest(call.where, self.scale.groups)}")
            rows = rows.filter(pl.col("benchmark").is_in(self.scale.groups[call.where]))
        if condition := dict(call.options).get("condition"):
            rows = rows.filter(pl.col("condition").str.replace_all("_", "-", literal=True) == condition)
        return rows

    def cells(self, call: Call, seed: int) -> pl.DataFrame:
        """`CELLS` of a call; raises `ConfigError` where there is no such quantity."""
        if call.quantity not in QUANTITIES:
            raise ConfigError(f"no quantity {call.quantity!r}.{nearest(call.quantity, QUANTITIES)}")
        options = {name: value for name, value in call.options if name != "condition"}
        found = QUANTITIES[call.quantity](self, call, seed, **options)
        return found.select(CELLS).with_columns(
            pl.col("key").cast(pl.String), pl.col("above", "below").cast(pl.Float64)
        )

    @cached_property
    def vocabulary(self) -> dict[str, list[str]]:
        """Words of the untrained model's responses by kind: `markers`, `others`, and `matched`, others as frequent as markers."""
        counts = (
            _counted(Run(self.out / "base" / "seed0" / "eval").scan("traces")).group_by("word").agg(pl.col("n").sum())
        )
        often = dict(counts.filter(pl.col("n") >= FEW).sort("n", "word", descending=[True, False]).iter_rows())
        epistemic = _epistemic_words()
        markers = [word for word in often if word in epistemic]
        others = [word for word in often if word not in epistemic]
        left, matched = others.copy(), list[str]()
        for word in markers:
            if left:
                near = min(left, key=lambda other: abs(_log(often[other]) - _log(often[word])))
                left.remove(near)
                matched.append(near)
        return {"markers": markers, "others": others, "matched": matched, "all": list(often)}


def default_step(name: str) -> str:
    """The step of an arm that is meant where none is said: `eval`, or else its first one."""
    steps = arm(name).steps
    return "eval" if "eval" in steps else next(iter(steps))


def _log(n: int) -> float:
    from math import log

    return log(n)


@cache
def _epistemic_words() -> frozenset[str]:
    """Words that carry a marker: the published ten, and epiverb's own single words."""
    names = (LEXICON, OTHER)
    forms = {
        form
        for name in names
        for category, markers in lexicons.load(name).forms.items()
        if category in EPISTEMIC
        for some in markers.values()
        for form in some
    }
    return frozenset(form for form in forms if _WORD.fullmatch(form)) | {"mistake"}


def _means(rows: pl.LazyFrame, value: pl.Expr) -> pl.DataFrame:
    """The mean of a column over the samples of each problem, and 1 where there is one."""
    known = rows.select(*KEY, value.cast(pl.Float64).alias("value")).filter(pl.col("value").is_not_null())
    means = known.group_by(KEY).agg(pl.col("value").mean().alias("above"))
    return means.with_columns(pl.lit(None, pl.String).alias("key"), pl.lit(1.0).alias("below")).collect()


def _accuracy(runs: Runs, call: Call, seed: int) -> pl.DataFrame:
    return _means(runs.traces(call, seed), pl.col("correct"))


def _finished(runs: Runs, call: Call, seed: int) -> pl.DataFrame:
    return _means(runs.traces(call, seed), pl.col("status") == "complete")


def _tokens(runs: Runs, call: Call, seed: int) -> pl.DataFrame:
    return _means(runs.traces(call, seed), pl.col("n_tokens"))


def _pass_at(runs: Runs, call: Call, seed: int, k: int | str) -> pl.DataFrame:
    """1 - C(n - c, k) / C(n, k) of each problem with at least k graded samples."""
    rows = runs.traces(call, seed).filter(pl.col("correct").is_not_null()).group_by(KEY)
    counts = rows.agg(pl.len().cast(pl.Float64).alias("n"), pl.col("correct").sum().cast(pl.Float64).alias("c"))
    missed = pl.lit(1.0)
    for i in range(int(k)):
        missed = missed * ((pl.col("n") - pl.col("c") - i).clip(0.0) / (pl.col("n") - i))
    told = counts.filter(pl.col("n") >= int(k)).with_columns((1 - missed).alias("above"))
    return told.with_columns(pl.lit(None, pl.String).alias("key"), pl.lit(1.0).alias("below")).collect()


def _values(runs: Runs, call: Call, seed: int, name: str) -> pl.LazyFrame:
    """The traces with one measure of the table `values`, NaN as unknown."""
    table = Run(runs.folder(call, seed)).scan("values").filter(pl.col("measure") == name).select("trace_id", "value")
    return runs.traces(call, seed).join(table, on="trace_id").with_columns(pl.col("value").fill_nan(None))


def _value(runs: Runs, call: Call, seed: int, name: str) -> pl.DataFrame:
    return _means(_values(runs, call, seed, name), pl.col("value"))


def _markers(runs: Runs, call: Call, seed: int, lexicon: str | None = None) -> pl.DataFrame:
    return _value(runs, call, seed, f"count/{lexicon or runs.lexicon}")


def _density(runs: Runs, call: Call, seed: int, lexicon: str | None = None) -> pl.DataFrame:
    """Markers over thousands of tokens, both summed."""
    rows = (
        _values(runs, call, seed, f"count/{lexicon or runs.lexicon}")
        .filter(pl.col("n_tokens").is_not_null())
        .group_by(KEY)
    )
    sums = rows.agg(pl.col("value").mean().alias("above"), (pl.col("n_tokens").mean() / 1000).alias("below"))
    return sums.with_columns(pl.lit(None, pl.String).alias("key")).collect()


def _counted(rows: pl.LazyFrame) -> pl.DataFrame:
    """How often each trace says each word."""
    words = pl.col("response").str.to_lowercase().str.extract_all(r"[a-z]+").alias("word")
    return rows.select("trace_id", *KEY, words).explode("word").group_by("trace_id", *KEY, "word").len("n").collect()


def _words(runs: Runs, call: Call, seed: int, among: str = "all") -> pl.DataFrame:
    """How often a response says each word of a kind; the mean over samples, 0 where it is not said."""
    rows = runs.traces(call, seed)
    size = rows.group_by(KEY).len("samples").collect()
    sums = _counted(rows).group_by(*KEY, "word").agg(pl.col("n").sum())
    every = size.join(pl.DataFrame({"word": runs.vocabulary[among]}), how="cross")
    told = every.join(sums, on=[*KEY, "word"], how="left").with_columns(pl.col("n").fill_null(0) / pl.col("samples"))
    return told.rename({"word": "key", "n": "above"}).with_columns(pl.lit(1.0).alias("below"))


def _said(runs: Runs, call: Call, seed: int, among: str = "markers") -> pl.DataFrame:
    """How often a response says any word of a kind."""
    words = _words(runs, call, seed, among).group_by(KEY).agg(pl.col("above").sum())
    return words.with_columns(pl.lit(None, pl.String).alias("key"), pl.lit(1.0).alias("below"))


def _tokens_read(runs: Runs, call: Call, seed: int, context: str, figure: str) -> Iterator[dict[str, Any]]:
    """Each trace that was compared with a teacher: its text, its tokens' places and a figure of each."""
    run = Run(runs.folder(call, seed))
    name = f"pressure/{context}/{figure}"
    points = (
        run.scan("points").filter(pl.col("measure") == name).select("trace_id", pl.col("x").cast(pl.Int64), "value")
    )
    places = pl.concat(
        [run.scan(table).select("trace_id", "position", "start", "end") for table in ("tokens", "spans")]
    )
    table = points.join(places, left_on=["trace_id", "x"], right_on=["trace_id", "position"])
    known = table.filter(pl.col("value").is_not_null() & pl.col("start").is_not_null())
    lists = known.sort("x").group_by("trace_id").agg("start", "end", "value")
    rows = runs.traces(call, seed).select("trace_id", *KEY, "response").join(lists, on="trace_id").collect()
    yield from rows.iter_rows(named=True)


def _pressure(
    runs: Runs, call: Call, seed: int, on: str = "all", context: str = "solution", figure: str = "kl"
) -> pl.DataFrame:
    """What a teacher would change at a token of a kind (`markers`, `others`, `all`): a sum over tokens, and their number."""
    found = []
    for row in _tokens_read(runs, call, seed, context, figure):
        for start, end, value in zip(row["start"], row["end"], row["value"], strict=True):
            marked = not _epistemic_words().isdisjoint(_WORD.findall(row["response"][start:end].lower()))
            if on == "all" or marked is (on == "markers"):
                found.append((row["benchmark"], row["problem_id"], value))
    return _summed(found, count=True)


def _push(runs: Runs, call: Call, seed: int, context: str = "solution", figure: str = "log-ratio") -> pl.DataFrame:
    """By how many nats a response a teacher would raise each word: the sum over the word's tokens in a response."""
    found, traces = [], []
    for row in _tokens_read(runs, call, seed, context, figure):
        traces.append((row["benchmark"], row["problem_id"], 1.0))
        for start, end, value in zip(row["start"], row["end"], row["value"], strict=True):
            for word in _WORD.findall(row["response"][start:end].lower())[:1]:
                found.append((row["benchmark"], row["problem_id"], word, value))
    size = _summed(traces, count=True).select(*KEY, "below")
    schema = {"benchmark": pl.String, "problem_id": pl.String, "key": pl.String, "above": pl.Float64}
    sums = pl.DataFrame(found, schema=schema, orient="row").group_by(*KEY, "key").agg(pl.col("above").sum())
    every = size.join(pl.DataFrame({"key": runs.vocabulary["all"]}), how="cross")
    return every.join(sums, on=[*KEY, "key"], how="left").with_columns(pl.col("above").fill_null(0.0))


def _doubted(runs: Runs, call: Call, seed: int, lexicon: str = "epiverb-en") -> pl.DataFrame:
    """Doubts behind a stated value that is not the target, and all doubts behind a stated value: of puzzles of numbers."""
    hits = Run(runs.folder(call, seed)).scan("hits")
    doubts = hits.filter((pl.col("lexicon") == lexicon) & (pl.col("category") == "reconsideration"))
    rows = runs.traces(call, seed).select("trace_id", *KEY, "response", "gold").join(doubts, on="trace_id").collect()
    found = []
    for row in rows.iter_rows(named=True):
        if stated := re.findall(r"= (\d+)", row["response"][: row["start"]]):
            found.append((row["benchmark"], row["problem_id"], float(stated[-1] != row["gold"])))
    return _summed(found, count=True)


def _summed(found: Sequence[tuple[str, str, float]], *, count: bool) -> pl.DataFrame:
    """The sum of values of each problem over their number."""
    schema = {"benchmark": pl.String, "problem_id": pl.String, "value": pl.Float64}
    rows = pl.DataFrame(found, schema=schema, orient="row").group_by(KEY)
    sums = rows.agg(pl.col("value").sum().alias("above"), pl.len().cast(pl.Float64).alias("below"))
    return sums.with_columns(pl.lit(None, pl.String).alias("key"))


QUANTITIES: dict[str, Callable[..., pl.DataFrame]] = {
    "accuracy": _accuracy,
    "finished": _finished,
    "tokens": _tokens,
    "pass_at": _pass_at,
    "markers": _markers,
    "density": _density,
    "value": _value,
    "words": _words,
    "said": _said,
    "pressure": _pressure,
    "push": _push,
    "doubted": _doubted,
}
"""Name in a formula -> what takes it from a run."""
