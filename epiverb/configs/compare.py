"""What the commands that set runs side by side can be told."""

from __future__ import annotations

from dataclasses import dataclass

from epiverb.config import setting
from epiverb.configs.analyze import DEFAULT_LEXICONS


@dataclass(frozen=True)
class CompareConfig:
    """Say what changed from one run to another, paired by problem: accuracy, length, markers, and what that does not show.

    With --fail-on the command is a gate: it ends with exit code 3 where a run fails it, and writes a summary for GitHub Actions.

    Example: epiverb compare base.jsonl sdpo.jsonl --domain dapo=id,aime24=ood --out runs/base-sdpo
    Example: epiverb compare runs/math@none runs/math@answer    # two arms of one run
    Example: epiverb compare runs/base runs/new --fail-on 'markers<0.7x or significantly accuracy<-0.03'
    """

    base: str = setting(metavar="BASE", positional=True)
    """The run to compare with: a run folder, one arm of it as RUN@ARM, or a trace file."""
    runs: tuple[str, ...] = setting(metavar="RUN...", positional=True)
    """One run or several: run folders, arms of them as RUN@ARM, or trace files."""
    out: str | None = setting(None, short="-o", metavar="DIR")
    """Folder for comparison.json and report.html. Default: nothing is written."""
    lexicon: tuple[str, ...] = setting(DEFAULT_LEXICONS, short="-l", metavar="NAME|FILE")
    """Lexicons for sources that are trace files, each time one; the first is the one claims are made with."""
    domain: dict[str, str] = setting({}, metavar="BENCHMARK=id|ood")
    """Which benchmarks are in-domain (id) and which out-of-domain (ood)."""
    format: str | None = setting(None, metavar="NAME")
    """Format of sources that are trace files, instead of detecting it."""
    map: dict[str, str] = setting({}, metavar="COLUMN=KEY")
    """Read records of trace files by hand: response=key.path, correct=key, ..."""
    paired: bool = setting(True)
    """Pair by problem. --no-paired compares runs of different problems, as independent samples, with a warning."""
    specificity: bool = setting(True)
    """Compare epistemic words with all other words; reads the text of both runs."""
    fail_on: str | None = setting(None, metavar="WHAT<BOUND")
    """Exit with 3 where this holds of a run: 'markers<0.7x or accuracy<-0.03' (0.7x: times the base; -0.03: difference)."""
    report: bool = setting(True)
    """Write report.html beside comparison.json: findings, figures, tables, and both runs side by side."""
    report_traces: int = setting(1000, metavar="N")
    """At most this many traces of a run in the report's viewer; the report says how many it leaves out."""
    draws: int = setting(10_000, metavar="N")
    """Bootstrap draws behind each interval."""
    seed: int = setting(0, metavar="N")
    """Seed of the bootstrap and the permutation tests."""
    overwrite: bool = setting(False)
    """Replace what --out holds."""


@dataclass(frozen=True)
class LinkConfig:
    """Relate the change in markers to the change in accuracy, in and out of domain, over any number of runs or steps.

    Example: epiverb link base.jsonl grpo.jsonl sdpo.jsonl --domain dapo=id,aime24=ood
    Example: epiverb link runs/base runs/sdpo --out runs/linked    # step by step, where a run holds steps
    """

    base: str = setting(metavar="BASE", positional=True)
    """The run to compare with: a run folder, one arm of it as RUN@ARM, or a trace file."""
    runs: tuple[str, ...] = setting(metavar="RUN...", positional=True)
    """The other runs, or one run that holds several training steps."""
    domain: dict[str, str] = setting({}, metavar="BENCHMARK=id|ood")
    """Which benchmarks are in-domain (id) and which out-of-domain (ood)."""
    out: str | None = setting(None, short="-o", metavar="DIR")
    """Folder for link.json and report.html. Default: nothing is written."""
    lexicon: str = setting("epiverb-en", short="-l", metavar="NAME|FILE")
    """The lexicon whose epistemic markers are counted."""
    report: bool = setting(True)
    """Write report.html beside link.json: findings, figures, tables."""
    format: str | None = setting(None, metavar="NAME")
    """Format of sources that are trace files, instead of detecting it."""
    map: dict[str, str] = setting({}, metavar="COLUMN=KEY")
    """Read records of trace files by hand: response=key.path, correct=key, ..."""
    draws: int = setting(2000, metavar="N")
    """Bootstrap draws behind each interval."""
    seed: int = setting(0, metavar="N")
    """Seed of the bootstrap."""
    overwrite: bool = setting(False)
    """Replace what --out holds."""


@dataclass(frozen=True)
class PlanConfig:
    """Say how many problems and samples are needed to see a difference in accuracy, or which difference given data can show.

    Example: epiverb plan --difference 0.05 --samples 8
    Example: epiverb plan runs/base runs/sdpo    # which difference these can show
    """

    runs: tuple[str, ...] = setting((), metavar="[RUN...]", positional=True)
    """One or two runs (folders or trace files) to take the spread of problems and samples from."""
    difference: float | None = setting(None, metavar="D")
    """The difference in accuracy to see, 0.05 for five points. Default: say what can be seen instead."""
    problems: int | None = setting(None, metavar="N")
    """Number of problems."""
    samples: int = setting(8, short="-n", metavar="K")
    """Samples of each problem and run."""
    power: float = setting(0.8, metavar="P")
    """Chance of seeing the difference."""
    seed: int = setting(0, metavar="N")
    """Seed where simulation is needed."""
