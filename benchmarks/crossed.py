"""Coverage of the 95 % interval over seeds and problems, beside the bootstrap over both sides, where the truth is known.

    python benchmarks/crossed.py            1,000 simulations a cell, about two minutes
    python benchmarks/crossed.py --quick    100 a cell

Accuracy of a trained model less the base's: each problem has its difficulty and its own change, each training its own level,
each response is right or wrong.
"""

from __future__ import annotations

import argparse

import numpy as np

from epiverb.stats.crossed import Array, Statistic, crossed

WORLDS = {"alike trainings": (0.0, 0.5), "some spread": (0.3, 0.5), "trainings differ": (1.0, 0.3)}
"""Deviation, on the scale of log-odds, of trainings and of problems' own changes."""
SIZES = ((2, 96), (3, 96), (5, 96), (5, 24), (10, 96))
SAMPLES, CHANGE, DRAWS = 4, -1.0, 400


def world(seeds: int, problems: int, spread: tuple[float, float], rng: np.random.Generator) -> Array:
    """Differences of accuracy (seeds, problems) as they are seen."""
    base = rng.normal(0.5, 1.5, (1, problems)) + np.zeros((seeds, 1))
    change = CHANGE + rng.normal(0, spread[0], (seeds, 1)) + rng.normal(0, spread[1], (1, problems))
    right = [rng.binomial(SAMPLES, 1 / (1 + np.exp(-odds))) for odds in (base + change, base)]
    return (right[0] - right[1]) / SAMPLES


def truth(spread: tuple[float, float]) -> float:
    """The mean difference of a million trainings and problems."""
    rng = np.random.default_rng(1)
    base = rng.normal(0.5, 1.5, 1_000_000)
    after = base + CHANGE + rng.normal(0, spread[0], base.shape) + rng.normal(0, spread[1], base.shape)
    return float(np.mean(1 / (1 + np.exp(-after)) - 1 / (1 + np.exp(-base))))


def mean_of(cells: Array) -> Statistic:
    """The mean of cells as a statistic of weights."""
    return lambda s, p: (np.einsum("ns,np,sp->n", s, p, cells, optimize=True) / (s.sum(1) * p.sum(1)))[:, None]


def bootstrap(cells: Array, rng: np.random.Generator) -> tuple[float, float]:
    """Percentiles of the mean over seeds and problems that are both drawn with replacement."""
    weights = [rng.multinomial(n, np.full(n, 1 / n), size=DRAWS).astype(float) for n in cells.shape]
    low, high = np.quantile(mean_of(cells)(*weights), (0.025, 0.975))
    return float(low), float(high)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    n = 100 if parser.parse_args().quick else 1000
    print("| seeds x problems | world | covers | width, points | bootstrap covers |\n|---|---|---|---|---|")
    for seeds, problems in SIZES:
        for name, spread in WORLDS.items():
            rng, true = np.random.default_rng(seeds * problems), truth(spread)
            held, width, plain = 0, 0.0, 0
            for _ in range(n):
                cells = world(seeds, problems, spread, rng)
                low, high = crossed(mean_of(cells), seeds, [problems])[0].interval() or (-np.inf, np.inf)
                held, width = held + (low <= true <= high), width + high - low
                low, high = bootstrap(cells, rng)
                plain += low <= true <= high
            print(f"| {seeds} x {problems} | {name} | {held / n:.1%} | {100 * width / n:.1f} | {plain / n:.1%} |")


if __name__ == "__main__":
    main()
