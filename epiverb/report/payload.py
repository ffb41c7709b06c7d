"""Traces packed for a page: small facts as JSON, long text deflated, so that a hundred long traces stay under 2 MB.

Everything a model wrote is data here: deflated and base64-coded, or JSON with every `<` escaped. The page puts it into
the document as text nodes only.
"""

from __future__ import annotations

import base64
import itertools
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from epiverb.report.heat import Heat
from epiverb.report.labels import shorten
from epiverb.run import Run
from epiverb.schema import CATEGORIES, EPISTEMIC

PAGE_BYTES = 1_600_000
"""Traces on one page; figures, tables and code come on top, and the whole stays under 2 MB."""
FIGURES = 300_000
"""Figures and tables for which a page has room besides; what goes beyond takes the room of traces."""
WHOLE = 100
"""Traces that one page is to hold with their heat, where it could without."""
TOGETHER = 200
"""Traces whose heat is read together."""
FACTS = ("trace_id", "problem_id", "sample", "benchmark", "group", "step", "status", "correct", "n_words")


@dataclass
class Page:
    """The traces of one page."""

    facts: list[list[Any]] = field(default_factory=list)
    """One row a trace: `FACTS` (a group is a condition, or a source among several), then the number of epistemic hits."""
    packed: list[str] = field(default_factory=list)
    """One deflated, base64-coded JSON document a trace: prompt, response, spans, hits."""
    size: int = 0


def pages(run: Run, lexicon: str, chosen: np.ndarray, heat: Heat, spent: int = 0) -> Iterator[Page]:
    """The chosen traces (row numbers, ascending), filled into pages in order.

    Args:
        spent: bytes of figures and tables on the first page.
    """
    page, short = Page(size=max(0, spent - FIGURES)), shorten(source["path"] for source in run.summary["sources"])
    _fit(run, lexicon, chosen, heat)
    for facts, packed in _pack(run, lexicon, chosen, short, heat):
        size = len(packed) + len(embedded(facts))
        if page.packed and page.size + size > PAGE_BYTES:
            yield page
            page = Page()
        page.facts.append(facts)
        page.packed.append(packed)
        page.size += size
    yield page


def _fit(run: Run, lexicon: str, chosen: np.ndarray, heat: Heat) -> None:
    """Keep as many measures of heat as let a page hold `WHOLE` traces, going by a few of them; one in any case."""
    few = chosen[choose(len(chosen), 20)]
    room = PAGE_BYTES / min(WHOLE, max(len(chosen), 1))
    while len(heat.scales) > 1:
        sizes = [len(packed) for _, packed in _pack(run, lexicon, few, {}, heat)]
        if not sizes or np.mean(sizes) <= room:
            return
        heat.keep(len(heat.scales) - 1)


def choose(n_traces: int, most: int) -> np.ndarray:
    """Row numbers of the traces to show: all, or `most` of them spread evenly over the run."""
    if n_traces <= most:
        return np.arange(n_traces)
    return np.unique(np.linspace(0, n_traces - 1, most).round().astype(np.int64))


def _pack(
    run: Run, lexicon: str, rows: np.ndarray, short: dict[str, str], heat: Heat
) -> Iterator[tuple[list[Any], str]]:
    several, told = len(short) > 1, documents(run, lexicon, rows)
    while some := list(itertools.islice(told, TOGETHER)):
        shades = heat.of({trace["trace_id"]: document["response"] or "" for trace, document in some})
        for trace, document in some:
            if trace["trace_id"] in shades:
                document["heat"] = shades[trace["trace_id"]]
            trace["group"] = trace["condition"] or (short[trace["source"]] if several else None)
            epistemic = sum(span[2] < len(EPISTEMIC) for span in document["hits"])
            yield [*(trace[name] for name in FACTS), epistemic], deflated(document)


def documents(run: Run, lexicon: str, rows: np.ndarray) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each trace of `rows` in their order in the table, as its row there, and what the page shows of it.

    That is text, spans, and hits as start, end, category. Each table is read once, that of traces part by part.
    """
    rows = np.sort(rows)
    spans = _spans(run, lexicon, rows)
    for trace in _traces(run, rows):
        yield (
            trace,
            {
                "prompt": trace["prompt"],
                "response": trace["response"],
                "thinking": [trace["thinking_start"], trace["thinking_end"]],
                "loop": trace["loop_start"],
                "answer": trace["answer"],
                "gold": trace["gold"],
                "hits": next(spans),
            },
        )


def _traces(run: Run, rows: np.ndarray) -> Iterator[dict[str, Any]]:
    """The rows of the table with these numbers, ascending."""
    first = 0
    for part in run.parts("traces"):
        behind = first + part.select(pl.len()).collect().item()
        mine = rows[(rows >= first) & (rows < behind)]
        if len(mine):
            numbered = part.with_row_index("row", offset=first)
            yield from numbered.filter(pl.col("row").is_in(mine.tolist())).collect().iter_rows(named=True)
        first = behind


def _spans(run: Run, lexicon: str, rows: np.ndarray) -> Iterator[list[list[int]]]:
    """The hits of each of these traces, by start."""
    ids = run.scan("traces").select("trace_id").with_row_index("row").filter(pl.col("row").is_in(rows.tolist()))
    number = pl.col("category").replace_strict(CATEGORIES, range(len(CATEGORIES)), return_dtype=pl.Int64)
    hits = run.scan("hits").filter(pl.col("lexicon") == lexicon).join(ids, on="trace_id").sort("row", "start")
    told = hits.select("row", "start", "end", number).collect()
    edges = np.searchsorted(told["row"].to_numpy(), np.append(rows, rows[-1:] + 1))
    table = told.select("start", "end", "category").to_numpy()
    for low, high in itertools.pairwise(edges):
        yield table[low:high].tolist()


def deflated(document: Any) -> str:
    """JSON, deflated without a header and base64-coded: what the browser's DecompressionStream('deflate-raw') undoes."""
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    raw = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    return base64.b64encode(engine.compress(raw) + engine.flush()).decode("ascii")


def embedded(document: Any) -> str:
    """JSON that cannot end the script element it stands in, nor open a comment."""
    text = json.dumps(document, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
