"""The command line, a tiny model that answers and its problems, as for sampling; and what every training here has in common."""

from __future__ import annotations

from tests.sample.conftest import epiverb, model, problems

__all__ = ["epiverb", "model", "problems"]

SMALL = (
    "--questions", "4", "-n", "4", "--max-tokens", "24", "--max-prompt", "300", "--lr", "1e-3", "--warmup", "0", "--draws", "50",
    "-l", "epiverb-en", "-l", "kim2026", "--no-report",
)  # fmt: skip
"""Sixteen short responses a step."""
