"""Small pieces of HTML, everything escaped: numbers with intervals, tables, figures, and the page around them."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import Any

ASSETS = Path(__file__).parent / "assets"


def text(value: object) -> str:
    """Any value as HTML text: escaped, with controls and bidirectional overrides shown by their number."""
    return html.escape("".join(_shown(char) for char in str(value)))


def _shown(char: str) -> str:
    if char in "\n\t" or unicodedata.category(char) not in ("Cc", "Cf", "Cs"):
        return char
    return f"\\u{ord(char):04x}"


def number(value: float | None, *, share: bool = False) -> str:
    """Three significant digits, zeros included; a share in percent; a dash for unknown."""
    if value is None:
        return "–"
    if share:
        shown = f"{100 * value:.1f} %"
    elif value == 0 or abs(value) >= 100:
        shown = f"{value:,.0f}"
    else:
        shown = f"{value:#.3g}".rstrip(".")
    return shown if any(digit in shown for digit in "123456789") else shown.removeprefix("-")


class Markup(str):
    """Text that is HTML already and stays as it is in a table."""


def spread(figure: dict[str, Any] | None, *, share: bool = False) -> Markup:
    """`value [lo, hi]` for a cell, the interval in small."""
    value, _, rest = interval(figure, share=share).partition(" [")
    return Markup(f"<b>{text(value)}</b> <small>[{text(rest)}</small>" if rest else f"<b>{text(value)}</b>")


def interval(figure: dict[str, Any] | None, *, share: bool = False) -> str:
    """`value [lo, hi]`."""
    if not figure or figure["value"] is None:
        return "–"
    value = number(figure["value"], share=share)
    if figure["lo"] is None:
        return value
    low, high = number(figure["lo"], share=share), number(figure["hi"], share=share)
    return f"{value} [{low.removesuffix(' %')}, {high}]"


def _cell(value: object) -> str:
    return value if isinstance(value, Markup) else text(value)


def table(caption: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table with a caption; the first cell of a row is its header."""
    top = "".join(f'<th scope="col">{text(cell)}</th>' for cell in head)
    body = "".join(
        f'<tr><th scope="row">{text(row[0])}</th>' + "".join(f"<td>{_cell(cell)}</td>" for cell in row[1:]) + "</tr>"
        for row in rows
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{text(caption)}"><table>'
        f"<caption>{text(caption)}</caption><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def figure(title: str, note: str, svg: str) -> str:
    """An inline figure under its title."""
    return f"<figure><figcaption>{text(title)}<span>{text(note)}</span></figcaption>{svg}</figure>"


def prose(line: str) -> str:
    """A sentence as HTML, numbers kept on one line with what they belong to."""
    return text(re.sub(r" (?=%)|(?<=\bp) (?=[<=])|(?<=\bp [<=]) (?=\d)", "\u00a0", line))


def notice(title: str, lines: Sequence[str]) -> str:
    """Lines that a reader must not miss, as a box; nothing where there are none."""
    listed = "".join(f"<li>{prose(line)}</li>" for line in lines)
    return (
        f'<aside class="notice" aria-label="{text(title)}"><b>{text(title)}</b><ul>{listed}</ul></aside>'
        if lines
        else ""
    )


def bullets(lines: Sequence[str]) -> str:
    """Sentences as a list."""
    return f'<ul class="findings">{"".join(f"<li>{prose(line)}</li>" for line in lines)}</ul>'


def links(names: Sequence[str], here: int) -> str:
    """Links to the pages of a report; nothing where there is one."""
    if len(names) == 1:
        return ""
    parts = [
        f'<a href="{text(name)}"{" aria-current=page" if index == here else ""}>{index + 1}</a>'
        for index, name in enumerate(names)
    ]
    return f"Pages {''.join(parts)}"


def part(name: str, **values: str) -> str:
    """A piece of a page from the assets: `viewer` or `pairs`."""
    return Template((ASSETS / f"{name}.html").read_text("utf-8")).substitute(**values)


def page(
    *, title: str, subtitle: str, body: str, pages: str = "", viewer: str = "", script: str = "",
    data: dict[str, str] | None = None,
) -> str:  # fmt: skip
    """The whole page.

    Args:
        viewer: the piece that `script` (files among the assets, without suffix, a space between them) brings to life.
        data: id -> JSON made by `payload.embedded`, for the script.
    """
    scripts = [(ASSETS / f"{name}.js").read_text("utf-8") for name in ("common", *script.split())]
    blocks = "".join(
        f'<script type="application/json" id="{name}">{value}</script>\n' for name, value in (data or {}).items()
    )
    return part(
        "page", css=(ASSETS / "report.css").read_text("utf-8"), js="\n".join(scripts), title=text(title),
        subtitle=text(subtitle), pages=pages, body=body, viewer=viewer, data=blocks,
        skip='<a class="skip" href="#viewer">Skip to the traces</a>' if viewer else "",
    )  # fmt: skip
