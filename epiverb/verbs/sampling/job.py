"""A job: what the settings of `sample` and `eval` come to, before any model is loaded."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epiverb.config import plain, to_dict
from epiverb.errors import ConfigError, DataError
from epiverb.models.base import Sampling
from epiverb.models.published import EVALUATION_TOKENS, PROMPT_TOKENS, SECTION_3_TOKENS, Published, published
from epiverb.verbs.sampling.arms import Placed
from epiverb.verbs.sampling.problems import Source, load

if TYPE_CHECKING:
    from epiverb.configs.decoding import Decoding, EngineChoice
    from epiverb.configs.sample import EvalConfig, SampleConfig
    from epiverb.models.base import Engine
    from epiverb.verbs.sampling.interventions import Steered


@dataclass(frozen=True)
class Job:
    """What is to be drawn, with what, and where to."""

    config: SampleConfig | EvalConfig
    command: str
    out: Path
    sources: list[Source]
    sampling: Sampling
    """`max_tokens` is 0 where the window decides."""
    family: Published
    thinking: bool | None
    most: int
    """Tokens of a response where nothing else is said and the window allows it."""

    @property
    def problems(self) -> list[Placed]:
        """All problems, in the order of their sets."""
        return [placed for source in self.sources for placed in source.problems]

    def engine(self, steered: Steered) -> Engine:
        """The engine, opened."""
        from epiverb.models import open_engine

        choice: EngineChoice = self.config.engine
        return open_engine(choice.engine, self.config.model, **steered.options(options(choice.engine_option)))

    def fitted(self, window: int | None) -> Sampling:
        """How to decode, with the tokens of a response that the window allows.

        Raises:
            ConfigError: the user wants more than the window holds.
        """
        asked = self.sampling.max_tokens
        if asked and window is not None and asked >= window:
            raise ConfigError(
                f"--max-tokens {asked}: the model's window is {window} tokens, prompt and response together. "
                f"Give fewer, {window // 2} for instance."
            )
        if asked or window is None:
            return replace(self.sampling, max_tokens=asked or self.most)
        return replace(self.sampling, max_tokens=min(self.most, max(window - PROMPT_TOKENS, window // 2)))

    def identity(self, more: dict[str, Any]) -> dict[str, Any]:
        """What makes it this job and no other: an unfinished run is continued only by the same."""
        config = self.config
        return plain(
            {
                "command": self.command,
                "model": config.model,
                "data": {source.spec: source.sha256 for source in self.sources},
                "decoding": {**asdict(self.sampling), "thinking": config.decoding.thinking},
                "engine": public(config)["engine"],
                "intervention": to_dict(config.intervention),
                "lenient": config.lenient,
                "limit": config.limit,
                "shard": config.shard,
                **more,
            }
        )


def resolve(config: SampleConfig | EvalConfig, command: str, specs: Sequence[str]) -> Job:
    """The job that a config describes.

    Raises:
        ConfigError: settings that cannot be; DataError, FormatError: problems that cannot be read.
    """
    _check(config)
    thinking = {"on": True, "off": False, None: None}[config.decoding.thinking]
    family = published(config.model, thinking)
    sources = load(specs, limit=config.limit, shard=_shard(config.shard), seed=config.seed, domains=config.domain)
    _check_unique(sources)
    return Job(
        config=config,
        command=command,
        out=Path(config.out) if config.out else _default_out(config, command, specs),
        sources=sources,
        sampling=_sampling(config.decoding, family, config.samples, config.seed),
        family=family,
        thinking=thinking,
        most=EVALUATION_TOKENS if command == "eval" else SECTION_3_TOKENS,
    )


def _check(config: SampleConfig | EvalConfig) -> None:
    if config.samples < 1:
        raise ConfigError(f"-n {config.samples}: at least one sample of each problem.")
    if config.limit is not None and config.limit < 1:
        raise ConfigError(f"--limit {config.limit}: at least one problem.")
    decoding = config.decoding
    if decoding.temperature is not None and decoding.temperature < 0:
        raise ConfigError(f"--temperature {decoding.temperature:g}: is below 0.")
    if decoding.top_p is not None and not 0 < decoding.top_p <= 1:
        raise ConfigError(f"--top-p {decoding.top_p:g}: is not above 0 and at most 1.")
    if decoding.min_p is not None and not 0 <= decoding.min_p < 1:
        raise ConfigError(f"--min-p {decoding.min_p:g}: is not from 0 to below 1.")
    for name in ("top_k", "logprobs"):
        if (getattr(decoding, name) or 0) < 0:
            raise ConfigError(f"--{name.replace('_', '-')} {getattr(decoding, name)}: is below 0.")
    if decoding.max_tokens is not None and decoding.max_tokens < 1:
        raise ConfigError(f"--max-tokens {decoding.max_tokens}: at least one token.")


def _check_unique(sources: list[Source]) -> None:
    seen: dict[tuple[str, str], str] = {}
    for source in sources:
        for placed in source.problems:
            other = seen.setdefault(placed.key, source.spec)
            if other != source.spec:
                raise ConfigError(f"--data: {other} and {source.spec} both hold problem {'/'.join(placed.key)}.")


def _sampling(decoding: Decoding, family: Published, n: int, seed: int) -> Sampling:
    def given(value: Any, default: Any) -> Any:
        return default if value is None else value

    greedy = decoding.temperature == 0
    return Sampling(
        n=n,
        temperature=given(decoding.temperature, family.temperature),
        top_p=given(decoding.top_p, 1.0 if greedy else family.top_p),
        top_k=given(decoding.top_k, 0 if greedy else family.top_k),
        min_p=given(decoding.min_p, 0.0),
        max_tokens=given(decoding.max_tokens, 0),
        logprobs=decoding.logprobs,
        seed=seed,
    )


def _shard(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise ConfigError(f"--shard {text}: give I/N with I from 1 to N, such as 1/4.")
    return int(match[1]), int(match[2])


def _default_out(config: Any, command: str, specs: Sequence[str]) -> Path:
    """Named after what is sampled and the settings: the same command continues the same run."""
    name = Path(config.model).name if command == "eval" else Path(specs[0]).name.split(".")[0]
    stem = re.sub(r"[^\w.-]+", "_", name).strip("_-.") or "samples"
    settings = {key: value for key, value in to_dict(config).items() if key not in ("out", "overwrite", "report")}
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
    return Path("epiverb-runs") / f"{stem}-{command}-{digest[:8]}"


def public(config: Any) -> dict[str, Any]:
    """The settings as they may be written down: without the password that a URL may hold."""
    settings = to_dict(config)
    given = settings["engine"]["engine_option"]
    settings["engine"]["engine_option"] = {
        key: re.sub(r"//[^/@\s]*@", "//", str(value)) for key, value in given.items()
    }
    return settings


def options(given: dict[str, str]) -> dict[str, Any]:
    """Options of an engine with their values read as YAML: numbers and switches are what they look like."""
    import yaml

    try:
        return {key.replace("-", "_"): yaml.safe_load(value) for key, value in given.items()}
    except yaml.YAMLError as error:
        raise ConfigError(f"--engine-option: {' '.join(str(error).split())}") from None


JUDGED_BY = {"tests", "entry"}
"""What grades a problem that has no gold answer."""


def arm_seed(seed: int, arm: str) -> int:
    """A seed for each arm: fresh samples of an arm are not those that its problems were selected by."""
    return int.from_bytes(hashlib.sha256(f"{seed}\x1f{arm}".encode()).digest()[:4], "big") >> 1


def checked(job: Job) -> list[str]:
    """Notes on problems whose samples cannot be graded; what is only needed at the end is looked for now.

    Raises:
        ConfigError: no such grader, lenient option or lexicon. DataError: there are no problems.
    """
    from epiverb.graders import make
    from epiverb.text import lexicon

    for name in job.config.lexicon:
        lexicon.load(name)
    if not job.problems:
        raise DataError(f"{', '.join(source.spec for source in job.sources)}: no problems are left to sample.")
    for name in dict.fromkeys(placed.problem.grader for placed in job.problems):
        make(name, lenient=job.config.lenient)
    notes = []
    for source in job.sources:
        bare = [one for one in source.problems if one.problem.gold is None and not one.problem.extra.keys() & JUDGED_BY]
        if bare:
            notes.append(
                f"{source.spec}: {len(bare)} of {len(source.problems)} problems have no gold answer; their samples are "
                "kept and not graded"
            )
    return notes
