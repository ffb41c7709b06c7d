"""`epiverb demo`: the effect on this computer, through the commands that train a large model, told in one page."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from epiverb.config import build
from epiverb.configs.compare import LinkConfig
from epiverb.configs.demo import DemoConfig
from epiverb.errors import ConfigError, EngineError
from epiverb.lab.claims import plan
from epiverb.lab.claims.plan import Step
from epiverb.lab.claims.runner import State, carry_out, clear
from epiverb.report.labels import with_short_names
from epiverb.run import Run, write_json
from epiverb.schema import SCHEMA_VERSION
from epiverb.verbs.compare import link
from epiverb.verbs.sampling.store import locked, write_text

LEXICON = "kim2026"
METHODS = {"SDPO": "sdpo", "GRPO": "grpo"}
"""Name on the page -> arm of the claims."""
ARMS = (*METHODS.values(), "ladder", "pressure", "base")
LEFT_OUT = ("seen", "tokens")
"""Steps of those arms that only the claims need."""
FULL = {"tests": "n=64", "samples": "-n 2", "probe": ":24", "ladder": "--problems 32", "steps": "--steps 20"}
QUICK = {"tests": "n=24", "samples": "-n 2", "probe": ":12", "ladder": "--problems 8", "steps": "--steps 8"}


def demo(
    config: DemoConfig, *, progress: Callable[[State, Path], None] | None = None, dry_run: bool = False
) -> dict[str, Any]:
    """Where the page is, the numbers that it tells, and the commands that made them.

    Raises:
        ConfigError: no base, or a folder that holds something else.
        EngineError: a command failed; what was done before is kept.
        Stopped: Ctrl-C; the same command goes on.
    """
    where = _scale(config)
    steps = [
        step
        for step in plan.plan(where, ARMS, config.seed + 1)
        if step.seed == config.seed and step.name not in LEFT_OUT
    ]
    if dry_run:
        return {"schema": SCHEMA_VERSION, "dry_run": True, "commands": [str(step) for step in steps]}
    out = Path(config.out)
    _check(out, config)
    with locked(out):
        clear(out, steps, overwrite=config.overwrite)
        begun = time.monotonic()
        try:
            state = carry_out(steps, out.resolve(), config.jobs, (lambda s: progress(s, out)) if progress else None)
        finally:
            minutes = _minutes(out, (time.monotonic() - begun) / 60)
        if state.failed:
            key, why = next((k, w) for k, w in state.failed.items() if not w.startswith("needs "))
            raise EngineError(f"{key}: {why.removeprefix('epiverb: ')} What it said: {out / key}.log.")
        return _tell(out, where, steps, minutes, config)


def _scale(config: DemoConfig) -> plan.Scale:
    """The lab, with the sizes of a demo."""
    size = QUICK if config.quick else FULL
    lab = plan.scale("lab")
    base = Path(config.model) if config.model else Path(plan.here(f"data/{lab.models['base']}", Path()))
    if not (base / "config.json").is_file():
        raise ConfigError(f"{base}: no base of the lab. Make one: epiverb lab pretrain --out DIR, then --model DIR")
    probes = {"id": "countdown-3", "ood": "countdown-3-division"}
    watched = " ".join(f"--probe {name}=lab:{family}?split=test{size['probe']}" for name, family in probes.items())
    settings = {
        "tests": lab.settings["tests"].replace("n=64", size["tests"]),
        "test-id": lab.settings["test-id"].replace("n=64", size["tests"]),
        "eval": lab.settings["eval"].replace("-n 2", size["samples"]),
        "ladder": lab.settings["ladder"].replace("--problems 32", size["ladder"]),
        "fit": f"{lab.settings['fit']} -l {LEXICON} {watched} --probe-every 4 --probe-samples 2",
        "steps": size["steps"],
    }
    return lab.but({"base": str(base.resolve()) if config.model else lab.models["base"]}, settings | config.setting)


def _check(out: Path, config: DemoConfig) -> None:
    """Begin again where that is asked for; refuse a folder that is something else."""
    mine = (out / "minutes.json").is_file()
    if out.exists() and any(path.name != ".lock" for path in out.iterdir()) and not mine:
        raise ConfigError(f"{out}: is not a demo's folder. Choose another --out.")
    if mine and config.overwrite:
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)
    _minutes(out, 0.0)


def _minutes(out: Path, spent: float) -> float:
    """Minutes in all, over the times that the demo was begun."""
    file = out / "minutes.json"
    total = spent + (json.loads(file.read_text("utf-8")) if file.exists() else 0.0)
    write_text(file, f"{json.dumps(total)}\n")
    return total


def _named(linked: dict[str, Any]) -> dict[str, Any]:
    """What `link` found with the methods' names in place of their folders'."""
    names = dict(zip(dict.fromkeys(row["run"] for row in linked["rows"]), METHODS, strict=True))
    rows = [row | {"run": names[row["run"]]} for row in linked["rows"]]
    return linked | {"rows": rows, "findings": [with_short_names(line, names) for line in linked["findings"]]}


def _tell(out: Path, where: plan.Scale, steps: list[Step], minutes: float, config: DemoConfig) -> dict[str, Any]:
    from epiverb.report.story import Story, lead, outcome_rows, write

    def run(arm: str, step: str) -> Run:
        return Run(out / arm / f"seed{config.seed}" / step)

    evals = {"base": run("base", "eval"), **{name: run(arm, "eval") for name, arm in METHODS.items()}}
    domains = {name: "id" if name in where.groups["id"] else "ood" for name in where.groups["id"] + where.groups["ood"]}
    base, *others = (str(one.path) for one in evals.values())
    settings = {"base": base, "runs": others, "domain": domains, "lexicon": LEXICON, "seed": config.seed}
    linked = _named(link(build(LinkConfig, settings)))
    pressure = json.loads((run("pressure", "sample").path / "score.json").read_text("utf-8"))["pressure"]
    trainings = {name: run(arm, "train") for name, arm in METHODS.items()}
    commands = [str(step) for step in steps]
    story = Story(run("ladder", "sample"), pressure, evals, trainings, linked, LEXICON, domains, commands, minutes)
    page = write(story, out / "report.html")
    document = {
        "schema": SCHEMA_VERSION, "demo": str(out), "report": str(page), "minutes": round(minutes, 2),
        "told": lead(outcome_rows(story)), "outcomes": outcome_rows(story), "findings": linked["findings"], "commands": commands,
    }  # fmt: skip
    write_json(out / "demo.json", document)
    return document
