"""What `epiverb demo` can be told."""

from __future__ import annotations

from dataclasses import dataclass

from epiverb.config import setting


@dataclass(frozen=True)
class DemoConfig:
    """Show the paper's effect on this computer: train a small model by SDPO and by GRPO, and write a page that tells it.

    Example: epiverb demo --out epiverb-runs/demo
    """

    out: str = setting("epiverb-runs/demo", short="-o", metavar="DIR")
    """Folder of all runs and of the page. An unfinished demo is continued by the same command."""
    quick: bool = setting(False)
    """Fewer steps and problems: 3 minutes instead of 10 on two cores."""
    model: str | None = setting(None, short="-m", metavar="DIR")
    """A base of the lab. Default: the one that is shipped."""
    jobs: int = setting(2, metavar="N")
    """Commands that run at once, each on one core."""
    seed: int = setting(0, metavar="N")
    """Seed of sampling and training."""
    overwrite: bool = setting(False)
    """Begin again where --out holds a finished demo."""
