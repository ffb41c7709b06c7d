"""How good is each signal? Every score of a trace against its correctness: within problems, pooled, as a filter, calibrated.

A score that ranks traces well over problems may only tell hard problems from easy ones. `within` compares samples of one
problem alone: the chance that a right one has the higher score than a wrong one. The rest pools all traces, as selective
prediction does: risk over coverage (AURC), the share of what an oracle would gain by rejecting (PRR), and the calibration
of a monotone map to probabilities. Whether a higher score means right, and that map, are learnt on other problems.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from epiverb.errors import DataError
from epiverb.stats.bootstrap import Estimate, null, resample
from epiverb.stats.problems import Array, ratio, weighted_mean
from epiverb.stats.ranking import Ranked, auc_within, rates

if TYPE_CHECKING:
    import polars as pl

FOLDS = 5
BINS = 10
N_DRAWS = 1_000
FEW_PROBLEMS = 15
FEWEST = 10
"""Graded traces below which a signal is not judged."""


@dataclass(frozen=True)
class Labelled:
    """Graded traces with one signal."""

    score: Array
    correct: Array
    problem: np.ndarray
    """From 0, over all signals the same numbers."""
    n_problems: int
    finished: np.ndarray
    """Whether the trace ended by itself."""

    def take(self, keep: np.ndarray) -> Labelled:
        """Only some of them."""
        return Labelled(self.score[keep], self.correct[keep], self.problem[keep], self.n_problems, self.finished[keep])


def signals(frame: pl.DataFrame, names: list[str], *, seed: int = 0, n_draws: int = N_DRAWS) -> dict[str, Any]:
    """The `signals` block: a row a signal, the strongest within problems first; and what was left out, with reasons.

    Args:
        frame: a row a trace: `benchmark, problem_id, correct`, a column for each of `names`, and `status` where known.

    Raises:
        DataError: no trace is graded, or all are graded alike.
    """
    known, notes = _graded(frame)
    base = _labels(known)
    rows: list[dict[str, Any]] = []
    left_out: list[dict[str, str]] = []
    for name in names:
        score = known[name].cast(float).fill_null(np.nan).to_numpy()
        labelled = Labelled(score, *base).take(np.isfinite(score))
        if reason := _unfit(labelled):
            left_out.append({"name": name, "reason": reason})
        else:
            rows.append({"name": name, "n_missing": int((~np.isfinite(score)).sum())} | judge(labelled, seed, n_draws))
    rows.sort(key=lambda row: -_strength(row))
    told = {"n_traces": len(known), "n_problems": base[2], "accuracy": float(base[0].mean()), "n_signals": len(rows)}
    return told | {"rows": rows, "left_out": left_out, "warnings": notes + _warnings(rows)}


def _strength(row: dict[str, Any]) -> float:
    value = row["within"]["value"]
    return 0.0 if value is None else abs(value - 0.5)


def _graded(frame: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    import polars as pl

    known = frame.filter(pl.col("correct").is_not_null() & pl.col("problem_id").is_not_null())
    notes = []
    if lost := len(frame) - len(known):
        notes.append(f"signals: {lost} of {len(frame)} traces without a known problem or correctness are left out.")
    if not len(known):
        raise DataError(
            "signals: no trace is graded. Grade them first: epiverb grade RUN --gold-from SET|FILE --out DIR"
        )
    if known["correct"].n_unique() < 2:
        word = "right" if known["correct"][0] else "wrong"
        raise DataError(f"signals: all {len(known)} graded traces are {word}, so that no signal can tell them apart.")
    return known, notes


def _labels(known: pl.DataFrame) -> tuple[Array, np.ndarray, int, np.ndarray]:
    """Correctness, problem, number of problems, whether finished."""
    import polars as pl

    problem = known.select((pl.struct("benchmark", "problem_id").rank("dense") - 1).cast(pl.Int64)).to_series()
    finished = (known["status"] == "complete").fill_null(True) if "status" in known.columns else pl.repeat(
        True, len(known), eager=True
    )  # fmt: skip
    numbers = problem.to_numpy()
    return known["correct"].cast(float).to_numpy(), numbers, int(numbers.max()) + 1, finished.to_numpy()


def _unfit(labelled: Labelled) -> str | None:
    if len(labelled.score) < FEWEST:
        return f"{len(labelled.score)} graded traces have it; at least {FEWEST} are needed."
    if np.ptp(labelled.score) == 0:
        return f"it is {labelled.score[0]:g} on all traces."
    if np.ptp(labelled.correct) == 0:
        return "all traces that have it are graded alike."
    return None


def judge(labelled: Labelled, seed: int, n_draws: int) -> dict[str, Any]:
    """All figures of one signal. `within` above 0.5: right traces score higher than wrong ones of their problem.

    `sign` is +1 where a higher score means right on every fold's other problems, -1 where a lower one does, 0 where the
    folds disagree; `aurc`, `prr` and the calibration use the sign of the trace's fold.
    """
    fold = folds(labelled, seed)
    signed, sign, probability = _learnt(labelled, fold)
    problems, per_problem = np.unique(labelled.problem, return_inverse=True)
    filtered = Ranked.of(signed, labelled.correct)
    pooled = Ranked.of(labelled.score, labelled.correct)
    members, squares = _by_problem(labelled, probability, per_problem, len(problems))

    def statistic(weights: Array) -> Array:
        told = rates(filtered, weights, per_problem)
        area = told[:, 0] if sign == 1 else 1 - told[:, 0] if sign else rates(pooled, weights, per_problem)[:, 0]
        size = weights @ np.bincount(per_problem)
        ece = ratio(np.abs(weights @ members).sum(1), size)
        return np.stack([area, told[:, 1], told[:, 2], ece, ratio(weights @ squares, size)], axis=1)

    found = resample(statistic, [len(problems)], seed=seed, n_draws=n_draws)
    names = ("auroc", "aurc", "prr", "ece", "brier")
    row: dict[str, Any] = {"n_traces": len(labelled.score), "n_problems": len(problems), "sign": sign}
    row |= {"within": within(labelled, seed, n_draws)}
    row |= {"within_finished": within(labelled.take(labelled.finished), seed, n_draws)}
    return row | {name: found.estimate(i) for i, name in enumerate(names)}


def within(labelled: Labelled, seed: int, n_draws: int) -> Estimate:
    """AUROC within problems that have right and wrong traces, each problem counting once, with `n_problems`."""
    areas, _ = auc_within(labelled.score, labelled.correct, labelled.problem)
    areas = areas[np.isfinite(areas)]
    if not len(areas):
        return null("no problem has both right and wrong traces.") | {"n_problems": 0}
    found = resample(lambda w: weighted_mean(areas[:, None], w)[:, 0], [len(areas)], seed=seed, n_draws=n_draws)
    return found.estimate() | {"n_problems": len(areas)}


def folds(labelled: Labelled, seed: int) -> np.ndarray:
    """The fold of each trace: problems dealt at random, traces of one problem together."""
    dealt = np.random.default_rng(seed).permutation(labelled.n_problems) % FOLDS
    return dealt[labelled.problem]


def _learnt(labelled: Labelled, fold: np.ndarray) -> tuple[Array, int, Array]:
    """Scores with the sign and probabilities with the monotone map learnt on the other folds; the sign all agree on."""
    signed, probability = np.empty_like(labelled.score), np.empty_like(labelled.score)
    signs = []
    for one in np.unique(fold):
        out, rest = fold == one, labelled.take(fold != one)
        area = (
            rates(Ranked.of(rest.score, rest.correct), np.ones((1, len(rest.score))))[0, 0] if len(rest.score) else 0.5
        )
        sign = -1.0 if area < 0.5 else 1.0  # a part without right or wrong traces tells nothing, and leaves it as it is
        signs.append(sign)
        signed[out] = sign * labelled.score[out]
        probability[out] = _isotonic(sign * rest.score, rest.correct, signed[out])
    mean = float(np.mean(signs))
    return signed, int(mean) if abs(mean) == 1 else 0, probability


def _isotonic(score: Array, correct: Array, asked: Array) -> Array:
    """The rising step function of `score` closest to `correct`, read at `asked`, linear between steps."""
    from scipy.optimize import isotonic_regression

    if not len(score):
        return np.full(len(asked), 0.5)
    places, at = np.unique(score, return_inverse=True)
    weight = np.bincount(at).astype(np.float64)
    fitted = isotonic_regression(np.bincount(at, correct) / weight, weights=weight).x
    return np.interp(asked, places, fitted)


def _bins(probability: Array) -> np.ndarray:
    """Tenths of the traces by their probability; equal probabilities stay together."""
    edges = np.unique(np.quantile(probability, np.arange(1, BINS) / BINS))
    return np.searchsorted(edges, probability, side="right")


def _by_problem(labelled: Labelled, probability: Array, problem: np.ndarray, count: int) -> tuple[Array, Array]:
    """Sums over each problem: correctness less probability by bin (P, bins), and its squares (P,)."""
    gap = labelled.correct - probability
    cells = np.bincount(problem * BINS + _bins(probability), gap, count * BINS)
    return cells.reshape(count, BINS).astype(np.float64), np.bincount(problem, gap**2, count).astype(np.float64)


def _warnings(rows: list[dict[str, Any]]) -> list[str]:
    said = []
    clear = [row for row in rows if row["within"]["lo"] is not None]
    opposite = [
        row["name"] for row in clear
        if row["auroc"]["value"] is not None
        and (row["within"]["lo"] > 0.5 > row["auroc"]["value"] or row["within"]["hi"] < 0.5 < row["auroc"]["value"])
    ]  # fmt: skip
    if opposite:
        said.append(
            f"pooled and within problems disagree in sign: {', '.join(opposite)}. Pooled, a signal also tells hard "
            "problems from easy ones; within problems it does not."
        )
    few = min((row["within"]["n_problems"] for row in clear), default=0)
    if clear and few < FEW_PROBLEMS:
        said.append(f"as few as {few} problems have both right and wrong traces; intervals over so few are too narrow.")
    if len(clear) > 1:
        beyond = sum(row["within"]["lo"] > 0.5 or row["within"]["hi"] < 0.5 for row in clear)
        said.append(
            f"{len(clear)} signals were looked at, each with a 95 % interval of its own: about {0.05 * len(clear):.1f} "
            f"would leave 0.5 out by chance, {beyond} do."
        )
    return said


def by_name(block: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The rows of a `signals` block by the name of the signal."""
    return {row["name"]: row for row in block["rows"]}
