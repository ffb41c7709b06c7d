"""Two runs brought to the same problems, with everything about them that a reader must be warned of."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from epiverb.errors import DataError
from epiverb.stats.estimate import HitCounts, hit_tables, marker_names
from epiverb.stats.pair import Sums, ratio
from epiverb.stats.resample import Floats
from epiverb.stats.rundata import RunData

if TYPE_CHECKING:
    import polars as pl

KEY = ["benchmark", "problem_id"]


@dataclass(frozen=True)
class Arm:
    """The traces of one run on the problems of a comparison."""

    data: RunData
    traces: pl.DataFrame
    """Its traces, with `problem` (row of the problem) and `row` (0, 1, ...)."""
    n_problems: int

    @cached_property
    def problem(self) -> NDArray[np.int64]:
        """The problem of each trace."""
        return self.traces["problem"].to_numpy()

    def column(self, name: str) -> Floats:
        """A column as floats, NaN where unknown."""
        return self.traces[name].cast(float).to_numpy().astype(np.float64)

    @cached_property
    def finished(self) -> Floats:
        """1 where a trace ended by itself, 0 where it was cut off or is empty, NaN where the source kept no text."""
        status = self.traces["status"].to_numpy()
        known = np.isin(status, ("complete", "truncated", "empty"))
        return np.where(known, status == "complete", np.nan)

    @cached_property
    def has_text(self) -> NDArray[np.bool_]:
        """False where the source kept no text, so that words and markers are unknown."""
        return self.traces["status"].fill_null("complete").to_numpy() != "missing"

    def text(self, name: str) -> Floats:
        """A column that is read from the text, NaN where there is none."""
        return np.where(self.has_text, self.column(name), np.nan)

    def totals(self, x: Floats) -> Floats:
        """Sums of `x` within problems, unknown ones left out."""
        return np.bincount(self.problem, np.nan_to_num(x), minlength=self.n_problems).astype(np.float64)

    def mean(self, x: Floats) -> Sums:
        """The mean over problems of each problem's mean of `x`, as sums of one column."""
        return self.mean_ratio(x, np.where(np.isfinite(x), 1.0, np.nan))

    def mean_ratio(self, num: Floats, den: Floats) -> Sums:
        """Mean of `num` over mean of `den`, each problem weighing the same however many samples it has."""
        known = np.isfinite(num) & np.isfinite(den)
        n = self.totals(known.astype(float))
        sums = (self.totals(np.where(known, x, 0.0)) for x in (num, den))
        return Sums(*(np.nan_to_num(ratio(total, n))[:, None] for total in sums))

    @cached_property
    def samples(self) -> NDArray[np.int64]:
        """Traces of each problem."""
        return np.bincount(self.problem, minlength=self.n_problems)

    def counts(self, lexicon: str, column: str, layout: Layout) -> tuple[Floats, Floats]:
        """Hits a trace, and the share of traces with a hit, of each problem and figure of `layout`."""
        import polars as pl

        rows = self._hits(lexicon).join(layout.frame, on=["category", "marker"]).select("row", "code", n=pl.col(column))
        trace, marker, n = (rows[c].to_numpy() for c in ("row", "code", "n"))
        hits = HitCounts(trace, marker, n, layout.markers, layout.categories)
        tables = hit_tables(self.problem, self.n_problems, hits, layout.groups)
        k = self.totals(self.has_text.astype(float))[:, None]
        return tuple(np.nan_to_num(ratio(table, k)) for table in tables)  # type: ignore[return-value]

    def _hits(self, lexicon: str) -> pl.DataFrame:
        import polars as pl

        if self.data.counts is None:
            raise DataError(f"run {self.data.name!r}: it has no marker counts.")
        return self.data.counts.filter(pl.col("lexicon") == lexicon).join(
            self.traces.select("trace_id", "row"), on="trace_id"
        )


@dataclass(frozen=True)
class Layout:
    """The figures of a lexicon in a comparison: the epistemic total, its categories, the markers of either run."""

    frame: pl.DataFrame
    """`category`, `marker`, `code`: 0, 1, ... over markers."""
    groups: list[str]

    @classmethod
    def of(cls, lexicon: str, arms: tuple[Arm, Arm]) -> Layout:
        """The layout of a lexicon: markers by category, then most frequent first."""
        import polars as pl

        hits = pl.concat([arm._hits(lexicon).select("category", "marker", "n") for arm in arms])
        found = (
            hits.group_by("category", "marker")
            .agg(pl.col("n").sum())
            .sort("category", "n", "marker", descending=[False, True, False])
        )
        return cls(
            found.select("category", "marker").with_row_index("code"),
            found["category"].unique(maintain_order=True).to_list(),
        )

    @cached_property
    def markers(self) -> list[str]:
        """Every marker found."""
        return self.frame["marker"].to_list()

    @cached_property
    def categories(self) -> list[str]:
        """The category of each marker."""
        return self.frame["category"].to_list()

    @cached_property
    def names(self) -> list[str]:
        """The markers as keys, told apart where two categories share one."""
        empty = np.zeros(0, dtype=np.int64)
        return marker_names(HitCounts(empty, empty, empty, self.markers, self.categories))


@dataclass(frozen=True)
class Pairing:
    """Two runs on the same problems; or, unpaired, on the base's problems followed by the run's."""

    arms: tuple[Arm, Arm]
    problems: pl.DataFrame
    """`benchmark`, `problem_id`, `domain`, `problem`: one row a problem."""
    paired: bool
    warnings: list[str]
    dropped: dict[str, int]
    """Problems of each run without a partner in the other."""

    @property
    def n_problems(self) -> int:
        """Rows of every table of sums."""
        return len(self.problems)

    @property
    def n_base(self) -> int | None:
        """How many rows are the base's, where unpaired."""
        return None if self.paired else int((self.arms[0].samples > 0).sum())

    @property
    def n_traces(self) -> tuple[int, int]:
        """Traces of both runs on these problems."""
        return len(self.arms[0].traces), len(self.arms[1].traces)

    def select(self, rows: pl.DataFrame) -> Pairing:
        """The same comparison on some of the problems."""
        chosen = rows.drop("problem").with_row_index("problem").with_columns(problem=_int("problem"))
        arms = tuple(_arm(arm.data, arm.traces.drop("problem", "row"), chosen) for arm in self.arms)
        return Pairing(arms, chosen, self.paired, [], {})  # type: ignore[arg-type]


def _int(name: str) -> Any:
    import polars as pl

    return pl.col(name).cast(pl.Int64)


def _arm(data: RunData, traces: pl.DataFrame, problems: pl.DataFrame) -> Arm:
    joined = traces.join(problems.select(*KEY, "problem"), on=KEY, nulls_equal=True, maintain_order="left")
    numbered = joined.with_row_index("row").with_columns(row=_int("row"))
    return Arm(data, numbered, len(problems))


def pair_runs(base: RunData, run: RunData, *, paired: bool = True) -> Pairing:
    """Both runs on the problems they share.

    Args:
        paired: False compares runs of different problems, as two independent samples of problems.

    Raises:
        DataError: no problem is in both runs (or none has an id).
    """
    import polars as pl

    warnings: list[str] = []
    frames = [_identified(data, warnings) for data in (base, run)]
    _same_benchmarks(frames, warnings)
    keys = [_problems(frame) for frame in frames]
    if not paired:
        frames = [
            f.with_columns(pl.format("{}/{}", pl.lit(side), "problem_id").alias("problem_id"))
            for f, side in zip(frames, ("base", "run"), strict=True)
        ]
        problems = pl.concat([_problems(frame) for frame in frames])
        dropped = {"base": 0, "run": 0}
        warnings.append(
            "The runs are compared as unpaired: how hard the problems of each run are is part of the difference."
        )
    else:
        problems = keys[0].join(keys[1].select(KEY), on=KEY, nulls_equal=True, maintain_order="left")
        if not len(problems):
            raise DataError(_no_common(base, run, keys))
        dropped = {"base": len(keys[0]) - len(problems), "run": len(keys[1]) - len(problems)}
        warnings += _dropped(base, run, keys, dropped)
    problems = problems.with_row_index("problem").with_columns(problem=_int("problem"))
    arms = (_arm(base, frames[0], problems), _arm(run, frames[1], problems))
    return Pairing(arms, problems, paired, warnings, dropped)


def _identified(data: RunData, warnings: list[str]) -> pl.DataFrame:
    unknown = data.traces["problem_id"].null_count()
    if unknown == len(data.traces):
        raise DataError(
            f"run {data.name!r}: no trace says which problem it answers; give problem ids, e.g. --map problem_id=KEY."
        )
    if unknown:
        warnings.append(f"{data.name}: {unknown} of {len(data.traces)} traces have no problem id and are left out.")
    return data.traces.drop_nulls("problem_id")


def _same_benchmarks(frames: list[pl.DataFrame], warnings: list[str]) -> None:
    """Where only one run names its benchmark, pair by problem id alone."""
    import polars as pl

    silent = [frame["benchmark"].null_count() == len(frame) for frame in frames]
    if silent[0] != silent[1]:
        named = frames[silent.index(False)]
        if named.select(pl.struct(KEY).n_unique()).item() == named["problem_id"].n_unique():
            names = named.select("problem_id", "benchmark").unique()
            at = silent.index(True)
            frames[at] = frames[at].drop("benchmark").join(names, on="problem_id", how="left", maintain_order="left")
            warnings.append("Only one run names its benchmarks; problems are paired by their id alone.")


def _problems(frame: pl.DataFrame) -> pl.DataFrame:
    """One row a problem, in order of appearance."""
    return frame.select(*KEY, "domain").unique(KEY, keep="first", maintain_order=True)


def _no_common(base: RunData, run: RunData, keys: list[pl.DataFrame]) -> str:
    def example(frame: pl.DataFrame) -> str:
        return ", ".join(f"{b}/{p}" if b else str(p) for b, p in frame.select(KEY).head(2).iter_rows())

    return (
        f"{base.name} and {run.name} have no problem in common (e.g. {example(keys[0])} against {example(keys[1])}). "
        "Map the same problem ids for both, or compare them as independent samples with --no-paired."
    )


def _dropped(base: RunData, run: RunData, keys: list[pl.DataFrame], dropped: dict[str, int]) -> list[str]:
    return [
        f"{data.name}: {dropped[side]} of {len(frame)} problems are not in the other run and are left out."
        for data, frame, side in zip((base, run), keys, ("base", "run"), strict=True)
        if dropped[side]
    ]
