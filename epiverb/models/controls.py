"""Control sets: other words, or tokens, to steer in the same way, so that an effect can be told from derailment.

    counts = written_counts(texts)                      # of reference traces, or any {written word: n}
    control = matched(lex, counts, seed=0)              # as frequent, as often capitalised, as often behind a space
    steer_words(control.words, "ban", name=control.name)

A ban of ten frequent words hurts by itself. What it says about markers is the difference to a ban of ten other words
that the model writes as often, in the same places.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from epiverb.errors import DataError
from epiverb.models.pieces import protected_ids, token_bytes
from epiverb.schema import CONTROLS, EPISTEMIC
from epiverb.text.lexicon import Lexicon

if TYPE_CHECKING:
    import polars as pl

WRITTEN = r"[^\p{L}]?\p{L}+(?:['’]\p{L}+)?"
"""A word with the character before it."""
NEAR = 0.1
"""Nats: words whose frequency is this close to a marker's are as good as each other, and the seed chooses."""


@dataclass(frozen=True)
class Use:
    """How a word is used in the reference."""

    n: float
    """Occurrences."""
    capitalised: float
    """Share that begins with a capital."""
    spaced: float
    """Share behind a space; the rest stands at the start of a line or behind a sign."""

    def far(self, other: Use) -> tuple[float, float]:
        """Distance in log frequency, and in the shares."""
        shares = abs(self.capitalised - other.capitalised) + abs(self.spaced - other.spaced)
        return abs(math.log(self.n / other.n)), shares


@dataclass(frozen=True)
class ControlSet:
    """Words that stand for markers."""

    name: str
    pairs: tuple[dict[str, Any], ...]
    """One a form that occurs: form, n_form, control, n_control, log_ratio (control over form), and the shares of both."""
    absent: tuple[str, ...]
    """Forms that the reference does not hold: they have no frequency to match, and a ban of them changes nothing there."""
    seed: int
    inside_words: bool = False
    """Whether occurrences within other words are counted, of forms and of controls; so they are steered, too."""

    @property
    def words(self) -> tuple[str, ...]:
        """The control words, one for each form that occurs."""
        return tuple(pair["control"] for pair in self.pairs)

    def describe(self) -> dict[str, Any]:
        """For run.json."""
        ratios = [abs(pair["log_ratio"]) for pair in self.pairs]
        total = [sum(pair[key] for pair in self.pairs) for key in ("n_form", "n_control")]
        return {
            "control": self.name,
            "seed": self.seed,
            "inside_words": self.inside_words,
            "n_words": len(self.pairs),
            "n_absent": len(self.absent),
            "max_abs_log_ratio": max(ratios),
            "occurrences": {"markers": total[0], "controls": total[1]},
            "pairs": list(self.pairs),
        }


def written_counts(texts: pl.Series) -> dict[str, int]:
    """Written word with the character before it (none at the start of a text) -> occurrences: ` Wait`, `\\nWait`."""
    import polars as pl

    words = texts.drop_nulls().str.extract_all(WRITTEN).explode().drop_nulls()
    words = words.rename("word").str.replace("’", "'", literal=True)
    table = words.to_frame().group_by("word").agg(pl.len()).sort("word")
    return dict(table.iter_rows())


def phrase_counts(lex: Lexicon, texts: pl.Series, *, inside_words: bool = False) -> dict[str, int]:
    """Form of several words -> its occurrences that no letter touches; with `inside_words` all of them."""
    from epiverb.text.match import Matcher

    matcher = Matcher([lex])
    found = matcher.candidates(texts.fill_null(""))
    counted = found.pattern if inside_words else found.pattern[found.free()]
    hits = np.bincount(counted, minlength=len(matcher.patterns))
    counts: dict[str, int] = {}
    for pattern, n in zip(matcher.patterns, hits.tolist(), strict=True):
        form = pattern.replace("’", "'")
        if n and not form.isalpha():
            counts[form] = counts.get(form, 0) + n
    return counts


def uses(counts: Mapping[str, int]) -> dict[str, Use]:
    """Word in lower case -> its use, from written words; a count without a character before the word is of a line start."""
    totals: dict[str, list[float]] = {}
    for written, n in counts.items():
        word = written if written[:1].isalpha() else written[1:]
        if word:
            sums = totals.setdefault(word.lower(), [0.0, 0.0, 0.0])
            for i, share in enumerate((True, word[0].isupper(), written[0] == " ")):
                sums[i] += n * share
    return {word: Use(n, capital / n, space / n) for word, (n, capital, space) in totals.items() if n > 0}


def matched(
    lex: Lexicon, counts: Mapping[str, int], *, seed: int, categories: Sequence[str] | None = None,
    keep_controls: bool = False, phrases: Mapping[str, int] | None = None, inside_words: bool = False,
) -> ControlSet:  # fmt: skip
    """For each form of a lexicon that occurs, another word that occurs as often.

    Forms take turns in an order that the seed draws; each takes the nearest word in log frequency that is left, and
    where several are within `NEAR` of it, one of the few that are written most alike (capitals, what stands before).
    Excluded are all words of all epistemic forms, words that contain a marker or are contained in one, single letters,
    and the control classes of the lexicon.

    Args:
        counts: see `written_counts`.
        categories: whose forms are matched; None: the epistemic ones.
        keep_controls: let words of the control classes (boosters, procedural words) be chosen.
        phrases: occurrences of forms of several words, which `counts` cannot hold.
        inside_words: count occurrences within other words as well, where the markers are steered there.

    Raises:
        DataError: no form occurs, or there are too few other words.
    """
    known = uses(counts)
    wanted = [c for c in lex.forms if c in (EPISTEMIC if categories is None else categories)]
    forms = list(dict.fromkeys(f for c in wanted for several in lex.forms[c].values() for f in several))
    if inside_words:
        known = _within(known, forms)
    known |= {form: Use(n, 0.0, 1.0) for form, n in (phrases or {}).items() if n > 0 and form not in known}
    present = [form for form in forms if form in known]
    if not present:
        raise DataError(f"control set: none of the markers of {lex.name} occurs in the reference; give other traces.")
    banned, least = _excluded(lex, keep_controls), 2 if inside_words else 4
    pool = sorted(w for w in known if len(w) > 1 and " " not in w and not _touches(w, banned, least))
    if len(pool) < len(present):
        raise DataError(f"control set: {len(pool)} other words for {len(present)} markers; give more reference text.")
    rng, pairs = np.random.default_rng(seed), {}
    for i in rng.permutation(len(present)).tolist():
        form = present[i]
        control = _nearest(known[form], pool, known, rng)
        pool.remove(control)
        pairs[form] = _pair(form, control, known)
    absent = tuple(form for form in forms if form not in known)
    return ControlSet(f"matched-{lex.name}", tuple(pairs[form] for form in present), absent, seed, inside_words)


def _within(known: Mapping[str, Use], forms: Sequence[str]) -> dict[str, Use]:
    """Word -> its use with the occurrences within other words counted in; forms that occur only there as well."""
    import polars as pl

    words = pl.DataFrame({"word": list(known), "n": [use.n for use in known.values()]})
    several = [*known, *(form for form in forms if form not in known and form.isalpha())]
    parts = words.select("n", part=pl.col("word").str.extract_many(several, overlapping=True)).explode("part")
    sums = dict(parts.drop_nulls().group_by("part").agg(pl.col("n").sum()).iter_rows())
    return {word: replace(known.get(word, Use(0, 0.0, 0.0)), n=sums[word]) for word in several if word in sums}


def _excluded(lex: Lexicon, keep_controls: bool) -> tuple[set[str], set[str]]:
    """Words that are left out, and single-word markers that must not be a part of a control, or the other way round."""
    classes = [c for c in lex.forms if c not in CONTROLS or not keep_controls]
    forms = {form for c in classes for several in lex.forms[c].values() for form in several}
    return {word for form in forms for word in form.split()}, {form for form in forms if form.isalpha()}


def _touches(word: str, banned: tuple[set[str], set[str]], least: int = 4) -> bool:
    """Whether a word is a marker's, or one is within the other; parts of fewer than `least` letters do not count."""
    words, markers = banned
    return word in words or any(
        (len(marker) >= least and marker in word) or (len(word) >= least and word in marker) for marker in markers
    )


def _nearest(use: Use, pool: list[str], known: Mapping[str, Use], rng: np.random.Generator) -> str:
    far = [use.far(known[word]) for word in pool]
    near = [i for i, (frequency, _) in enumerate(far) if frequency <= NEAR]
    if not near:
        return pool[min(range(len(pool)), key=lambda i: far[i])]
    near.sort(key=lambda i: far[i][1])
    return pool[near[int(rng.integers(min(3, len(near))))]]


def _pair(form: str, control: str, known: Mapping[str, Use]) -> dict[str, Any]:
    mine, other = known[form], known[control]
    return {
        "form": form,
        "n_form": mine.n,
        "control": control,
        "n_control": other.n,
        "log_ratio": math.log(other.n / mine.n),
        "capitalised": [round(mine.capitalised, 4), round(other.capitalised, 4)],
        "spaced": [round(mine.spaced, 4), round(other.spaced, 4)],
    }


def random_tokens(tokenizer: Any, n: int, *, seed: int, lex: Lexicon | None = None) -> list[int]:
    """`n` ids drawn from the tokens that hold a word of two letters or more, ascending; none of them a marker of `lex`.

    Raises:
        DataError: the vocabulary has fewer such tokens.
    """
    banned = _excluded(lex, False) if lex else (set(), set())
    kept = protected_ids(tokenizer)
    words = [piece.decode(errors="replace").strip().lower() for piece in token_bytes(tokenizer)]
    pool = [i for i, w in enumerate(words) if len(w) > 1 and w.isalpha() and i not in kept and not _touches(w, banned)]
    if len(pool) < n:
        raise DataError(f"control set: the vocabulary has {len(pool)} tokens that are words; {n} were asked for.")
    return sorted(np.random.default_rng(seed).choice(pool, n, replace=False).tolist())
