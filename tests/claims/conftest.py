"""The command line in this process, and folders of claims whose runs were analysed from written traces: no model is needed."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from epiverb.lab.claims.plan import plan, scale
from tests.sample.conftest import epiverb  # noqa: F401

FAMILIES = ("lab:countdown-3", "lab:countdown-3-high", "lab:countdown-3-division", "lab:countdown-4")


def traces(right: float, *, doubts: int, seed: int, n: int = 12, samples: int = 4) -> list[dict[str, object]]:
    """Responses to `n` problems of each family, of which a share is right, each with so many doubts."""
    rng, rows = random.Random(seed), []
    for family in FAMILIES:
        for i in range(n):
            for sample in range(samples):
                said = "".join(f"First, 3 + {i} = {i}. Wait, that is not it. " for _ in range(doubts))
                text = f"<think>\n{said}So 4 + 4 = 8.\n</think>\n\nThe answer is 8"
                rows.append(
                    {
                        "problem_id": f"p{i}",
                        "benchmark": family,
                        "sample": sample,
                        "prompt": f"question {i}",
                        "response": text,
                        "gold": "8",
                        "correct": rng.random() < right,
                        "n_tokens": 10 + 12 * doubts,
                    }
                )
    return rows


@pytest.fixture
def settled(epiverb, tmp_path):  # noqa: F811
    """Makes OUT/ARM/seedN/eval of written traces and marks the arm's steps done, as if they had been carried out."""

    def settle(out: Path, arm: str, seed: int, rows: list[dict[str, object]]) -> None:
        file = tmp_path / f"{arm}-{seed}.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        folder = out / arm / f"seed{seed}" / "eval"
        called = epiverb("analyze", file, "--out", folder, "--no-report", "--draws", 50, "-q")
        assert called.code == 0, called.err
        for step in plan(scale("lab"), [arm], seed + 1):
            if (step.arm, step.seed) == (arm, seed):
                (out / f"{step.key}.json").write_text(json.dumps({"command": str(step), "seconds": 1.0}))
        known = {"scale": "lab", "models": {"base": "0" * 64}, "given": {}, "setting": {}, "seeds": seed + 1}
        (out / "settings.json").write_text(json.dumps(known))

    return settle
