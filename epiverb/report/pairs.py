"""The traces of several runs on the problems that they share, filled into pages problem by problem.

Facts of all problems are on every page, so that filters see the whole comparison; only the text is spread over pages.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from epiverb.report.payload import PAGE_BYTES, deflated, documents, embedded
from epiverb.run import Run
from epiverb.schema import EPISTEMIC

KEY = ["benchmark", "problem_id"]
BLOCK = 40
"""Problems whose text is held at once."""
PROMPT = 110
"""Characters of a prompt in the list of problems."""


@dataclass
class PairPage:
    """The text of the problems of one page."""

    packed: dict[int, list[list[str]]] = field(default_factory=dict)
    """Problem -> run (the base first) -> its samples, each a deflated, base64-coded JSON document."""
    size: int = 0


@dataclass
class Pairs:
    """All problems of a comparison as the side-by-side viewer takes them."""

    problems: list[list[Any]]
    """One row a problem: benchmark, id, page, beginning of the prompt, then for each run `[sample, correct, status,
    words, epistemic hits outside a loop]` of its samples."""
    pages: list[PairPage]
    n_common: int
    n_traces: list[int]
    """Traces of each run on those problems."""
    n_shown: list[int]

    def told(self, names: Sequence[str]) -> str:
        """What is shown and what is not."""
        both = "problem" if self.n_common == 1 else "problems"
        head = f"{len(self.problems):,} of {self.n_common:,} {both} that the runs share"
        if self.n_shown == self.n_traces:
            return f"All {self.n_common:,} {both} that the runs share, every trace; none is left out."
        parts = (
            f"{shown:,} of {total:,} of {name}"
            for name, shown, total in zip(names, self.n_shown, self.n_traces, strict=True)
        )
        return f"{head}; traces shown: {', '.join(parts)}. --report-traces {max(self.n_traces)} shows every one."


def collect(runs: Sequence[Run], lexicon: str, *, max_traces: int) -> Pairs:
    """The problems that the first run shares with another, in the first run's order.

    Args:
        max_traces: at most about this many traces a run: first the same number of samples of every problem, one at
            least; of more problems than that, as many spread evenly.
    """
    tables = _named_alike([_rows(run) for run in runs])
    common = _common(tables)
    chosen = common
    if len(common) > max_traces:
        chosen = common[np.unique(np.linspace(0, len(common) - 1, max_traces).round().astype(np.int64))]
    most = max(1, max_traces // max(len(chosen), 1))
    shown = [
        table.join(chosen.with_row_index("at"), on=KEY, nulls_equal=True)
        .sort("at", "sample", "row")
        .filter(pl.int_range(pl.len()).over("at") < most)
        for table in tables
    ]
    problems: list[list[Any]] = []
    pages = list(_fill(runs, lexicon, shown, chosen, problems))
    totals = [len(table.join(common, on=KEY, how="semi", nulls_equal=True)) for table in tables]
    return Pairs(problems, pages, len(common), totals, [len(part) for part in shown])


def _rows(run: Run) -> pl.DataFrame:
    traces = run.scan("traces").with_row_index("row").select("row", *KEY, "sample")
    return traces.drop_nulls("problem_id").collect()


def _named_alike(tables: list[pl.DataFrame]) -> list[pl.DataFrame]:
    """Without benchmarks where only some runs name them and the ids alone tell the problems apart, as the comparison pairs."""
    silent = [table["benchmark"].null_count() == len(table) for table in tables]
    plain = all(table.select(KEY).n_unique() == table["problem_id"].n_unique() for table in tables)
    if any(silent) and not all(silent) and plain:
        return [table.with_columns(benchmark=pl.lit(None, pl.String)) for table in tables]
    return tables


def _common(tables: Sequence[pl.DataFrame]) -> pl.DataFrame:
    base, *others = (table.select(KEY).unique(maintain_order=True) for table in tables)
    return base.join(pl.concat(others).unique(), on=KEY, how="semi", nulls_equal=True, maintain_order="left")


def _fill(
    runs: Sequence[Run], lexicon: str, shown: Sequence[pl.DataFrame], chosen: pl.DataFrame, problems: list[list[Any]]
) -> Iterator[PairPage]:
    page, number = PairPage(), 0
    room = PAGE_BYTES - 60 * sum(map(len, shown))
    for low in range(0, len(chosen), BLOCK):
        packed = [
            _samples(run, lexicon, rows.filter(pl.col("at").is_between(low, low + BLOCK - 1)))
            for run, rows in zip(runs, shown, strict=True)
        ]
        for at, (benchmark, problem) in enumerate(chosen[low : low + BLOCK].iter_rows(), low):
            sides = [part.get(at, []) for part in packed]
            texts = [[text for _, text, _ in side] for side in sides]
            size = sum(len(text) for side in texts for text in side)
            if page.packed and page.size + size > max(room, PAGE_BYTES // 4):
                yield page
                page, number = PairPage(), number + 1
            prompt = next((prompt for side in sides for _, _, prompt in side if prompt), None)
            problems.append(
                [benchmark, problem, number, _short(prompt), *([fact for fact, _, _ in side] for side in sides)]
            )
            page.packed[at] = texts
            page.size += size
    yield page


def _samples(run: Run, lexicon: str, rows: pl.DataFrame) -> dict[int, list[tuple[list[Any], str, str | None]]]:
    """Problem -> its samples: facts, packed text, prompt."""
    place = dict(rows.select("row", "at").iter_rows())
    found: dict[int, list[tuple[list[Any], str, str | None]]] = {}
    for trace, document in documents(run, lexicon, rows["row"].to_numpy()):
        loop = trace["loop_start"]
        hits = sum(span[2] < len(EPISTEMIC) and (loop is None or span[0] < loop) for span in document["hits"])
        fact = [trace["sample"], trace["correct"], trace["status"], trace["n_words"], hits]
        found.setdefault(place[trace["row"]], []).append((fact, deflated(document), trace["prompt"]))
    for samples in found.values():
        samples.sort(key=lambda sample: sample[0][0])
    return found


def _short(prompt: str | None) -> str | None:
    if prompt is None:
        return None
    line = " ".join(prompt.split())
    return line if len(line) <= PROMPT else f"{line[: PROMPT - 1]}…"


def data(pairs: Pairs, page: int, names: Sequence[str], files: Sequence[str]) -> dict[str, str]:
    """The JSON blocks of one page."""
    facts = {"runs": list(names), "files": list(files), "here": page, "problems": pairs.problems}
    return {"facts": embedded(facts), "packed": embedded(pairs.pages[page].packed)}
