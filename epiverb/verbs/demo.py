"""`epiverb demo`: the effect on this computer, through the commands that train a large model, told in one page."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

from epiverb import resources
from epiverb.config import build
from epiverb.configs.compare import LinkConfig
from epiverb.configs.demo import DemoConfig
from epiverb.errors import ConfigError, DataError
from epiverb.run import Run, write_json
from epiverb.schema import SCHEMA_VERSION
from epiverb.verbs import errands
from epiverb.verbs.compare import link
from epiverb.verbs.errands import Errand, Told

LEXICON = "kim2026"
TRAINED, OTHERS = "countdown-3", ("countdown-3-high", "countdown-3-division", "countdown-4")
DOMAINS = {f"lab:{name}": "id" if name == TRAINED else "ood" for name in (TRAINED, *OTHERS)}
CONTEXTS = ("none", "fraction:0.5", "solution-no-think", "solution")
METHODS = {"SDPO": ("sdpo", 1e-3), "GRPO": ("grpo", 1e-3)}
"""Name -> command and learning rate."""


def demo(config: DemoConfig, *, progress: Told | None = None, dry_run: bool = False) -> dict[str, Any]:
    """Where the page is, the numbers that it tells, and the commands that made them.

    Raises:
        ConfigError: no base, or a folder that holds something else.
        EngineError: a command failed; what was done before is kept.
    """
    base = Path(config.model) if config.model else resources.folder("data") / "lab" / "base"
    if not (base / "config.json").is_file():
        raise ConfigError(f"{base}: no base of the lab. Make one: epiverb lab pretrain --out {base}")
    out = Path(config.out)
    todo = plan(config, base, out)
    if dry_run:
        return {"schema": SCHEMA_VERSION, "dry_run": True, "commands": [errand.command for errand in todo]}
    _check(out, config)
    begun = time.monotonic()
    errands.run(todo, out, jobs=config.jobs, told=progress)
    minutes = _minutes(out, (time.monotonic() - begun) / 60)
    return _tell(out, todo, minutes, config)


def plan(config: DemoConfig, base: Path, out: Path) -> list[Errand]:
    """The commands; the longest come first, so that none is waited for at the end."""
    n, samples, steps = (32, 2, 12) if config.quick else (64, 4, 25)
    seed = str(config.seed)
    families = ",".join(f"lab:{name}?split=test&n={n}&seed={seed}" for name in (TRAINED, *OTHERS))
    common = ("--seed", seed, "--max-tokens", "256")
    rungs = [part for context in CONTEXTS for part in ("--context", context)]
    todo = [
        Errand(name, _train(method, rate, base, out / name, steps, config)) for name, (method, rate) in METHODS.items()
    ]
    evaluate = ("eval", "--bench", families, "-n", str(samples), *common, "--draws", "500", "--no-report")
    domains = [part for pair in DOMAINS.items() for part in ("--domain", "=".join(pair))]
    problems = f"lab:{TRAINED}?split=test&n={n}&seed={seed}"
    todo += [
        Errand("base", (*evaluate, *domains, "--model", str(base), "--out", str(out / "eval" / "base"))),
        Errand(
            "ladder",
            ("sample", "--model", str(base), "--data", problems, *rungs, "-n", "4", *common, "--out", str(out / "ladder")),
        ),
        Errand(
            "pressure",
            (
                "score", str(out / "eval" / "base"), "--model", str(base), "--pressure",
                "--contexts", "solution,solution-no-think,fraction:0.5,unrelated", "--lexicon", LEXICON,
            ),
            needs=("base",),
        ),
    ]  # fmt: skip
    for name in METHODS:
        trained = out / name / "checkpoints" / f"checkpoint-{steps}"
        more = ("--model", str(trained), "--out", str(out / "eval" / name))
        todo.append(Errand(f"{name} evaluated", (*evaluate, *domains, *more), needs=(name,)))
    return todo


def _train(method: str, rate: float, base: Path, out: Path, steps: int, config: DemoConfig) -> tuple[str, ...]:
    probe = 16 if config.quick else 32
    return (
        "train", method, "--model", str(base), "--data", f"lab:{TRAINED}?split=train&n=all&seed={config.seed}",
        "--steps", str(steps), "--lr", f"{rate:g}", "--questions", "16", "-n", "8", "--max-tokens", "256",
        "--micro-batch", "128", "--no-checkpointing", "--attention", "eager", "--lexicon", LEXICON,
        "--probe", f"id=lab:{TRAINED}?split=test&seed={config.seed}:{probe}",
        "--probe", f"ood=lab:countdown-3-division?split=test&seed={config.seed}:{probe}",
        "--probe-every", "4", "--probe-samples", "2", "--save-every", str(steps), "--seed", str(config.seed),
        "--draws", "500", "--out", str(out),
    )  # fmt: skip


def _check(out: Path, config: DemoConfig) -> None:
    """Begin again where that is asked for; refuse a folder that is something else."""
    mine = (out / errands.DONE).is_file()
    if out.exists() and any(out.iterdir()) and not mine:
        raise ConfigError(f"{out}: is not a demo's folder. Choose another --out.")
    if mine and config.overwrite:
        shutil.rmtree(out)


def _minutes(out: Path, spent: float) -> float:
    """Minutes in all, over the times that the demo was begun."""
    file = out / "minutes.json"
    total = spent + (json.loads(file.read_text("utf-8")) if file.exists() else 0.0)
    file.write_text(json.dumps(total), "utf-8")
    return total


def _tell(out: Path, todo: list[Errand], minutes: float, config: DemoConfig) -> dict[str, Any]:
    from epiverb.report.story import Story, outcome_rows, write

    evals = {"base": Run(out / "eval" / "base"), **{name: Run(out / "eval" / name) for name in METHODS}}
    paths = [str(run.path) for run in evals.values()]
    linked = link(
        build(
            LinkConfig,
            {"base": paths[0], "runs": paths[1:], "domain": DOMAINS, "lexicon": LEXICON, "seed": config.seed},
        )
    )
    pressure = json.loads((evals["base"].path / "score.json").read_text("utf-8")).get("pressure")
    story = Story(
        Run(out / "ladder"), pressure, evals, {name: Run(out / name) for name in METHODS}, linked, LEXICON, DOMAINS,
        [errand.command for errand in todo], minutes,
    )  # fmt: skip
    rows = outcome_rows(story)
    if not rows:
        raise DataError(f"{out}: the evaluations hold nothing. Pass --overwrite to begin again.")
    page = write(story, out / "report.html")
    document = {
        "schema": SCHEMA_VERSION, "demo": str(out), "report": str(page), "minutes": round(minutes, 2), "outcomes": rows,
        "findings": linked["findings"], "commands": list(story.commands),
    }  # fmt: skip
    write_json(out / "demo.json", document)
    return document
