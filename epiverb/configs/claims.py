"""What `epiverb claims` can be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from epiverb.config import setting as option


@dataclass(frozen=True)
class ClaimsRunConfig:
    """Test the papers' claims: carry out the runs that they need, and print a verdict on each by a rule fixed beforehand.

    Killed at any time, the same command goes on. A run serves all claims that need it. See: epiverb claims show

    Example: epiverb claims run --scale lab --seeds 5 --jobs 2 --out runs/claims
    """

    scale: Literal["lab", "one-gpu", "paper"] = option("lab")
    """Where: the small world that is shipped, one GPU, or the published models."""
    seeds: int = option(5, metavar="N")
    """Trainings of each arm, with the seeds 0 to N - 1; arms beside the core may have fewer (epiverb/lab/claims/arms.toml)."""
    only: tuple[str, ...] = option((), metavar="ID[,ID...]")
    """Only these claims, divided by commas or each time one."""
    core: bool = option(False)
    """Only the claims that need core arms alone."""
    out: str | None = option(None, short="-o", metavar="DIR")
    """Folder of the runs and the scorecard. Default: epiverb-runs/claims-SCALE. What is done there is not done again."""
    jobs: int = option(2, short="-j", metavar="N")
    """Runs at a time, each on one thread."""
    model: dict[str, str] = option({}, metavar="NAME=DIR")
    """Other models than those of the scale, by the names in arms.toml: base=DIR,terse=DIR."""
    setting: dict[str, str] = option({}, metavar="NAME=TEXT")
    """Other settings than those of the scale, by the names in arms.toml, for a pilot: steps='--steps 4'."""
    overwrite: bool = option(False)
    """Where --out holds runs of other settings, make these, and what follows from them, anew."""


@dataclass(frozen=True)
class ClaimsShowConfig:
    """Show the claims with the shipped results, or those of a folder, or how each can be tested; one claim with all it has.

    Example: epiverb claims show --only 8
    """

    only: tuple[str, ...] = option((), metavar="ID[,ID...]")
    """Only these claims, with their rules, figures and commands."""
    from_run: str | None = option(None, metavar="DIR", flag="from")
    """Folder of epiverb claims run, finished or not, instead of the shipped results."""
