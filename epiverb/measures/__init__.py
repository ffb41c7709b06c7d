"""Measures of traces: each a frozen dataclass with unit, direction, needs and version, found by name.

A package adds its own through the entry point group `epiverb.measures`; they are computed by `epiverb analyze` with the
rest.
"""

from __future__ import annotations

from typing import Any

from epiverb.registry import Registry

MEASURES = Registry(
    "measure",
    {
        "count": "epiverb.measures.lexical:COUNT",
        "density": "epiverb.measures.lexical:DENSITY",
        "density-tokens": "epiverb.measures.lexical:DENSITY_TOKENS",
        "presence": "epiverb.measures.lexical:PRESENCE",
        "first": "epiverb.measures.places:FIRST",
        "last": "epiverb.measures.places:LAST",
        "gap": "epiverb.measures.places:GAP",
        "gap-median": "epiverb.measures.places:GAP_MEDIAN",
        "burstiness": "epiverb.measures.places:BURSTINESS",
        "profile": "epiverb.measures.places:PROFILE",
        "transition": "epiverb.measures.transitions:TRANSITION",
        "questions": "epiverb.measures.follow:QUESTIONS",
        "follow": "epiverb.measures.follow:FOLLOW",
    },
)

TOKEN_MEASURES = Registry(
    "token-measure",
    {
        "surprisal": "epiverb.measures.tokens:SURPRISAL",
        "entropy": "epiverb.measures.tokens:ENTROPY",
        "confidence": "epiverb.measures.tokens:CONFIDENCE",
        "confidence-lowest-group": "epiverb.measures.tokens:LOWEST_GROUP",
        "confidence-bottom-10": "epiverb.measures.tokens:BOTTOM",
        "confidence-tail": "epiverb.measures.tokens:TAIL",
        "self-certainty": "epiverb.measures.tokens:CERTAINTY",
        "propensity": "epiverb.measures.tokens:PROPENSITY",
    },
)
"""Those that `epiverb score` computes, from what a model says of each token."""


def everything() -> list[tuple[str, Any]]:
    """Every measure with its name, those that `epiverb score` computes behind the others."""
    from epiverb.measures.belief_measures import POINTS, VALUES
    from epiverb.measures.consistency import CONSISTENCY
    from epiverb.measures.scored import SCORED

    named = [(name, registry.get(name)) for registry in (MEASURES, TOKEN_MEASURES) for name in registry]
    others: tuple[Any, ...] = (*CONSISTENCY, *POINTS, *VALUES, *SCORED)
    return named + [(measure.name, measure) for measure in others]


def table() -> list[dict[str, str]]:
    """Every measure with its unit, direction, version and meaning, for docs and `epiverb ls measures`."""
    rows = []
    for name, measure in everything():
        told = {"needs": ", ".join(measure.needs), "version": str(measure.version), "about": measure.about}
        rows.append({"name": name, "unit": measure.unit, "more means": measure.direction, **told})
    return rows
