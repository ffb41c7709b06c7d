"""The traces of some of the lab's runs, small enough to ship: those behind data/lab/claims.json, of one seed.

epiverb claims run --scale lab --seeds 5 --core --out runs/claims
python data/make_lab_runs.py runs/claims
"""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl

STEPS = {
    "eval": ("base", "sdpo", "grpo", "sdpo-8", "sdpo-64", "sdpo-512"),
    "train": ("sdpo", "grpo"),
    "sample": ("ladder",),
}
LEFT_OUT = ("prompt", "context", "grade_reason", "source", "line")
"""Columns that repeat what the problem's name says, or where this machine kept the run."""


def main(claims: Path, out: Path) -> None:
    """Copy `ARM/seed0/STEP/traces.parquet`, without columns that are not needed, packed well."""
    for step, arms in STEPS.items():
        for arm in arms:
            place = Path(arm) / "seed0" / step / "traces.parquet"
            found = claims / place
            traces = pl.read_parquet(found / "*.parquet" if found.is_dir() else found).drop(LEFT_OUT)
            (out / place).parent.mkdir(parents=True, exist_ok=True)
            traces.write_parquet(out / place, compression="zstd", compression_level=19)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(__file__).parent / "lab" / "runs")
