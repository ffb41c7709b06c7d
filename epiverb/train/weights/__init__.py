"""Token weights: remedies against suppression, by name, so that one flag tries one.

    weight = parse("preserve:0.1+teacher-entropy")
    done = chunked_divergence(..., weights=shares(mask), weigh=in_chunk(weight, tokens))

`NAME`, `NAME:VALUE` for its first setting, `NAME:KEY=VALUE,KEY=VALUE`; weights joined by `+` multiply. A package adds its own
through the entry point group `epiverb.weights`.
"""

from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import Any

from epiverb.errors import ConfigError, nearest
from epiverb.registry import Registry

WEIGHTS = Registry(
    "weight",
    {
        "none": "epiverb.train.weights.none:NONE",
        "preserve": "epiverb.train.weights.preserve:PRESERVE",
        "kl-clip": "epiverb.train.weights.kl_clip:KL_CLIP",
        "teacher-entropy": "epiverb.train.weights.teacher_entropy:TEACHER_ENTROPY",
        "position": "epiverb.train.weights.position:POSITION",
        "routing": "epiverb.train.weights.routing:ROUTING",
        "contrast": "epiverb.train.weights.contrast:CONTRAST",
        "magnitude": "epiverb.train.weights.magnitude:MAGNITUDE",
        "marker-reward": "epiverb.train.weights.marker_reward:MARKER_REWARD",
    },
)


def parse(spec: str) -> Any:
    """The token weight that a specification says, or the product of several.

    Raises:
        ConfigError: a name, setting or value that there is not.
    """
    parts = [_one(part.strip()) for part in spec.split("+")]
    if len(parts) == 1:
        return parts[0]
    from epiverb.train.weights.base import Product

    return Product(tuple(parts))


def _one(spec: str) -> Any:
    name, colon, text = spec.partition(":")
    weight = WEIGHTS.get(name)
    settings = [field.name for field in fields(weight)]
    given: dict[str, Any] = {}
    for part in text.split(",") if colon else ():
        key, equals, value = part.partition("=")
        if not equals:
            key, value = (settings or [""])[0], part
        if key not in settings:
            hint = nearest(key, settings) if settings else " It has none."
            raise ConfigError(f"token weight {spec!r}: no setting {key!r}.{hint}")
        try:
            given[key] = type(getattr(weight, key))(value)
            if not math.isfinite(given[key]):
                raise ValueError
        except ValueError:
            raise ConfigError(f"token weight {spec!r}: {key} is a number, not {value!r}.") from None
    try:
        return replace(weight, **given)
    except ConfigError as error:
        raise ConfigError(f"token weight {spec!r}: {error}") from error


def table() -> list[dict[str, str]]:
    """Every token weight with its settings, what it needs and where it is from, for a listing."""
    rows = []
    for name in WEIGHTS:
        weight = WEIGHTS.get(name)
        settings = ", ".join(f"{field.name}={getattr(weight, field.name)}" for field in fields(weight))
        row = {"name": name, "settings": settings, "needs": ", ".join(weight.needs)}
        rows.append(row | {"about": weight.about, "source": weight.source})
    return rows
