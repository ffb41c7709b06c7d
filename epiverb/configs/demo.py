"""What `epiverb demo` can be told."""

from __future__ import annotations

from dataclasses import dataclass

from epiverb.config import setting as option


@dataclass(frozen=True)
class DemoConfig:
    """Show the paper's effect on this computer: train a small model by SDPO and by GRPO, and write a page that tells it.

    Example: epiverb demo --out epiverb-runs/demo
    """

    out: str = option("epiverb-runs/demo", short="-o", metavar="DIR")
    """Folder of all runs and of the page. An unfinished demo is continued by the same command."""
    quick: bool = option(False)
    """Fewer steps and problems: 3 minutes instead of 10 on two cores."""
    model: str | None = option(None, short="-m", metavar="DIR")
    """A base of the lab. Default: the one that is shipped."""
    jobs: int = option(2, metavar="N")
    """Commands that run at once, each on one core."""
    seed: int = option(0, metavar="N")
    """Seed of sampling and training."""
    setting: dict[str, str] = option({}, metavar="NAME=TEXT")
    """Other sizes, by the names of the lab's settings in epiverb/lab/claims/arms.toml: steps='--steps 4'."""
    overwrite: bool = option(False)
    """Begin again where --out holds a finished demo."""
