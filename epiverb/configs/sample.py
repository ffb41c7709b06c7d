"""What the commands that sample can be told: `sample`, `eval` and `sft-data`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from epiverb.config import setting
from epiverb.configs.analyze import DEFAULT_LEXICONS
from epiverb.configs.decoding import Decoding, EngineChoice, Intervention


@dataclass(frozen=True)
class Selection:
    """Which problems are kept by how often they are solved, and the rounds of the ladder."""

    problems: int = setting(100, metavar="N")
    """With --ladder: stop selecting when this many problems are kept."""
    selection_samples: int = setting(8, metavar="N")
    """With --ladder: samples of each problem that it is selected by."""
    min_correct: int | None = setting(None, metavar="N")
    """Keep problems with at least this many right samples, in --from or the ladder's selection. Ladder's default: 1."""
    max_correct: int | None = setting(None, metavar="N")
    """Keep problems with at most this many right samples. Ladder's default: half of the selection samples."""
    rounds: int = setting(1, metavar="N")
    """With --ladder: rounds of responses, each conditioned on the one before, that follow the guided one."""


@dataclass(frozen=True)
class SampleConfig:
    """Sample responses to problems, with or without a context, grade them, and analyse them into a run folder.

    Example: epiverb sample --model Qwen/Qwen3-1.7B --data math500 --context none --context answer -n 8 --out runs/math500
    Example: epiverb sample -m Qwen/Qwen3-1.7B -d dapo-math-17k --ladder --out runs/ladder
    Example: epiverb sample -m my-model -d problems.jsonl --engine server --dry-run    # the prompts, and how many
    """

    model: str = setting(short="-m", metavar="DIR|NAME")
    """Model folder or hub name; the name that a server knows it by; for replay the recorded outputs."""
    data: tuple[str, ...] = setting(metavar="SET|FILE", short="-d")
    """Problems: a file, a folder, a named set or reasoning-gym:NAME, each time one. See: epiverb ls problems."""
    context: tuple[str, ...] = setting(("none",), metavar="NAME")
    """What the model is shown besides the question, each time one; each is an arm. See: epiverb ls contexts."""
    samples: int = setting(8, short="-n", metavar="N")
    """Samples of each problem and arm."""
    out: str | None = setting(None, short="-o", metavar="DIR")
    """Run folder. Default: epiverb-runs/, named after the data and the settings. An unfinished one is continued."""
    from_run: tuple[str, ...] = setting((), metavar="RUN", flag="from")
    """Earlier runs whose responses are shown as solutions: correct ones, wrong ones for the context wrong."""
    ladder: bool = setting(False)
    """The paper's section 3: select problems, draw unguided samples anew, then guided by s\\think, regenerated, s."""
    selection: Selection = Selection()
    """Selection by solve rate."""
    decoding: Decoding = Decoding()
    """How to decode."""
    engine: EngineChoice = EngineChoice()
    """What generates."""
    intervention: Intervention = Intervention()
    """What is done to the model while it decodes."""
    lenient: tuple[str, ...] = setting((), metavar="NAME")
    """Named deviations of the graders from their strict rule, each time one. All are off by default."""
    domain: dict[str, str] = setting({}, metavar="BENCHMARK=id|ood")
    """Which benchmarks are in-domain (id) and which out-of-domain (ood)."""
    limit: int | None = setting(None, metavar="N")
    """Only the first N problems of each set."""
    shard: str | None = setting(None, metavar="I/N")
    """Only every N-th problem, from the I-th: several machines share the work. Join with: epiverb analyze RUN... --out DIR"""
    lexicon: tuple[str, ...] = setting(DEFAULT_LEXICONS, short="-l", metavar="NAME|FILE")
    """Lexicons to match, each time one; the first is the primary one."""
    report: bool = setting(True)
    """Write report.html into the run folder."""
    draws: int = setting(2000, metavar="N")
    """Bootstrap draws behind each interval."""
    seed: int = setting(0, metavar="N")
    """Seed of the sampling, of what is drawn at random, and of the bootstrap."""
    overwrite: bool = setting(False)
    """Replace the run that --out holds. An unfinished run of the same settings is continued all the same."""


@dataclass(frozen=True)
class EvalConfig:
    """Evaluate a model on benchmarks with the sampling parameters published for its family.

    Example: epiverb eval --model checkpoints/step-100 --bench aime24,amc23 -n 16 --domain aime24=ood --out runs/step-100
    Example: epiverb eval -m Qwen/Qwen3-8B -b math500 --engine vllm --dry-run
    """

    model: str = setting(short="-m", metavar="DIR|NAME")
    """Model folder or hub name; the name that a server knows it by; for replay the recorded outputs."""
    bench: tuple[str, ...] = setting(metavar="SET[,SET...]", short="-b")
    """Benchmarks: named sets or files, divided by commas or each time one. See: epiverb ls problems."""
    samples: int = setting(16, short="-n", metavar="N")
    """Samples of each problem."""
    out: str | None = setting(None, short="-o", metavar="DIR")
    """Run folder. Default: epiverb-runs/, named after the model and the settings. An unfinished one is continued."""
    decoding: Decoding = Decoding()
    """How to decode."""
    engine: EngineChoice = EngineChoice()
    """What generates."""
    intervention: Intervention = Intervention()
    """What is done to the model while it decodes."""
    lenient: tuple[str, ...] = setting((), metavar="NAME")
    """Named deviations of the graders from their strict rule, each time one. All are off by default."""
    domain: dict[str, str] = setting({}, metavar="BENCHMARK=id|ood")
    """Which benchmarks are in-domain (id) and which out-of-domain (ood)."""
    limit: int | None = setting(None, metavar="N")
    """Only the first N problems of each benchmark."""
    shard: str | None = setting(None, metavar="I/N")
    """Only every N-th problem, from the I-th. Join with: epiverb analyze RUN... --out DIR"""
    lexicon: tuple[str, ...] = setting(DEFAULT_LEXICONS, short="-l", metavar="NAME|FILE")
    """Lexicons to match, each time one; the first is the primary one."""
    report: bool = setting(True)
    """Write report.html into the run folder."""
    draws: int = setting(2000, metavar="N")
    """Bootstrap draws behind each interval."""
    seed: int = setting(0, metavar="N")
    """Seed of the sampling and of the bootstrap."""
    overwrite: bool = setting(False)
    """Replace the run that --out holds. An unfinished run of the same settings is continued all the same."""


@dataclass(frozen=True)
class SftDataConfig:
    """Build sets for fine-tuning from correct responses: unguided and guided, paired by problem, and matched in size.

    Example: epiverb sft-data runs/ladder --out sft
    Example: epiverb sft-data runs/ladder --lexicon epiverb-en --form chat --out sft
    """

    runs: tuple[str, ...] = setting(metavar="RUN...", positional=True)
    """Run folders that hold both arms between them."""
    out: str = setting(short="-o", metavar="DIR")
    """Folder for the sets and manifest.json."""
    unguided: str | None = setting(None, metavar="ARM")
    """The arm (column condition) without context. Default: unguided, none, or the only one without context."""
    guided: str | None = setting(None, metavar="ARM")
    """The arm with context. Default: solution, or the only one with context."""
    per_problem: int | None = setting(None, metavar="N")
    """At most this many responses of each problem and arm. Default: as many as both arms have."""
    size: int | None = setting(None, metavar="N")
    """At most this many responses in each set, spread over the problems."""
    form: tuple[Literal["chat", "prompt-completion", "alpaca"], ...] = setting(("chat", "prompt-completion", "alpaca"))
    """Forms to write, each time one."""
    caliper: float = setting(0.1, metavar="SHARE")
    """Responses count as of one length when they differ by at most this share of tokens."""
    lexicon: tuple[str, ...] = setting(("kim2026", "epiverb-en"), short="-l", metavar="NAME")
    """Lexicons whose hits the manifest counts; the runs must have matched them."""
    seed: int = setting(0, metavar="N")
    """Seed of what is drawn at random."""
    overwrite: bool = setting(False)
    """Replace the sets that --out holds."""
