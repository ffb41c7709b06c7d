"""What a job would do: requests, decoding, and a rendered prompt of each context, without drawing anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import polars as pl

from epiverb.config import plain
from epiverb.contexts import parse
from epiverb.models.base import Request
from epiverb.schema import SCHEMA_VERSION
from epiverb.verbs.sampling.arms import Arm, room_of
from epiverb.verbs.sampling.job import public
from epiverb.verbs.sampling.material import materials

if TYPE_CHECKING:
    from epiverb.models.base import Engine
    from epiverb.verbs.sampling.interventions import Steered
    from epiverb.verbs.sampling.job import Job


def plan(job: Job, earlier: pl.DataFrame, steered: Steered, specs: Sequence[str], notes: list[str]) -> dict[str, Any]:
    """The resolved settings, the number of requests and, for each context, a prompt with its tokens.

    The engine is opened: only it knows the window and the template.
    """
    with job.engine(steered) as engine:
        sampling = job.fitted(engine.window)
        arms = [_arm(job, engine, earlier, spec, sampling.max_tokens) for spec in specs]
        window = engine.window
    requests = [arm["n_requests"] for arm in arms]
    return plain(
        {
            "schema": SCHEMA_VERSION,
            "dry_run": True,
            "command": job.command,
            "out": str(job.out),
            "config": public(job.config),
            "sources": [
                {"path": source.spec, "n_problems": len(source.problems), "notes": list(source.notes)}
                for source in job.sources
            ],
            "decoding": {
                **asdict(sampling),
                "thinking": job.config.decoding.thinking,
                "intervention": steered.name,
            },
            "published": asdict(job.family),
            "window": window,
            "n_requests": None if None in requests else sum(requests),
            "n_samples": None if None in requests else sum(requests) * sampling.n,
            "arms": arms,
            "notes": notes,
        }
    )


def _arm(job: Job, engine: Engine, earlier: pl.DataFrame, spec: str, max_tokens: int) -> dict[str, Any]:
    """What would be asked under one context. Where its material is yet to be sampled, the number is not known."""
    arm = Arm(spec, parse("none" if spec == "unguided" else spec))
    room = room_of(engine, max_tokens, job.thinking)
    arm.build(job.problems, materials(job.problems, earlier, job.config.seed), room)
    row: dict[str, Any] = {"condition": spec, "about": arm.context.about, "n_requests": len(arm.asked)}
    row |= {"n_skipped": len(arm.skipped), "n_trimmed": arm.trimmed, "prompt": None, "prompt_tokens": None}
    if arm.skipped:
        row["reason"] = arm.skipped[0][1]
    if not arm.asked and job.command == "sample" and _drawn_first(arm):
        row |= {"n_requests": None, "reason": "its solutions are sampled first"}
    if arm.asked:
        asked = arm.asked[0]
        name = "/".join(asked.placed.key)
        prompt = engine.render(Request(name, messages=asked.shown.messages, thinking=job.thinking))
        counted = engine.count_tokens([prompt]) if prompt else None
        row |= {"problem": name, "prompt": prompt, "prompt_tokens": counted[0] if counted else None}
    return row


def _drawn_first(arm: Arm) -> bool:
    """Whether what a context needs may come out of the arms before it."""
    return bool(set(arm.context.needs) & {"solution", "wrong", "unrelated", "regenerated"})
