"""The scorecard: every claim with its rule, its figures and its verdict, as plain values and as Markdown."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from epiverb.errors import ConfigError, DataError
from epiverb.lab.claims.plan import SCALES, Scale, Step, arm, here, plan, scale
from epiverb.lab.claims.quantities import LEXICON, OTHER, Runs
from epiverb.lab.claims.registry import Claim
from epiverb.lab.claims.runner import is_done, record
from epiverb.lab.claims.verdict import Test, as_dict, measured, verdict
from epiverb.resources import folder
from epiverb.schema import SCHEMA_VERSION
from epiverb.text import lexicon as lexicons

NOT_RUN = "not run"


def listed(claim: Claim) -> dict[str, Any]:
    """A claim without results: what was said, how it is tested, and the commands at each scale (of one seed)."""
    return {
        "id": claim.id,
        "title": claim.title,
        "source": claim.source,
        "theirs": claim.theirs,
        "measures": claim.measures,
        "limits": claim.limits,
        "scales": claim.runs_at,
        "rules": [
            {"says": test.says, "value": test.value, "expect": test.expect, "unit": test.unit, "check": test.check}
            for test in claim.tests
        ],
        "commands": {name: commands(claim, scale(name)) for name in SCALES if name in claim.runs_at},
        "verdict": NOT_RUN,
        "tests": [],
    }


def commands(claim: Claim, where: Scale, seeds: int = 1) -> list[str]:
    """The commands that a claim needs at a scale, in their order."""
    return [str(step) for step in plan(where, claim.arms, seeds)]


def scored(claim: Claim, runs: Runs, seeds: dict[str, list[int]]) -> dict[str, Any]:
    """A claim with the figures of its tests, as far as their arms are there; commands are those of the arms.

    Args:
        seeds: arm -> seeds of which all steps are there.
    """
    told = {name: value for name, value in listed(claim).items() if name != "commands"}
    why = claim.lacks(runs.scale) or _lacking(claim, seeds)
    if why:
        return told | {"reason": why}
    try:
        found = [measured(runs, test, seeds) for test in claim.tests]
        other = [_counted(runs, test, seeds) for test in claim.tests]
    except DataError as error:
        return told | {"reason": str(error)}
    n = sum(not test.check for test in claim.tests)
    outcomes = [one.outcome(n) for one in found]
    tests = [as_dict(*one) for one in zip(found, outcomes, other, strict=True)]
    checks = [outcome for one, outcome in zip(found, outcomes, strict=True) if one.test.check]
    decides = [outcome for one, outcome in zip(found, outcomes, strict=True) if not one.test.check]
    return told | {"verdict": verdict(decides, checks), "tests": tests}


def _counted(runs: Runs, test: Test, seeds: dict[str, list[int]]) -> dict[str, Any] | None:
    """A test's figure by the other lexicon; None: it counts no markers, or by one that it names."""
    calls = [call for call in test.formula.calls if call.quantity in ("markers", "density")]
    if not calls or any("lexicon" in dict(call.options) for call in calls):
        return None
    return measured(replace(runs, lexicon=OTHER), test, seeds).figures[0].as_dict()


def _lacking(claim: Claim, seeds: dict[str, list[int]]) -> str | None:
    lacking = [name for name in claim.arms if not seeds.get(name)]
    return f"not there yet: {', '.join(lacking)}" if lacking else None


def there(steps: Sequence[Step], out: Path) -> dict[str, list[int]]:
    """Arm -> seeds of which every step is done."""
    done: dict[tuple[str, int], bool] = {}
    for step in steps:
        place = (step.arm, step.seed)
        done[place] = done.get(place, True) and is_done(out, step)
    found: dict[str, list[int]] = {}
    for (name, seed), whole in done.items():
        if whole:
            found.setdefault(name, []).append(seed)
    return found


def scorecard(claims: Sequence[Claim], steps: Sequence[Step], runs: Runs, models: dict[str, str]) -> dict[str, Any]:
    """All claims scored, with how the figures were made."""
    seeds = there(steps, runs.out)
    used = [name for name in dict.fromkeys(step.arm for step in steps) if name in seeds]
    return {
        "schema": SCHEMA_VERSION,
        "epiverb": version("epiverb"),
        "scale": runs.scale.name,
        "models": models,
        "out": str(runs.out),
        "lexicons": {name: lexicons.load(name).sha256 for name in (LEXICON, OTHER)},
        "arms": {name: _arm(name, steps, seeds[name], runs.out) for name in used},
        "claims": [scored(claim, runs, seeds) for claim in claims],
    }


def _arm(name: str, steps: Sequence[Step], seeds: list[int], out: Path) -> dict[str, Any]:
    mine = [step for step in steps if step.arm == name]
    seconds = sum(record(out, step).get("seconds", 0.0) for step in mine)
    first = [str(step) for step in mine if step.seed == seeds[0]]
    return {"about": arm(name).about, "seeds": seeds, "seconds": round(seconds, 1), "commands": first}


def hashes(where: Scale, steps: Sequence[Step]) -> dict[str, str]:
    """Each model that the steps use: the SHA-256 of its weights and settings, or the name by which a hub knows it.

    Raises:
        ConfigError: a shipped model is not there.
    """
    found = {}
    for name, model in where.models.items():
        shown = f"data/{model}" if model.startswith("lab/") else model
        if not any(shown in step.words for step in steps):
            continue
        place = Path(here(shown, Path()))
        if shown != model and not place.is_dir():
            raise ConfigError(
                f"no {name} of the lab is shipped with this version. Make one with: epiverb lab pretrain --out DIR, and pass "
                f"--model {name}=DIR."
            )
        found[name] = _sha256(place) if place.is_dir() else model
    return found


def _sha256(place: Path) -> str:
    total = hashlib.sha256()
    for file in sorted([*place.glob("*.safetensors"), place / "config.json", place / "tokenizer.json"]):
        if file.is_file():
            total.update(file.name.encode() + file.read_bytes())
    return total.hexdigest()


def shipped() -> Path:
    """Where the shipped results lie."""
    return folder("data") / "lab" / "claims.json"


def markdown(card: dict[str, Any]) -> str:
    """The scorecard as a page: a row a test."""
    seeds = max((len(arm["seeds"]) for arm in card["arms"].values()), default=0)
    lines = [
        "# Scorecard",
        "",
        f"Scale {card['scale']}, epiverb {card['epiverb']}, up to {seeds} seeds; 95 % intervals over seeds and problems. Models: "
        + ", ".join(f"{name} `{told[:12]}`" for name, told in card["models"].items())
        + ".",
        "",
        "| claim | theirs | test | ours | predicted | n | verdict |",
        "|---|---|---|---|---|---|---|",
    ]
    for claim in card["claims"]:
        head = f"{claim['id']}. {claim['title']}"
        if not claim["tests"]:
            reason = claim.get("reason", NOT_RUN)
            lines.append(f"| {head} | {claim['theirs']} | | | | | {NOT_RUN}: {reason} |")
        for i, test in enumerate(claim["tests"]):
            figure, first = test["figure"], i == 0
            n = f"{figure['n_seeds']} x {figure['n_problems']}"
            said = f"check: {test['says']}" if test["check"] else test["says"]
            row = [head if first else "", claim["theirs"] if first else "", said, told(test)]
            row += [test["expect"], n, f"**{claim['verdict']}**" if first else ""]
            lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines).replace("\\", "\\\\") + "\n"


def told(test: dict[str, Any]) -> str:
    """A test's figure with its interval, in words: `-20.1 points [-25.0, -15.2]`."""
    figure, unit = test["figure"], test["unit"]
    if figure["value"] is None:
        return f"unknown: {figure['reason']}"
    times, digits = (100, 1) if unit == "points" else (1, 1 if unit == "tokens" else 2)
    sign = "+" if test["expect"].lstrip("<> ").startswith(("0", "-")) and "/" not in test["value"] else ""

    def shown(x: float) -> str:
        return f"{times * x:{sign}.{digits}f}"

    bounds = (
        f" [{shown(figure['lo'])}, {shown(figure['hi'])}]" if figure["lo"] is not None else f" ({figure['reason']})"
    )
    word = f" ({figure['key']})" if figure.get("key") else ""
    return f"{shown(figure['value'])}{' ' if unit else ''}{unit}{bounds}{word}"
