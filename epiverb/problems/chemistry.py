"""The six types of chemistry questions, told by their wording: the files do not name them."""

from __future__ import annotations

import re
from typing import Any

from epiverb.errors import ConfigError, nearest

TYPES = {
    "reaction-balancing": r"\bbalanc",
    "molecular-weight": r"molar weight|molecular weight",
    "descriptor-counting": r"^How many\b",
    "property-prediction": r"logarithmic solubility|distribution coefficient|\blog ?D\b",
    "retrosynthesis": r"\bsynthesis of the product\b",
    "product-prediction": r"\breactants and reagents\b",
}
"""Type -> what only its questions say; the first that fits. Sizes: arXiv 2603.24472 section 6.1."""
_PATTERNS = {name: re.compile(pattern, re.IGNORECASE) for name, pattern in TYPES.items()}
_OPTION = re.compile(r"\n[A-D]: ")


def type_of(question: str) -> str | None:
    """The type of a question, by its wording without the options; None where none fits."""
    stem = _OPTION.split(question, maxsplit=1)[0]
    return next((name for name, pattern in _PATTERNS.items() if pattern.search(stem)), None)


def adapt(record: dict[str, Any], options: dict[str, str]) -> dict[str, Any] | None:
    """`record` with its type; None where another type was asked for."""
    wanted = options.get("type")
    if wanted is not None and wanted not in TYPES:
        raise ConfigError(f"chemistry?type={wanted}: no such type.{nearest(wanted, TYPES)}")
    kind = type_of(str(record.get("prompt") or ""))
    if wanted not in (None, kind):
        return None
    return {**record, "extra.type": kind}
