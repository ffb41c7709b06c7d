"""Are epistemic markers suppressed more than anything else? Markers against the whole vocabulary and against controls.

Four looks at the same counts. (1) Log-odds with an informative Dirichlet prior for every word. (2) The log ratio of the
epistemic words less that of words of the same frequency and spread: a difference in differences. (3) The same against
the control classes (boosters, procedural words). (4) The raw mean shift of arXiv 2603.24472, eq. 6, beside them, which
favours frequent words: a word that is used often can lose more.

Rates are occurrences per word of text, so that a run that merely became shorter shows no change.

Source: Monroe, Colaresi & Quinn (2008), "Fightin' words", Political Analysis 16, eqs. 15-22, for the log-odds. Ours
differs: the z that ranks and screens (`z_problems`) uses the variance between problems where that is larger, because
words come in bursts; theirs counts every word as an independent draw.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from epiverb.stats.bootstrap import N_DRAWS, Estimate, null, resample
from epiverb.stats.logratio import RATIO_OF_RATIOS, log_contrast
from epiverb.stats.problems import Array, log_ratio
from epiverb.stats.vocabulary import WordCounts

if TYPE_CHECKING:
    import polars as pl

PRIOR_SHARE = 0.1
"""The prior weighs as much as a tenth of the smaller run's text: enough that a word absent from one run gets a z."""
N_MATCHED = 50
N_PLACEBO = 5_000


def log_odds(counts: WordCounts) -> pl.DataFrame:
    """One row a word, most suppressed first: counts, log-odds of run against base and its z, two ways.

    Columns: `word, base_per_1k, run_per_1k, base_count, run_count` (occurrences, problems weighted alike), `log_odds`
    (shrunken by the prior; negative is suppressed), `z` (Monroe), `z_problems`, `q` (Benjamini-Hochberg over all words,
    of `z_problems`).
    """
    import polars as pl

    size = [n / counts.n_problems for n in counts.n_traces]
    totals = [np.asarray(t.sum(0)) * k for t, k in zip((counts.base, counts.run), size, strict=True)]
    lengths = [n.sum() * k for n, k in zip((counts.base_length, counts.run_length), size, strict=True)]
    prior_total = PRIOR_SHARE * min(lengths)
    prior = prior_total * (totals[0] + totals[1]) / sum(lengths)
    weighed = [t + prior for t in totals]
    odds = [np.log(w / (n + prior_total - w)) for w, n in zip(weighed, lengths, strict=True)]
    delta, variance = odds[1] - odds[0], 1 / weighed[0] + 1 / weighed[1]
    between = _variance_between(counts, [w / k for w, k in zip(weighed, size, strict=True)])
    z_problems = delta / np.sqrt(np.maximum(variance, between))
    return pl.DataFrame(
        {
            "word": counts.words,
            "base_per_1k": 1000 * totals[0] / lengths[0],
            "run_per_1k": 1000 * totals[1] / lengths[1],
            "base_count": totals[0],
            "run_count": totals[1],
            "log_odds": delta,
            "z": delta / np.sqrt(variance),
            "z_problems": z_problems,
            "q": _benjamini_hochberg(z_problems),
        }
    ).sort("z_problems", "word")


def _variance_between(counts: WordCounts, weighed: list[Array]) -> Array:
    """Linearised variance of each word's log ratio when problems are the sample.

    The influence of problem p is (its count less its share of the text) over the word's total, run minus base. Squares
    are expanded so that only the sparse counts are touched, never a dense problems x words table.
    """
    n = counts.n_problems
    if n < 2:
        return np.zeros(len(counts.words))
    sides = ((counts.run, counts.run_length, weighed[1]), (counts.base, counts.base_length, weighed[0]))
    scaled = [table.multiply(1 / total).tocsr() for table, _, total in sides]
    expected = [np.asarray(table.sum(0)) / length.sum() / total for table, length, total in sides]
    influence = scaled[0] - scaled[1]
    lengths = [length for _, length, _ in sides]
    cross = [influence.T @ length for length in lengths]
    squares = np.asarray(influence.multiply(influence).sum(0))
    squares = squares - 2 * (expected[0] * cross[0] - expected[1] * cross[1])
    squares = squares + expected[0] ** 2 * (lengths[0] @ lengths[0]) + expected[1] ** 2 * (lengths[1] @ lengths[1])
    squares = squares - 2 * expected[0] * expected[1] * (lengths[0] @ lengths[1])
    return np.asarray(np.maximum(squares, 0) * n / (n - 1))


def _benjamini_hochberg(z: Array) -> Array:
    from scipy.special import ndtr

    p = 2 * ndtr(-np.abs(z))
    order = np.argsort(p)
    raised = p[order] * len(p) / np.arange(1, len(p) + 1)
    q = np.empty(len(p))
    q[order] = np.minimum.accumulate(raised[::-1])[::-1].clip(max=1)
    return q


def specificity(
    counts: WordCounts, markers: Iterable[str], controls: Mapping[str, Iterable[str]], *, seed: int,
    n_draws: int = N_DRAWS, n_words: int = 25,
) -> dict[str, Any]:  # fmt: skip
    """The `specificity` block of `compare`: log ratios of rates per word of text, run against base, and what they mean.

    Args:
        markers: the lexicon's epistemic entries; those of several words are no words of a vocabulary and are left out.
        controls: control class -> its entries (`booster`, `procedural`).
        n_words: how many of the most suppressed and most favoured words are listed.
    """
    names, phrases = _single(markers)
    classes = {name: _single(words)[0] - names for name, words in controls.items()}
    at = counts.columns(names)
    table = log_odds(counts)
    block: dict[str, Any] = {
        "n_problems": counts.n_problems, "n_traces": list(counts.n_traces), "n_vocabulary": len(counts.words),
        "n_markers": len(at), "raw_shift": _raw_shift(counts, at), "words": _extremes(table, names, n_words),
    }  # fmt: skip
    notes = list(counts.notes)
    if phrases:
        notes.append(f"specificity: {phrases} entries of several words are compared as hits only, not as words.")
    pool, reason = _neighbours(counts, at, names.union(*classes.values()))
    if reason:
        return block | {"epistemic": null(reason), "reason": reason, "warnings": notes}
    block |= _classes(counts, at, pool, classes, seed=seed, n_draws=n_draws)
    block |= {"placebo": _placebo(counts, at, pool, seed=seed)}
    return block | {"sentence": _sentence(block), "warnings": notes}


def _single(words: Iterable[str]) -> tuple[set[str], int]:
    """The one-word entries in the vocabulary's spelling, and how many others there are."""
    spelled = {word.lower().replace("’", "'") for word in words}
    single = {word for word in spelled if word.replace("'", "").isalpha()}
    return single, len(spelled) - len(single)


def _neighbours(
    counts: WordCounts, at: npt.NDArray[np.int64], excluded: set[str]
) -> tuple[npt.NDArray[np.int64], str | None]:
    """(markers, N_MATCHED): for each marker the words nearest in frequency and in the share of problems that have them.

    Frequency is the mean of both runs' rates. Words picked by their rate in base alone are picked for its noise too,
    and fall back to their mean in the run; and markers that a run brought in would have nothing to be matched with.
    Spread matters as much: `triangle` may be as frequent as `maybe` and sit in three problems. Inflections of a marker
    (`checking`) are no controls.
    """
    if not len(at):
        return at, "too few markers in either run."
    stems = tuple(word for word in excluded if len(word) >= 4)
    free = np.array([word not in excluded and not word.startswith(stems) for word in counts.words], dtype=bool)
    candidates = np.flatnonzero(free)
    if len(candidates) < 2 * N_MATCHED:
        return at, f"only {len(candidates)} other words: too few to match {len(at)} markers by frequency."
    sides = ((counts.base, counts.base_length), (counts.run, counts.run_length))
    frequency = sum(np.asarray(table.sum(0)) / length.sum() for table, length in sides)
    spread = sum(np.diff(table.tocsc().indptr) for table, _ in sides)
    place = np.log(np.stack([frequency, spread]))
    distance = np.abs(place[:, at, None] - place[:, None, candidates]).sum(0)
    nearest = np.argsort(distance, axis=1, kind="stable")[:, :N_MATCHED]
    return candidates[nearest], None


def _classes(
    counts: WordCounts, at: npt.NDArray[np.int64], pool: npt.NDArray[np.int64], classes: dict[str, set[str]], *,
    seed: int, n_draws: int,
) -> dict[str, Any]:  # fmt: skip
    """Log ratios of the classes and differences in differences, all from the same draws of problems."""
    columns = {name: counts.columns(words) for name, words in classes.items()}
    groups = [at, *columns.values()]
    m = len(at)

    def gather(table: Any) -> Array:
        whole = [np.asarray(table[:, group].sum(1)) for group in groups]
        own = table[:, at].toarray()
        flat = table[:, pool.ravel()].toarray().reshape(table.shape[0], m, -1).mean(2)
        return np.column_stack([whole[0], flat.sum(1), *whole[1:], own, flat])

    base, run = gather(counts.base), gather(counts.run)
    n_classes = 2 + len(columns)
    own, flat = slice(n_classes, n_classes + m), slice(n_classes + m, None)
    lengths = [np.repeat(n[:, None], base.shape[1], axis=1) for n in (counts.run_length, counts.base_length)]
    first, classes_only = [0] * (n_classes - 1), slice(1, n_classes)
    # Columns: log ratio of each class and word; epistemic less each other class; each marker less its matched words.
    parts = [
        np.column_stack([run, run[:, first], run[:, own]]),
        np.column_stack([base, base[:, first], base[:, own]]),
        np.column_stack([lengths[0], run[:, classes_only], run[:, flat]]),
        np.column_stack([lengths[1], base[:, classes_only], base[:, flat]]),
    ]
    found = resample(lambda w: log_contrast(parts, RATIO_OF_RATIOS, w), [counts.n_problems], seed=seed, n_draws=n_draws)

    def estimate(column: int) -> Estimate:
        gone = "it does not occur in both runs, so that a ratio is not defined."
        return found.pick(..., 0).estimate(column, undefined=gone, variance=found.pick(..., 1))

    names, gaps, each = ["epistemic", "matched", *columns], base.shape[1], base.shape[1] + n_classes - 1
    return {
        "epistemic": estimate(0),
        "controls": {name: estimate(i) for i, name in enumerate(names) if i},
        "difference": {name: estimate(gaps + i) for i, name in enumerate(names[1:])},
        "per_marker": {
            counts.words[w]: {
                "log_ratio": estimate(n_classes + i),
                "difference": estimate(each + i),
                "nearest": [counts.words[j] for j in pool[i, :3]],
            }
            for i, w in enumerate(at)
        },
    }


def _placebo(
    counts: WordCounts, at: npt.NDArray[np.int64], pool: npt.NDArray[np.int64], *, seed: int
) -> dict[str, Any]:
    """Where the markers stand among random word sets of the same frequencies; `p` is two-sided, with its sign apart."""
    rng = np.random.default_rng(seed)
    base, run = (
        np.asarray(t.sum(0)) / n.sum() for t, n in ((counts.base, counts.base_length), (counts.run, counts.run_length))
    )
    picks = pool[np.arange(len(at)), rng.integers(pool.shape[1], size=(N_PLACEBO, len(at)))]
    drawn = log_ratio(run[picks].sum(1), base[picks].sum(1))
    own = float(log_ratio(run[at].sum(keepdims=True), base[at].sum(keepdims=True))[0])
    lower, higher = int(np.sum(drawn <= own)), int(np.sum(drawn >= own))
    p = min(1.0, 2 * (1 + min(lower, higher)) / (N_PLACEBO + 1))
    return {"n_sets": N_PLACEBO, "share_more_suppressed": lower / N_PLACEBO, "p": p}


def _raw_shift(counts: WordCounts, at: npt.NDArray[np.int64]) -> dict[str, Any]:
    """Eq. 6 of arXiv 2603.24472: mean change in a word's count per response, over markers and over base's vocabulary.

    `frequency_bias` is the rank correlation of a word's base frequency with the size of its change: what makes the
    contrast say little about specificity.
    """
    base, run = (np.asarray(t.mean(0)) for t in (counts.base, counts.run))
    change, seen = run - base, base > 0
    block: dict[str, Any] = {
        "markers": None,
        "vocabulary": None,
        "n_new_words": int(np.sum(~seen)),
        "frequency_bias": None,
    }
    if len(at) and seen.any():
        block |= {"markers": float(change[at].mean()), "vocabulary": float(change[seen].mean())}
    sizes = np.abs(change[seen])
    if seen.sum() > 2 and np.ptp(sizes) > 0 and np.ptp(base[seen]) > 0:
        block["frequency_bias"] = _rank_correlation(base[seen], sizes)
    return block


def _rank_correlation(x: Array, y: Array) -> float:
    """Spearman's; scipy.stats takes longer to import than all of this module to run."""
    import polars as pl

    left, right = (pl.Series(values).rank("average").to_numpy() for values in (x, y))
    return float(np.corrcoef(left, right)[0, 1])


def _extremes(table: pl.DataFrame, markers: set[str], n: int) -> dict[str, Any]:
    import polars as pl

    marked = table.with_columns(pl.col("word").is_in(list(markers)).alias("marker"))
    lost, won = marked.filter(pl.col("log_odds") < 0), marked.filter(pl.col("log_odds") > 0)
    return {
        "suppressed": lost.head(n).to_dicts(),
        "favoured": won.tail(n).reverse().to_dicts(),
        "family": f"{len(table)} words, false discovery rate by Benjamini-Hochberg",
    }


def _sentence(block: dict[str, Any]) -> str:
    own, other, gap = block["epistemic"], block["controls"]["matched"], block["difference"]["matched"]
    if own["value"] is None or other["value"] is None or gap["value"] is None:
        return "Markers or their matched words are absent from one run; their ratio cannot be given."
    text = (
        f"Per word of text, epistemic words stand at {np.exp(own['value']):.2f} times base, words of the same "
        f"frequency at {np.exp(other['value']):.2f} times"
    )
    if gap["lo"] is None or gap["hi"] is None:
        return text + "; how certain the difference is cannot be said."
    low, high = np.exp(gap["lo"]), np.exp(gap["hi"])
    told = "specific to markers" if (low > 1 or high < 1) else "not shown to be specific to markers"
    return text + f": a ratio of {np.exp(gap['value']):.2f} ({low:.2f} to {high:.2f}), {told}."
