"""Rollouts and probes of an epiverb training run that is not finished: the shards that its monitor has written so far.

`epiverb analyze OUT/` takes them by themselves; checkpoints and other tables in the folder are left alone.
"""

from __future__ import annotations

from epiverb.io.detect import Format
from epiverb.io.formats.own import fields, project
from epiverb.io.sniff import Head


def recognise(head: Head) -> str | None:
    """epiverb's own traces with what only a trainer knows of a rollout."""
    if not head.has("trace_id", "response", "advantage", "has_demo", "demo", "trimmed"):
        return None
    return "its columns are those in which epiverb's trainers record rollouts (advantage, has_demo, demo, trimmed)"


TRAINING = Format("epiverb-training", "rollouts and probes of an epiverb training run", recognise, fields, project)
