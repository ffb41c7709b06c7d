"""What the traces of a run on the lab's problems hold, by arm: tries, slips of arithmetic, and what a first try would have given.

    python benchmarks/lab.py RUN...

A try is a chain of as many steps as the problem has numbers, less one. The first try's score is what a model that commits
to it would get. A slip is a step whose value is wrong; a false hit is a last try that misses and is answered all the same.
"""

from __future__ import annotations

import re
import sys
from fractions import Fraction

import polars as pl

from epiverb.run import Run

STEP = re.compile(r"(\d+) ([-+*/]) (\d+) = (\d+)")
OPERATIONS = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: Fraction(a, b) if b else None,
}


def described(row: dict) -> dict:
    """Counts of one trace."""
    *numbers, target = map(int, row["problem_id"].split("-"))
    steps = [(int(a), sign, int(b), int(v)) for a, sign, b, v in STEP.findall(row["response"])]
    size = len(numbers) - 1
    tries = steps[size - 1 :: size]
    first = steps[:size]
    return {
        "right": row["correct"],
        "tries": len(tries),
        "slips": sum(OPERATIONS[sign](a, b) != v for a, sign, b, v in steps) / max(len(steps), 1),
        "first": bool(first) and first[-1][3] == target and all(OPERATIONS[s](a, b) == v for a, s, b, v in first),
        "false_hit": bool(tries) and tries[-1][3] != target and row["answer"] is not None,
        "checked": "check" in row["response"],
        "mistake": "mistake" in row["response"],
    }


def main() -> None:
    """Print a table."""
    for path in sys.argv[1:]:
        rows = (
            Run(path)
            .scan("traces")
            .select("benchmark", "condition", "problem_id", "response", "correct", "answer")
            .collect()
        )
        made = pl.DataFrame([described(row) for row in rows.iter_rows(named=True)])
        table = pl.concat([rows.select("benchmark", "condition"), made], how="horizontal")
        means = table.group_by("benchmark", "condition", maintain_order=True).agg(
            pl.len().alias("traces"), pl.all().mean()
        )
        with pl.Config(tbl_cols=-1, tbl_rows=-1, tbl_width_chars=160, float_precision=3):
            print(path, means, sep="\n")


if __name__ == "__main__":
    main()
