"""`epiverb claims`: the runs behind the papers' claims, and the scorecard."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from epiverb.configs.claims import ClaimsRunConfig, ClaimsShowConfig
from epiverb.errors import ConfigError, EngineError
from epiverb.lab.claims import plan
from epiverb.lab.claims.quantities import Runs
from epiverb.lab.claims.registry import Claim, chosen
from epiverb.lab.claims.runner import State, carry_out, clear, is_done
from epiverb.lab.claims.scorecard import hashes, listed, markdown, scorecard, shipped
from epiverb.run import write_json
from epiverb.schema import SCHEMA_VERSION
from epiverb.verbs.sampling.store import locked, write_text

SETTINGS = "settings.json"
CARD = "claims.json"


def claims_run(
    config: ClaimsRunConfig, *, progress: Callable[[State], None] | None = None, dry_run: bool = False
) -> dict[str, Any]:
    """The scorecard; with `dry_run`, the steps and what is done of them.

    Raises:
        ConfigError: settings that cannot be, no such claim, a model that is not there, or a folder of other runs.
        Stopped: Ctrl-C; what is done is kept and the same command goes on.
        EngineError: a step failed; the rest was carried out and the scorecard written.
    """
    for name in ("seeds", "jobs"):
        if getattr(config, name) < 1:
            raise ConfigError(f"--{name} {getattr(config, name)}: at least 1.")
    where = plan.scale(config.scale).but(_models(config), config.setting)
    claims, steps = _asked(config, where)
    out = Path(config.out or f"epiverb-runs/claims-{config.scale}")
    if dry_run:
        told = [{"step": step.key, "done": is_done(out, step), "command": str(step)} for step in steps]
        return {
            "schema": SCHEMA_VERSION,
            "dry_run": True,
            "out": str(out),
            "claims": [c.id for c in claims],
            "steps": told,
        }
    models = hashes(where, steps)
    with locked(out):
        _pin(out, config, models)
        clear(out, steps, overwrite=config.overwrite)
        state = carry_out(steps, out.resolve(), config.jobs, progress)
        card = scorecard(claims, steps, Runs(out, where), models)
        write_json(out / CARD, card)
        write_text(out / "claims.md", markdown(card))
    if state.failed:
        raise EngineError(f"{out}: {_told(state, out)} The scorecard of the rest: epiverb claims show --from {out}")
    return card


def _models(config: ClaimsRunConfig) -> dict[str, str]:
    """Models that were given, folders by their whole path: steps are carried out in a folder of their own."""
    return {name: str(Path(model).resolve()) if Path(model).is_dir() else model for name, model in config.model.items()}


def _asked(config: ClaimsRunConfig, where: plan.Scale) -> tuple[list[Claim], list[plan.Step]]:
    """The claims that are asked for and can be tested at the scale, and the steps that they need."""
    only = _ids(config.only)
    claims = [claim for claim in chosen(only) if only or claim.lacks(where) is None]
    if config.core:
        claims = [claim for claim in claims if all(plan.arm(name).core for name in claim.arms)]
    for claim in claims:
        if why := claim.lacks(where):
            raise ConfigError(f"claim {claim.id} cannot be tested at the scale {where.name}: {why}.")
    return claims, plan.plan(where, [name for claim in claims for name in claim.arms], config.seeds)


def _ids(only: tuple[str, ...]) -> list[str]:
    return [name.strip() for item in only for name in item.split(",") if name.strip()]


def _pin(out: Path, config: ClaimsRunConfig, models: dict[str, str]) -> None:
    """Note what the folder is made with; raises `ConfigError` where it was begun with other models or at another scale."""
    file, before = out / SETTINGS, {}
    if file.is_file():
        before = json.loads(file.read_text("utf-8"))
    elif any(path.name != ".lock" for path in out.iterdir()):
        raise ConfigError(f"{out}: is not empty and holds no claims. Choose another --out.")
    differing = [f"model {name}" for name, told in models.items() if before.get("models", {}).get(name, told) != told]
    differing += ["scale"] * (before.get("scale", config.scale) != config.scale)
    if differing:
        raise ConfigError(f"{out}: was begun with another {differing[0]}. Choose another --out.")
    known = {name: before.get(name, {}) | told for name, told in (("models", models), ("given", _models(config)))}
    known |= {"scale": config.scale, "setting": config.setting, "seeds": max(config.seeds, before.get("seeds", 0))}
    write_text(file, json.dumps(known, indent=1) + "\n")


def _told(state: State, out: Path) -> str:
    """Which steps failed and why, in a line."""
    first = {key: why for key, why in state.failed.items() if not why.startswith("needs ")}
    key, why = next(iter(first.items()))
    more = f" ({len(state.failed) - 1} more)" if len(state.failed) > 1 else ""
    return f"{key} failed{more}: {why.removeprefix('epiverb: ')} What it said: {out / key}.log."


def claims_show(config: ClaimsShowConfig) -> dict[str, Any]:
    """The scorecard of a folder, or the shipped one; claims without a result say how to get one.

    Raises:
        ConfigError: no such claim, or a folder without claims.
    """
    claims = chosen(_ids(config.only))
    if config.from_run:
        card = _of_folder(Path(config.from_run), claims)
    elif shipped().is_file():
        card = json.loads(shipped().read_text("utf-8"))
    else:
        card = {"schema": SCHEMA_VERSION, "scale": None, "arms": {}, "models": {}, "claims": []}
        card["note"] = (
            "no results are shipped with this version; make them with: epiverb claims run --scale lab --seeds 5"
        )
    known = {claim["id"]: claim for claim in card["claims"]}
    return card | {"claims": [listed(claim) | known.get(claim.id, {}) for claim in claims], "only": _ids(config.only)}


def _of_folder(out: Path, claims: list[Claim]) -> dict[str, Any]:
    """The scorecard of what is there of a folder, finished or not."""
    if not (out / SETTINGS).is_file():
        raise ConfigError(f"{out}: holds no claims. Make some with: epiverb claims run --out {out}")
    told = json.loads((out / SETTINGS).read_text("utf-8"))
    where = plan.scale(told["scale"]).but(told["given"], told["setting"])
    able = [claim for claim in claims if claim.lacks(where) is None]
    steps = plan.plan(where, [name for claim in able for name in claim.arms], told["seeds"])
    return scorecard(claims, steps, Runs(out, where), told["models"])
