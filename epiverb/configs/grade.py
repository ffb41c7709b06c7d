"""What `epiverb grade` can be told."""

from __future__ import annotations

from dataclasses import dataclass

from epiverb.config import setting
from epiverb.configs.analyze import DEFAULT_LEXICONS


@dataclass(frozen=True)
class GradeConfig:
    """Grade the responses of trace files or runs anew, and say where the stored grades differ.

    Example: epiverb grade traces.jsonl --grader math
    Example: epiverb grade traces.jsonl --gold-from aime24=aime24.parquet --out runs/regraded
    """

    sources: tuple[str, ...] = setting(metavar="FILE...", positional=True)
    """Trace files, folders, globs, run folders, or - for standard input."""
    out: str | None = setting(None, short="-o", metavar="DIR")
    """Write a run with the new grades here, analysed as by `epiverb analyze`. Default: only print."""
    grader: str | None = setting(None, short="-g", metavar="NAME")
    """Grade everything by this grader: math, choice, exact, code, countdown, reasoning-gym. Default: that of the problems
    in --gold-from, else math."""
    gold_from: str | None = setting(None, metavar="SET|FILE")
    """Problems whose gold answers, tests and graders are used for traces without gold (by problem id, else question)."""
    lenient: tuple[str, ...] = setting((), metavar="OPTION")
    """A named deviation from the strict rule, each time one. math: percent, tolerance, bare-boxed, tail. choice: boxed,
    answer-line, label. countdown: at-most-once. reasoning-gym: whole."""
    lexicon: tuple[str, ...] = setting(DEFAULT_LEXICONS, short="-l", metavar="NAME|FILE")
    """Lexicons to match for --out."""
    format: str | None = setting(None, metavar="NAME")
    """Read every source as this format instead of detecting it. See: epiverb ls formats."""
    map: dict[str, str] = setting({}, metavar="COLUMN=KEY")
    """Read records by hand: response=key.path, gold=key, problem_id=key, ..."""
    domain: dict[str, str] = setting({}, metavar="BENCHMARK=id|ood")
    """Which benchmarks are in-domain (id) and which out-of-domain (ood)."""
    limit: int | None = setting(None, metavar="N")
    """Stop after this many traces."""
    report: bool = setting(True)
    """Write report.html into the run folder."""
    overwrite: bool = setting(False)
    """Replace the run that --out holds."""
