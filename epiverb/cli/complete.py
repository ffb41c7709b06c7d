"""What the shell offers behind a flag: names from the registries, asked for when the user presses the key."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from epiverb.cli.commands import COMMANDS
from epiverb.config import choices
from epiverb.registry import resolve

_NAMES = {
    "lexicon": "epiverb.text.lexicon:available",
    "format": "epiverb.io:FORMATS",
    "context": "epiverb.contexts:CONTEXTS",
    "contexts": "epiverb.contexts:CONTEXTS",
    "engine": "epiverb.models:ENGINES",
    "weights": "epiverb.train.weights:WEIGHTS",
    "grader": "epiverb.graders:GRADERS",
    "data": "epiverb.problems.load:SETS",
    "bench": "epiverb.problems.load:SETS",
    "extras": "epiverb.extras:names",
}
"""Setting -> where its names are: something to go through, or a function that gives it. Other settings get file names."""


def completion(field: str, hint: Any) -> Callable[[str], list[str]] | None:
    """The function that completes the value of a setting; None: the shell offers files."""
    if field == "command":
        return _beginning(lambda: {word for name in COMMANDS for word in name.split()})
    if values := choices(hint):
        return _beginning(lambda: values)
    if field in _NAMES:
        return _beginning(lambda: _listed(_NAMES[field]))
    return None


def _listed(target: str) -> Iterable[str]:
    found = resolve(target)
    return found() if callable(found) else found


def _beginning(names: Callable[[], Iterable[Any]]) -> Callable[[str], list[str]]:
    """Completes the last of several names that `,` or `+` divide."""

    def complete(incomplete: str) -> list[str]:
        *_, last = re.split(r"[,+]", incomplete)
        before = incomplete[: len(incomplete) - len(last)]
        return [before + str(name) for name in names() if str(name).startswith(last)]

    return complete
