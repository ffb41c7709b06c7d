"""The problems of a job: loaded, cut to a limit or shard, and placed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from epiverb.verbs.sampling.arms import Placed


@dataclass(frozen=True)
class Source:
    """One set of problems."""

    spec: str
    """As the user wrote it."""
    problems: list[Placed]
    sha256: str
    """Of the problems' text: what was sampled, whatever the file is called."""
    skipped: list[dict[str, object]] = field(default_factory=list)
    """Records that are no problems: `line` and `reason`."""
    notes: list[str] = field(default_factory=list)
