"""The exceptions epiverb raises: one tree, each leaf also the standard type a caller would expect.

A message says what is wrong, where, and what to do, in one line: the command line prints it as it is and exits with 2.
Anything that is not an `EpiverbError` is a fault of ours and exits with 1.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class EpiverbError(Exception):
    """Base of all errors a user can cause and mend."""


class ConfigError(EpiverbError, ValueError):
    """A setting, flag or YAML key that cannot be used."""


class FormatError(EpiverbError, ValueError):
    """A trace file that cannot be recognised or read."""


class LexiconError(EpiverbError, ValueError):
    """A lexicon that is missing or malformed."""


class GradingError(EpiverbError, RuntimeError):
    """An answer that could not be graded."""


class EngineError(EpiverbError, RuntimeError):
    """A model, server or worker process that is not there, is gone, or cannot do what was asked."""


class AlignmentError(EpiverbError, ValueError):
    """Text, tokens and log-probabilities that do not fit together."""


class DataError(EpiverbError, ValueError):
    """Tables that do not allow what was asked of them (no common problems, no correctness, ...)."""


class StorageError(EpiverbError, OSError):
    """A run folder that cannot be written: disk full, no permission, another command at work in it."""


class Stopped(EpiverbError, InterruptedError):
    """Ctrl-C, with what it left behind. The command line exits with 130."""


class MissingExtra(EpiverbError, ImportError):
    """A package that only an optional part of epiverb needs."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed. Install it with: pip install 'epiverb[{extra}]'")
        self._of = package, extra

    def __reduce__(self) -> tuple[type[MissingExtra], tuple[str, str]]:
        """How it is pickled: with what it was made of, not with its message."""
        return MissingExtra, self._of


def nearest(name: str, choices: Iterable[str]) -> str:
    """A sentence that suggests the closest of `choices`, or lists them all: ` Did you mean 'x'?`"""
    options = sorted(choices)
    close = difflib.get_close_matches(name, options, n=1)
    return f" Did you mean {close[0]!r}?" if close else f" Choose one of: {', '.join(options)}."
