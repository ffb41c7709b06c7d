"""What the commands that only look can be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from epiverb.config import setting


@dataclass(frozen=True)
class ShowConfig:
    """Print one trace with its markers coloured.

    Example: epiverb show runs/base 17
    Example: epiverb show runs/base 17 --lexicon kim2026
    """

    run: str = setting(metavar="RUN", positional=True)
    """A run folder."""
    trace: str = setting("1", metavar="TRACE", positional=True)
    """A trace id, the end of one, or the number of the trace in the run, from 1."""
    lexicon: str | None = setting(None, short="-l", metavar="NAME")
    """Whose markers to show. Default: the run's primary lexicon."""


@dataclass(frozen=True)
class LsConfig:
    """List what epiverb knows by name.

    Example: epiverb ls lexicons
    Example: epiverb ls formats --json
    """

    kind: Literal[
        "lexicons", "formats", "measures", "tables", "problems", "contexts", "graders", "weights", "recipes", "verl"
    ] = setting(metavar="KIND", positional=True)
    """lexicons, formats, measures, tables, problems, contexts, graders, weights, recipes, or verl (settings for it)."""


@dataclass(frozen=True)
class PrintConfig:
    """Print the settings of a command as YAML, to be edited and passed back with --config.

    Example: epiverb config analyze > analyze.yaml
    Example: epiverb config train sdpo
    """

    command: tuple[str, ...] = setting(metavar="COMMAND...", positional=True)
    """The command, for instance analyze, or train sdpo."""


@dataclass(frozen=True)
class DoctorConfig:
    """Say what is installed, which extras work, what the machine has, and what to do about what is wrong.

    Every package is really imported, in a process of its own. The command ends with exit code 2 where something is wrong; an
    extra that is not installed is wrong only where it is named.

    Example: epiverb doctor
    Example: epiverb doctor train vllm    # these have to work
    """

    extras: tuple[str, ...] = setting((), metavar="[EXTRA...]", positional=True)
    """Extras that have to work: train, vllm, ..."""
