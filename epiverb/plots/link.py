"""The figures of `link`: change in markers against change in accuracy, an unseen common cause, the course over steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from epiverb.plots.compare import floats
from epiverb.plots.forest import ratio_axis
from epiverb.plots.style import FAINT, INK, PALETTE, RUN

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Block = dict[str, Any]
DOMAINS = {"id": ("in domain", PALETTE["uncertainty"], "o"), "ood": ("out of domain", PALETTE["reconsideration"], "D")}
OTHER = ("domain not named", INK, "s")
_PLACES = (
    (7, 5, "left", "bottom"), (7, -5, "left", "top"), (-7, 5, "right", "bottom"), (-7, -5, "right", "top"),
    (0, 9, "center", "bottom"), (0, -9, "center", "top"), (9, 16, "left", "bottom"), (-9, -16, "right", "top"),
)  # fmt: skip
"""Where a label may stand beside its point: offset, alignment."""


def changes(rows: Sequence[Block], labels: Sequence[str], ax: Axes) -> Axes:
    """A point a row of `link` that has both: markers per trace as a ratio, accuracy in points, an interval each way."""
    shown = [(row, label) for row, label in zip(rows, labels, strict=True) if _drawable(row)]
    ax.axhline(0, color=FAINT, linewidth=0.8, zorder=0)
    ax.axvline(0, color=FAINT, linewidth=0.8, zorder=0)
    named: set[str] = set()
    for row, _ in sorted(
        shown, key=lambda pair: list(DOMAINS).index(pair[0]["domain"]) if pair[0]["domain"] in DOMAINS else 2
    ):
        name, colour, shape = DOMAINS.get(row["domain"], OTHER)
        (x, across), (y, up) = _bar(row["log_ratio_markers"], 1.0), _bar(row["delta_accuracy"], 100.0)
        label = None if name in named else name
        named.add(name)
        ax.errorbar(
            x, y, xerr=across, yerr=up, fmt=shape, color=colour, markersize=5.5, elinewidth=1, capsize=2, label=label
        )
    if shown:
        _scale(ax, [row["log_ratio_markers"] for row, _ in shown])
        ax.margins(y=0.12)
        _place_labels(ax, [row for row, _ in shown], [label for _, label in shown])
        ax.legend(frameon=False, ncols=3, loc="lower left", bbox_to_anchor=(0, 1.0), fontsize=8, handlelength=1)
    ax.set_xlabel("markers a trace, run / base (log scale)")
    ax.set_ylabel("change in accuracy, points")
    return ax


def _drawable(row: Block) -> bool:
    return row["log_ratio_markers"]["value"] is not None and row["delta_accuracy"]["value"] is not None


def _bar(figure: Block, scale: float) -> tuple[list[float], Any]:
    value = scale * figure["value"]
    low, high = (value if figure[key] is None else scale * figure[key] for key in ("lo", "hi"))
    return [value], [[max(value - low, 0)], [max(high - value, 0)]]


def _scale(ax: Axes, figures: Sequence[Block]) -> None:
    """Ratios as ticks; an interval that is far wider than the points lie apart runs out of the picture."""
    values = [0.0, *(figure["value"] for figure in figures)]
    reach = max(max(values) - min(values), 0.5)
    bounds = [figure[key] for figure in figures for key in ("lo", "hi") if figure[key] is not None]
    low = max(min(values + bounds), min(values) - reach) - 0.15 * reach
    high = min(max(values + bounds), max(values) + reach) + 0.15 * reach
    ax.set_xlim(low, high)
    ratio_axis(ax, low, high)


def _place_labels(ax: Axes, rows: Sequence[Block], labels: Sequence[str]) -> None:
    """A label beside each point, where it covers the least of other labels, points and intervals."""
    ax.figure.canvas.draw()
    unit = 72 / ax.figure.dpi

    def at(x: float, y: float) -> tuple[float, float]:
        there = ax.transData.transform((x, y)) * unit
        return float(there[0]), float(there[1])

    window = ax.get_window_extent()
    inside = tuple(v * unit for v in (window.x0, window.y0, window.x1, window.y1))
    dots, taken = [], []
    for row in rows:
        (x, y), (left, right), (low, high) = _cross(row)
        dots.append(at(x, y))
        taken += [_box(at(left, y), at(right, y)), _box(at(x, low), at(x, high)), _box(dots[-1], dots[-1])]
    for (x, y), row, label in zip(dots, rows, labels, strict=True):
        width = 4.7 * len(label)
        options = [(_cost(_corner(x, y, width, place), taken, inside), i, place) for i, place in enumerate(_PLACES)]
        dx, dy, across, up = min(options)[2]
        taken.append(_corner(x, y, width, (dx, dy, across, up)))
        ax.annotate(label, _cross(row)[0], (dx, dy), textcoords="offset points", ha=across, va=up, size=8)


def _cross(row: Block) -> tuple[tuple[float, float], ...]:
    """The point of a row, and the ends of its two intervals, in the units of the axes."""
    (x, across), (y, up) = _bar(row["log_ratio_markers"], 1.0), _bar(row["delta_accuracy"], 100.0)
    return (x[0], y[0]), (x[0] - across[0][0], x[0] + across[1][0]), (y[0] - up[0][0], y[0] + up[1][0])


def _box(a: tuple[float, float], b: tuple[float, float]) -> Box:
    return a[0] - 2, a[1] - 2, b[0] + 2, b[1] + 2


Box = tuple[float, ...]


def _corner(x: float, y: float, width: float, place: tuple[int, int, str, str]) -> Box:
    dx, dy, across, up = place
    left = x + dx - {"left": 0.0, "center": width / 2, "right": width}[across]
    low = y + dy - (9 if up == "top" else 0)
    return left, low, left + width, low + 9


def _cost(box: Box, taken: Sequence[Box], inside: Box) -> float:
    """Area shared with what stands there already, and what sticks out of the picture."""
    shared = sum(
        max(0.0, min(box[2], other[2]) - max(box[0], other[0]))
        * max(0.0, min(box[3], other[3]) - max(box[1], other[1]))
        for other in taken
    )
    out = (
        max(0.0, inside[0] - box[0])
        + max(0.0, box[2] - inside[2])
        + max(0.0, inside[1] - box[1])
        + max(0.0, box[3] - inside[3])
    )
    return shared + 20 * out


def common_cause(curve: Sequence[Block], ax: Axes) -> Axes:
    """The part through markers if errors of markers and correctness correlated by rho."""
    rho, value, low, high = (floats([row[key] for row in curve]) for key in ("rho", "value", "lo", "hi"))
    ax.axhline(0, color=FAINT, linewidth=0.8)
    ax.axvline(0, color=FAINT, linewidth=0.8)
    ax.fill_between(rho, 100 * low, 100 * high, color=RUN, alpha=0.2, linewidth=0)
    ax.plot(rho, 100 * value, color=RUN, linewidth=1.6)
    ax.set_xlim(-0.9, 0.9)
    ax.set_xlabel("correlation of what is left unexplained (rho)")
    ax.set_ylabel("through markers, points")
    return ax


def course(series: Sequence[Block], scopes: Sequence[str], measure: str, scale: float, label: str, ax: Axes) -> Axes:
    """One measure over training steps, a line with its band each scope."""
    for scope, (colour, dash) in zip(scopes, LINES, strict=False):
        rows = [row for row in series if row["scope"] == scope and row["measure"] == measure]
        x = floats([row["step"] for row in rows])
        value, low, high = (scale * floats([row[key] for row in rows]) for key in ("value", "lo", "hi"))
        ax.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
        ax.plot(x, value, dash, color=colour, linewidth=1.6, marker="o", markersize=3, label=scope)
    ax.set_ylabel(label)
    return ax


LINES = (
    (PALETTE["uncertainty"], "-"), (PALETTE["reconsideration"], "--"), (PALETTE["verification"], "-."),
    (PALETTE["alternative"], ":"), (INK, "-"), (PALETTE["booster"], "--"),
)  # fmt: skip
"""Colour and dash of the scopes, in their order: the domains first."""


def at_steps(marks: Sequence[tuple[float, str]], ax: Axes) -> Axes:
    """Vertical lines at steps, named above the axes."""
    for step, name in marks:
        ax.axvline(step, color=FAINT, linewidth=1, linestyle=":")
        ax.annotate(
            name, (step, 1.0), xycoords=("data", "axes fraction"), xytext=(0, 2), textcoords="offset points",
            ha="center", va="bottom", size=7.5,
        )  # fmt: skip
    return ax
