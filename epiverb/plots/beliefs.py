"""Figures of beliefs and signals: a table in, axes out. Whiskers are 95 % intervals over problems."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from epiverb.plots.style import FAINT, INK, PALETTE, PAPER, RIGHT, WRONG
from epiverb.schema import EPISTEMIC

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.axes import Axes

Figure = dict[str, Any]
BANDS = 4
"""Wrong candidates that have a band of their own; the others share one."""
KINDS = {"epistemic": PALETTE["uncertainty"], "procedural": PALETTE["procedural"], "other": FAINT}


def belief_bands(
    beliefs: pl.DataFrame, ax: Axes, hits: pl.DataFrame | None = None, eat: pl.DataFrame | None = None
) -> Axes:
    """Probability of each candidate along one trace as bands that fill the height, right answers below; markers above.

    Args:
        beliefs: rows of the `beliefs` table of one trace.
        hits: rows of the `hits` table of the trace and one lexicon; epistemic ones are drawn where they stand.
        eat: rows of `points` with the measure `eat` of the trace, drawn as a line on an axis of its own.
    """
    names, p_K_N = _bands(beliefs)
    x = beliefs["x"].unique().sort().to_numpy()
    ink = [RIGHT if right else WRONG for _, right in names]
    bands = ax.stackplot(x, p_K_N, colors=ink, linewidth=0.6, edgecolor=PAPER)
    for band, alpha in zip(bands, _strengths(names), strict=True):
        band.set_alpha(alpha)
    ax.set_xlim(x[0], max(x[-1], 1))
    ax.set_ylim(0, 1)
    ax.set_xlabel("sentences of the thinking")
    ax.set_ylabel("probability of the answer")
    _name_bands(ax, names, p_K_N[:, -1])
    if hits is not None:
        _mark(ax, beliefs, hits)
    if eat is not None and len(eat):
        other = ax.twinx()
        other.plot(eat["x"], eat["value"], color=PALETTE["reconsideration"], linewidth=1.4)
        other.set_ylabel("entropy after the closing tag, nats", color=PALETTE["reconsideration"])
        other.set_ylim(bottom=0)
        other.spines[["top", "left"]].set_visible(False)
    return ax


def _bands(beliefs: pl.DataFrame) -> tuple[list[tuple[str, bool]], np.ndarray]:
    """Candidates as (text, right), right ones first, then wrong ones by their mean; and their probabilities by place."""
    import polars as pl

    told = beliefs.with_columns(pl.col("right").fill_null(False))
    mean = told.group_by("candidate", "right", maintain_order=True).agg(pl.col("p").mean())
    order = mean.sort(["right", "p"], descending=True)
    wide = told.pivot("candidate", index="x", values="p").sort("x")
    rows = [(text, right, wide[text].to_numpy()) for text, right in order.select("candidate", "right").iter_rows()]
    right, wrong = [row for row in rows if row[1]], [row for row in rows if not row[1]]
    own, shared = (wrong, []) if len(wrong) <= BANDS else (wrong[: BANDS - 1], wrong[BANDS - 1 :])
    names = [(text, is_right) for text, is_right, _ in [*right, *own]]
    values = [p for _, _, p in [*right, *own]]
    if shared:
        names.append((f"{len(shared)} other answers", False))
        values.append(np.sum([p for _, _, p in shared], axis=0))
    return names, np.stack(values)


def _strengths(names: list[tuple[str, bool]]) -> list[float]:
    """How much ink each band has: little, so that its name can be read on it in light and dark; right ones the most."""
    wrong = [i for i, (_, right) in enumerate(names) if not right]
    faint = {i: 0.34 - 0.22 * place / max(len(wrong), 1) for place, i in enumerate(wrong)}
    return [faint.get(i, 0.45) for i in range(len(names))]


def _name_bands(ax: Axes, names: list[tuple[str, bool]], last: np.ndarray) -> None:
    """Each answer inside its band at the right, right ones said to be; bands too thin for a line of text are not named."""
    top = np.cumsum(last)
    for (text, right), height, upper in zip(names, last, top, strict=True):
        if height >= 0.07:
            label = (text if len(text) <= 18 else text[:17] + "…").replace("$", r"\$")
            ax.annotate(
                f"{label} (right)" if right else label, (0.985, upper - height / 2), xycoords="axes fraction",
                ha="right", va="center", size=8, color=INK,
            )  # fmt: skip


def _mark(ax: Axes, beliefs: pl.DataFrame, hits: pl.DataFrame) -> None:
    """A tick above the bands for each epistemic marker, by category, at its place between two sentences' ends."""
    places = beliefs.select("x", "end").unique().sort("x")
    end, x = places["end"].to_numpy(), places["x"].to_numpy()
    for name in EPISTEMIC:
        start = hits.filter(hits["category"] == name)["start"].to_numpy()
        start = start[(start >= end[0]) & (start < end[-1])]
        if len(start):
            at = np.interp(start, end, x)
            ax.plot(
                at, np.full(len(at), 1.03), "|", color=PALETTE[name], markersize=7, clip_on=False, label=name,
                transform=ax.get_xaxis_transform(),
            )  # fmt: skip
    if ax.get_legend_handles_labels()[1]:
        ax.legend(frameon=False, ncols=4, loc="lower right", bbox_to_anchor=(1, 1.05), fontsize=8, handletextpad=0.1)


def gains(block: Figure, ax: Axes, column: str = "gain") -> Axes:
    """Nats gained by a sentence of each kind, from a `gains` block of the beliefs document; `gold_gain`: on the right answer."""
    kinds = [kind for kind in KINDS if block[column][kind]["value"] is not None]
    _forest(ax, [block[column][kind] for kind in kinds], [KINDS[kind] for kind in kinds])
    ax.set_yticks(np.arange(len(kinds))[::-1], [f"{kind} (n={block['n_sentences'][kind]:,})" for kind in kinds])
    ax.axvline(0, color=FAINT, linewidth=0.8, zorder=0)
    ax.locator_params(axis="x", nbins=5)
    ax.set_ylim(-0.6, max(len(kinds) - 0.4, 0.6))
    word = "about the answer" if column == "gain" else "on the right answer"
    ax.set_xlabel(f"nats gained {word} a sentence")
    return ax


def signals(arm: Figure, ax: Axes, top: int = 16) -> Axes:
    """AUROC of each signal within problems (filled) and pooled (open), the strongest at the top, from a `signals` arm."""
    rows = [row for row in arm["rows"] if row["within"]["value"] is not None][:top]
    place = np.arange(len(rows))[::-1]
    _forest(ax, [row["within"] for row in rows], [PALETTE["uncertainty"]] * len(rows), label="within problems")
    pooled = [row["auroc"]["value"] for row in rows]
    ax.plot(pooled, place - 0.25, "o", color=FAINT, mfc="none", markersize=4, label="pooled")
    ax.set_yticks(place, [_short(row["name"]) for row in rows])
    ax.axvline(0.5, color=FAINT, linewidth=0.8, zorder=0)
    ax.set_xlim(-0.03, 1.03)
    ax.set_ylim(-0.7, max(len(rows) - 0.3, 0.7))
    ax.set_xlabel("AUROC, right over wrong")
    if rows:
        ax.legend(frameon=False, ncols=2, loc="lower right", bbox_to_anchor=(1, 1), fontsize=8, labelcolor=INK)
    return ax


def _short(name: str, room: int = 28) -> str:
    return name if len(name) <= room else f"{name[: room // 2]}…{name[-room // 2 + 1 :]}"


def _forest(ax: Axes, figures: list[Figure], colours: list[str], label: str | None = None) -> None:
    """Values with whiskers under each other, the first at the top; a whisker that is unknown is left out."""
    for i, (figure, colour) in enumerate(zip(figures, colours, strict=True)):
        at = len(figures) - 1 - i
        if figure["lo"] is not None and figure["hi"] is not None:
            ax.plot([figure["lo"], figure["hi"]], [at, at], color=colour, linewidth=1.4)
        ax.plot([figure["value"]], [at], "o", color=colour, markersize=5, label=label if i == 0 else None)
    ax.tick_params(left=False)
    ax.spines["left"].set_visible(False)
