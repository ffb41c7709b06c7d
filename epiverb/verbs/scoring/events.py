"""Forking tokens and their lift with markers, and entropy before and behind markers beside matched control positions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl

from epiverb.measures.base import Hits
from epiverb.measures.markers import Covered, around, controls, cover
from epiverb.measures.scored import FORK_MARKERS, FORK_SHARE
from epiverb.measures.tokens import FORKS
from epiverb.schema import CATEGORIES
from epiverb.stats.combine import combined
from epiverb.stats.resample import Resampler
from epiverb.verbs.scoring.job import Job, mask_of
from epiverb.verbs.scoring.store import Parts

VALUES = {"trace_id": pl.String, "measure": pl.String, "version": pl.Int64, "value": pl.Float64}
ENDS = ".!?。！？"


def study(job: Job, parts: Parts, traces: pl.DataFrame, exact: bool) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Rows for `values` about forks, and the document's blocks `forks`, `events` and `alignment`."""
    entropies = [part["low"].to_numpy() for (part,) in _frames(parts, ["low"])]
    every = np.concatenate([np.zeros(0, np.float32), *entropies])
    known = every[np.isfinite(every)]
    if not len(known):
        reason = "no entropy is known: the run holds no top-k log-probabilities"
        return pl.DataFrame(schema=VALUES), {"forks": {"reason": reason}, "events": {"reason": reason}}
    threshold = float(np.quantile(known, 1 - FORKS))
    gathered = _gather(job, parts, traces, threshold)
    rows = traces.filter(pl.col("trace_id").is_in(list(gathered)))
    resampler = job.resampler(rows)
    own = [gathered[key] for key in rows["trace_id"]]
    name = "entropy" if exact else "lower bound on entropy"
    forks = {"threshold": threshold, "share_of_tokens": FORKS, "of": name, "rows": _forks(resampler, own)}
    events = {"width": job.config.around, "of": name, "unit": "nats", "rows": _events(resampler, own)}
    alignment = {"n_hits": sum(one["n_hits"] for one in own), "n_unaligned_hits": sum(one["n_lost"] for one in own)}
    return _values(gathered), {"forks": forks, "events": events, "alignment": alignment}


def _frames(parts: Parts, columns: list[str]) -> Iterator[tuple[pl.DataFrame]]:
    for file in parts.files:
        frame = pl.scan_parquet(file, glob=False).filter(pl.col("fault").is_null()).select(columns).collect()
        if len(frame):
            yield (frame,)


def _gather(job: Job, parts: Parts, traces: pl.DataFrame, threshold: float) -> dict[str, dict[str, Any]]:
    """Sums of each trace that has entropies."""
    texts = dict(traces.select("trace_id", "response").iter_rows())
    hits, rng, found = job.hits(), np.random.default_rng(job.config.seed), {}
    for (frame,) in _frames(parts, ["trace_id", "position", "start", "end", "low"]):
        for (key,), own in frame.group_by("trace_id", maintain_order=True):
            found[str(key)] = _sums(own, hits.get(str(key)), texts[key] or "", threshold, job.config.around, rng)
    return found


def _sums(
    own: pl.DataFrame, hits: Hits | None, text: str, threshold: float, width: int, rng: np.random.Generator
) -> dict[str, Any]:
    """Of one trace: tokens, forks and markers by category, and entropy around markers and controls summed by category."""
    start, end, entropy = (own[name].to_numpy() for name in ("start", "end", "low"))
    entropy = entropy.astype(np.float64)
    known = np.isfinite(entropy)
    fork = known & (entropy >= threshold)
    sums: dict[str, Any] = {"n": int(known.sum()), "forks": int(fork.sum()), "n_hits": 0, "n_lost": 0, "by": {}}
    if hits is None:
        return sums
    told = hits.select(~hits.in_loop)
    at = cover(start, end, told.start, told.end)
    sums |= {"n_hits": len(told.start), "n_lost": at.n_lost}
    begins, opens = word_starts(text, start, end)
    taken = mask_of(len(start), at.first, at.stop)
    chosen = controls(begins, taken, at.first, opens, width, rng)
    for code, category in enumerate(CATEGORIES):
        mine = told.category[at.hit] == code
        if mine.any():
            sums["by"][category] = _category(entropy, known, fork, at, mine, chosen, width)
    return sums


def _category(
    entropy: np.ndarray,
    known: np.ndarray,
    fork: np.ndarray,
    at: Covered,
    mine: np.ndarray,
    chosen: np.ndarray,
    width: int,
) -> dict[str, Any]:
    first = at.first[mine]
    first_known = first[known[first]]
    matched = mine & (chosen >= 0)
    marker, control = around(entropy, at.first[matched], width), around(entropy, chosen[matched], width)
    whole = np.isfinite(marker).all(axis=1) & np.isfinite(control).all(axis=1)
    return {
        "n": int(mine.sum()),
        "known": len(first_known),
        "forks": int(fork[first_known].sum()),
        "matched": int(whole.sum()),
        "marker": marker[whole].sum(axis=0),
        "control": control[whole].sum(axis=0),
    }


def word_starts(text: str, start: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each token: whether a word begins in it, and whether that word opens a sentence or a line.

    >>> begins, opens = word_starts("So. Wait", np.array([0, 2, 3]), np.array([2, 3, 8]))
    >>> begins.tolist(), opens.tolist()
    ([True, False, True], [True, False, True])
    """
    point = np.frombuffer((text + " ").encode("utf-32-le", "surrogatepass"), np.uint32)
    index = np.arange(len(point))
    space = np.isin(point, (32, 10, 9, 13))
    letter = (((point | 32) >= 97) & ((point | 32) <= 122)) | (point > 127)
    nearest = np.minimum.accumulate(np.where(space, len(point) - 1, index)[::-1])[::-1]
    before = np.concatenate([[-1], np.maximum.accumulate(np.where(space, -1, index))])  # last sign left of each place
    line = np.concatenate([[-1], np.maximum.accumulate(np.where(point == 10, index, -1))])
    first = nearest[np.clip(start, 0, len(point) - 1)]
    begins = (start >= 0) & (first < end) & letter[first] & ((first == 0) | ~letter[np.maximum(first - 1, 0)])
    left = before[first]
    closes = np.isin(point[np.maximum(left, 0)], [ord(sign) for sign in ENDS])
    return begins, begins & ((left < 0) | closes | (line[first] > left))


def _forks(resampler: Resampler, own: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each category: share of its markers that begin in a fork, and that over the share of all tokens."""
    found = []
    for category in CATEGORIES:
        cells = [one["by"].get(category) or {"forks": 0, "known": 0} for one in own]
        table = np.array([[c["forks"], c["known"], o["forks"], o["n"]] for c, o in zip(cells, own, strict=True)], float)
        if table[:, 1].sum():
            share = combined(resampler, table, lambda s: s[0] / s[1])
            lift = combined(resampler, table, lambda s: (s[0] / s[1]) / (s[2] / s[3]))
            found.append(
                {"category": category, "n": int(table[:, 1].sum()), "share": share.as_dict(), "lift": lift.as_dict()}
            )
    return found


def _events(resampler: Resampler, own: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each category: entropy before and from the marker on, the change, and the same at control positions."""
    found = []
    for category in CATEGORIES:
        cells = [one["by"].get(category) for one in own]
        n = np.array([c["matched"] if c else 0 for c in cells], float)
        if not n.sum():
            continue
        width = next(len(c["marker"]) for c in cells if c) // 2
        nothing = np.zeros(2 * width + 1)
        curves = {kind: np.stack([c[kind] if c else nothing for c in cells]) for kind in ("marker", "control")}
        sides = {kind: (c[:, :width].sum(1) / width, c[:, width:].sum(1) / (width + 1)) for kind, c in curves.items()}
        table = np.column_stack([n, *sides["marker"], *sides["control"]])
        changes = {
            "change": combined(resampler, table, lambda s: (s[2] - s[1]) / s[0]),
            "control_change": combined(resampler, table, lambda s: (s[4] - s[3]) / s[0]),
            "difference": combined(resampler, table, lambda s: (s[2] - s[1] - s[4] + s[3]) / s[0]),
        }
        found.append(
            {
                "category": category,
                "n": sum(c["n"] for c in cells if c),
                "n_matched": int(n.sum()),
                **{name: interval.as_dict() for name, interval in changes.items()},
                **{f"{kind}_curve": (curve.sum(0) / n.sum()).tolist() for kind, curve in curves.items()},
            }
        )
    return found


def _values(gathered: dict[str, dict[str, Any]]) -> pl.DataFrame:
    rows: list[tuple[str, str, int, float | None]] = []
    for key, one in gathered.items():
        cells = [cell for name, cell in one["by"].items() if name in CATEGORIES[:4]]
        known = sum(cell["known"] for cell in cells)
        rows.append((key, FORK_SHARE.name, FORK_SHARE.version, one["forks"] / one["n"] if one["n"] else None))
        begun = sum(cell["forks"] for cell in cells) / known if known else None
        rows.append((key, FORK_MARKERS.name, FORK_MARKERS.version, begun))
    return pl.DataFrame(rows, schema=VALUES, orient="row")
