"""The functions behind `epiverb lab`."""

from __future__ import annotations

from typing import Any

from epiverb.configs.lab import LabPretrainConfig
from epiverb.lab.pretrain import Progress
from epiverb.lab.pretrain import pretrain as _pretrain
from epiverb.schema import SCHEMA_VERSION


def pretrain(config: LabPretrainConfig, *, progress: Progress | None = None) -> dict[str, Any]:
    """The document of a trained base: its folder, and what `training.json` there says."""
    return {"schema": SCHEMA_VERSION, "model": config.out, **_pretrain(config, progress=progress)}
