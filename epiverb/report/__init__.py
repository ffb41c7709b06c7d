"""Reports: one self-contained HTML file a run, with figures, tables and a trace viewer; nothing is fetched to show it."""

from __future__ import annotations

from typing import Any

_PUBLIC = {
    "write": "epiverb.report.run:write",
    "renew": "epiverb.report.run:renew",
    "TraceView": "epiverb.report.terminal:TraceView",
}

__all__ = list(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'epiverb.report' has no attribute {name!r}")
    from epiverb.registry import resolve

    return resolve(_PUBLIC[name])
