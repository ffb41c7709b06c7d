"""How figures look: one palette for categories everywhere, no box around the axes, text kept as text.

Figures that go into the report are SVG whose colours become CSS variables, so that they follow the page's light and dark
mode. No pyplot and no seaborn here: the first keeps state, the second takes seconds to import.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 4.6
"""Inches: one column of a paper, and few enough for 9 points to stay readable on a phone."""
INK = "#1b1f24"
FAINT = "#8b949e"
PALETTE = {
    "uncertainty": "#0072b2",
    "reconsideration": "#c44e00",
    "verification": "#00795a",
    "alternative": "#a8508b",
    "booster": "#8a6d00",
    "procedural": "#6b7280",
}
"""Category -> colour, after Okabe and Ito, darkened to 4.5:1 on white."""
RIGHT, WRONG = "#3d4854", "#b4232f"
"""Verdicts have hues of their own: those of the categories would be read as categories."""
BASE, RUN = "#57606a", "#6f42c1"
"""The two runs of a comparison."""
PAPER = "#ffffff"
"""What hides a line behind an open mark; the page's own background there."""
_RC: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "epiverb",
    "font.family": "sans-serif",
    "font.size": 9.0,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


def axes(height: float, rows: int = 1) -> tuple[Figure, list[Axes]]:
    """A new figure of `rows` axes below each other, without top and right spines; `height` in inches."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_RC):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        drawn = [figure.add_subplot(rows, 1, i + 1) for i in range(rows)]
    for ax in drawn:
        ax.spines[["top", "right"]].set_visible(False)
    return figure, drawn


def svg(figure: Figure, title: str, description: str) -> str:
    """The figure as an inline SVG element with a text alternative and CSS colours."""
    import matplotlib as mpl

    buffer = io.StringIO()
    with mpl.rc_context(_RC):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"font: [^;\"]*?([\d.]+)px[^;\"]*", r"font: \1px var(--sans)", text)
    for colour, variable in _variables().items():
        text = re.sub(re.escape(colour), variable, text, flags=re.IGNORECASE)
    width, height = (float(value) for value in re.findall(r'(?:width|height)="([\d.]+)pt"', text)[:2])
    head = f'<svg role="img" aria-label="{_escape(title)}: {_escape(description)}" viewBox="0 0 {width:g} {height:g}" '
    # Ids are numbered by matplotlib in each figure anew; several figures share one page.
    return _unique_ids(re.sub(r"<svg .*?(?=xmlns)", head, text, count=1, flags=re.DOTALL), title)


def _variables() -> dict[str, str]:
    colours = {colour: f"var(--{name})" for name, colour in PALETTE.items()}
    return {
        **colours,
        BASE: "var(--quiet)",
        RUN: "var(--run)",
        PAPER: "var(--paper)",
        RIGHT: "var(--right)",
        WRONG: "var(--wrong)",
        INK: "var(--ink)",
        FAINT: "var(--faint)",
        "#000000": "var(--ink)",
    }


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")


def _unique_ids(text: str, title: str) -> str:
    prefix = re.sub(r"\W+", "-", title.lower())
    text = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', text)
    text = re.sub(r'xlink:href="#([^"]+)"', rf'href="#{prefix}-\1"', text)
    return re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", text)
