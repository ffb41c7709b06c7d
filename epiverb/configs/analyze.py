"""What `epiverb analyze` and the other commands that read traces can be told."""

from __future__ import annotations

from dataclasses import dataclass

from epiverb.config import setting

DEFAULT_LEXICONS = ("epiverb-en", "kim2026", "epiverb-zh", "epiverb-ko", "epiverb-ja")


@dataclass(frozen=True)
class AnalyzeConfig:
    """Find markers in reasoning traces, follow them along each trace, and say with error bars what was found.

    Example: epiverb analyze traces.jsonl
    Example: epiverb analyze before.jsonl after.jsonl --label before --label after --domain aime24=ood --out runs/both
    Example: epiverb analyze 'evals/**/*.parquet' --dry-run    # which format each file is, and why
    Example: epiverb analyze mine.jsonl --map response=reply.text,correct=ok,problem_id=question --lexicon nowait
    Example: epiverb analyze rollouts/ --follow --every 60 --out runs/live    # a training that is still going on
    Example: cat traces.jsonl | epiverb analyze - --json --no-report
    """

    sources: tuple[str, ...] = setting(metavar="FILE...", positional=True)
    """Trace files, folders, globs, URLs, or - for standard input."""
    out: str | None = setting(None, short="-o", metavar="DIR")
    """Folder for the run. Default: epiverb-runs/, named after the first source and the settings."""
    lexicon: tuple[str, ...] = setting(DEFAULT_LEXICONS, short="-l", metavar="NAME|FILE")
    """Lexicons to match, each time one; the first is the primary one. See: epiverb ls lexicons."""
    label: tuple[str, ...] = setting((), metavar="TEXT")
    """Name of the arm for each source, in their order (column `condition`)."""
    format: str | None = setting(None, metavar="NAME")
    """Read every source as this format instead of detecting it. See: epiverb ls formats."""
    map: dict[str, str] = setting({}, metavar="COLUMN=KEY")
    """Read records by hand: response=key.path, correct=key, problem_id=key, ..."""
    domain: dict[str, str] = setting({}, metavar="BENCHMARK=id|ood")
    """Which benchmarks are in-domain (id) and which out-of-domain (ood)."""
    tokenizer: str | None = setting(None, metavar="DIR|NAME")
    """Count tokens with this tokenizer where a source does not give counts."""
    linguistic: str | None = setting(None, metavar="PIPELINE")
    """spaCy pipeline for lexicon rules that need a part of speech (en_core_web_sm, or blank:en)."""
    limit: int | None = setting(None, metavar="N")
    """Stop after this many traces."""
    report: bool = setting(True)
    """Write report.html into the run folder."""
    report_traces: int = setting(10_000, metavar="N")
    """At most this many traces in the report's viewer; the report says how many it leaves out."""
    follow: bool = setting(False)
    """Go on with a job that is still writing: analyse anew when files change, until Ctrl-C. The run is whole at any time."""
    every: float = setting(30, metavar="SECONDS")
    """With --follow: how often to look."""
    until_idle: float | None = setting(None, metavar="SECONDS")
    """With --follow: end when nothing has changed for so long."""
    draws: int = setting(2000, metavar="N")
    """Bootstrap draws behind each interval."""
    seed: int = setting(0, metavar="N")
    """Seed of the bootstrap."""
    overwrite: bool = setting(False)
    """Replace the run that --out holds."""
