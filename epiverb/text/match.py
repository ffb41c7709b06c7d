"""Markers with offsets: one search of the text for all lexicons together, then each lexicon's rule on what was found.

Everything is columnar: a batch of responses is one buffer of bytes, a candidate is three integers, and a rule is a mask
over candidates. Nothing loops over traces.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from epiverb.schema import SEGMENTS
from epiverb.text import few, senses
from epiverb.text.anchors import Anchors
from epiverb.text.conditions import Conditions
from epiverb.text.cues import KINDS
from epiverb.text.few import Few
from epiverb.text.lexicon import Lexicon
from epiverb.text.offsets import Flat, Ints, is_letter
from epiverb.text.trie import Trie

Mask = npt.NDArray[np.bool_]
Found = tuple[Ints, Ints, Ints]
FAR = np.iinfo(np.int64).max
KELVIN = "\N{KELVIN SIGN}"
CURLY = "\N{RIGHT SINGLE QUOTATION MARK}"
_SEGMENT = pl.Series(SEGMENTS, dtype=pl.Enum(SEGMENTS))


@dataclass(frozen=True)
class Candidates:
    """Places where some pattern occurs in a batch, by begin, then end; positions are bytes in `flat`."""

    flat: Flat
    row: Ints
    begin: Ints
    end: Ints
    pattern: Ints

    def select(self, keep: Mask | Ints) -> Candidates:
        """Only some of them."""
        return Candidates(self.flat, self.row[keep], self.begin[keep], self.end[keep], self.pattern[keep])

    def free(self) -> Mask:
        """No letter on either side."""
        before = self.flat.char_before(self.begin, self.row)
        return ~(is_letter(before) | is_letter(self.flat.char_after(self.end, self.row)))


@dataclass(frozen=True)
class Compiled:
    """A lexicon as arrays over the matcher's patterns."""

    lex: Lexicon
    marker: Ints
    """Pattern -> index into `lex.markers`; CANCEL for a cancelling phrase, ABSENT for a pattern of other lexicons."""
    names: pl.DataFrame
    """Category and marker, as `hits` has them, in the order of `lex.markers`."""
    conditions: Conditions
    """Where patterns count that do not count everywhere."""
    standalone: Mask
    """Pattern must not touch a letter."""
    overlapping: Mask
    """Marker may overlap another occurrence of itself."""


ABSENT, CANCEL = -2, -1


class Matcher:
    """Finds the markers of several lexicons in one pass.

    Args:
        lexicons: distinct by name; hits come in their order.
    """

    def __init__(self, lexicons: Sequence[Lexicon]) -> None:
        spelled = {spelling: form for lex in lexicons for form in _all_forms(lex) for spelling in spellings(form)}
        spelled = dict(sorted(spelled.items(), key=lambda item: not item[0].isascii()))  # the plain ones first
        self.patterns = list(spelled)
        self._length = np.array([len(pattern) for pattern in self.patterns], np.int64)
        plain = [pattern for pattern in self.patterns if pattern.isascii()]
        self._few = Few(plain) if few.takes(plain) else None
        self._n_few = len(plain) if self._few else 0
        self._anchors, self._trie = Anchors(self.patterns[self._n_few :]), Trie(self.patterns[self._n_few :])
        # Names as numbers up to the file: hashing five columns of text a batch would cost more than matching.
        names = [lex.name for lex in lexicons]
        self._lexicon = pl.Series(names, dtype=pl.Enum(names))
        marker = pl.Enum(list(dict.fromkeys(marker for lex in lexicons for _, marker in lex.markers)))
        self._compiled = [_compile(lex, spelled, marker) for lex in lexicons]

    def candidates(self, texts: pl.Series, flat: Flat | None = None) -> Candidates:
        """Every occurrence of every pattern in a column of texts, also inside words and inside each other."""
        flat = flat or Flat.of(texts)
        begin, end, pattern = self._trie.walk(flat.data, self._anchors.places(texts, flat))
        if self._few is not None:
            begin, end, pattern = _merged(self._few.find(flat.data), (begin, end, pattern + self._n_few))
        row = flat.rows(begin)
        whole = end <= flat.starts[row + 1]
        found = Candidates(flat, row, begin, end, pattern)
        return found if whole.all() else found.select(whole)

    def hits(self, traces: pl.DataFrame, flat: Flat | None = None) -> pl.DataFrame:
        """The `hits` table of a batch of traces, by lexicon, then trace and start; columns of names are `Enum`s.

        `traces` needs trace_id, response, prompt, thinking_start, thinking_end and loop_start; `flat` is `Flat.of` the
        responses, for callers who have it already.
        """
        found = self.candidates(traces["response"], flat)
        start = found.flat.code_points(found.begin, found.row)
        kept = [self._kept(compiled, found, traces) for compiled in self._compiled]
        chosen = np.concatenate(kept)
        lexicon = np.repeat(np.arange(len(kept), dtype=np.uint8), [len(some) for some in kept])
        row, begin, pattern = found.row[chosen], start[chosen], found.pattern[chosen]
        names = [own.names[own.marker[found.pattern[some]]] for own, some in zip(self._compiled, kept, strict=True)]
        return pl.DataFrame(
            {
                "trace_id": traces["trace_id"].gather(row),
                "lexicon": self._lexicon.gather(lexicon),
                **pl.concat(names).to_dict(),
                "start": begin,
                "end": begin + self._length[pattern],
                "segment": _SEGMENT.gather((~_thinking(traces, row, begin)).astype(np.uint32)),
                "in_loop": begin >= _column(traces, "loop_start", FAR)[row],
            }
        )

    def _kept(self, own: Compiled, found: Candidates, traces: pl.DataFrame) -> Ints:
        """Which of the candidates are hits of one lexicon."""
        mine = np.flatnonzero(own.marker[found.pattern] != ABSENT)
        return mine[_RULES[own.lex.match](own, found.select(mine), traces)]


def _merged(first: Found, second: Found) -> Found:
    """Begins, ends and patterns of two searches, by begin, then end."""
    if not len(second[0]):
        return first
    begin, end, pattern = (np.concatenate(column) for column in zip(first, second, strict=True))
    order = np.lexsort((end, begin))
    return begin[order], end[order], pattern[order]


def _column(traces: pl.DataFrame, name: str, missing: int) -> Ints:
    return traces[name].cast(pl.Int64).fill_null(missing).to_numpy()


def _thinking(traces: pl.DataFrame, row: Ints, start: Ints) -> Mask:
    opened, closed = _column(traces, "thinking_start", FAR), _column(traces, "thinking_end", FAR)
    return (opened[row] <= start) & (start < closed[row])


def _all_forms(lex: Lexicon) -> list[str]:
    forms = [form for markers in lex.forms.values() for several in markers.values() for form in several]
    return list(dict.fromkeys([*forms, *lex.cancel]))


def spellings(form: str) -> list[str]:
    """The byte sequences by which a form in lower case is found: cases beyond ASCII, and both apostrophes.

    `str.lower` also maps the Kelvin sign to k, and the published counters lower the text first.
    """
    variants = [form]
    if not form.isascii():
        variants += [form.upper(), form.capitalize()]
    if "'" in form:
        variants.append(form.replace("'", CURLY))
    variants += [form[:i] + KELVIN + form[i + 1 :] for i, char in enumerate(form) if char == "k"]
    return list(dict.fromkeys(variant.translate(_ASCII_LOWER) for variant in variants))


_ASCII_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
"""What the search folds by itself."""


def _compile(lex: Lexicon, spelled: dict[str, str], marker: pl.Enum) -> Compiled:
    """`lex` over the matcher's patterns, given the form that each pattern spells."""
    forms = list(spelled.values())
    if lex.match in ("substring", "words"):  # as published: the letters as they are, in either case
        forms = ["" if CURLY in pattern and CURLY not in form else form for pattern, form in spelled.items()]
    index = {form: i for i, (c, m) in reversed(list(enumerate(lex.markers))) for form in lex.forms[c][m]}
    index.update(dict.fromkeys(lex.cancel, CANCEL))
    return Compiled(
        lex,
        np.array([index.get(form, ABSENT) for form in forms], np.int64),
        pl.DataFrame(lex.markers, {"category": pl.Enum(KINDS), "marker": marker}, orient="row"),
        Conditions(lex, forms),
        np.isin(forms, lex.standalone),
        np.array([_can_overlap(lex.forms[c][m]) for c, m in lex.markers])
        if lex.match == "substring"
        else np.zeros(0, bool),
    )


def _substring(own: Compiled, found: Candidates, traces: pl.DataFrame) -> Mask:
    return _apart(own, found)


def _words(own: Compiled, found: Candidates, traces: pl.DataFrame) -> Mask:
    return found.free()


def _characters(own: Compiled, found: Candidates, traces: pl.DataFrame) -> Mask:
    keep = ~own.standalone[found.pattern] | found.free()
    return _longest(own, found, keep)


def _senses(own: Compiled, found: Candidates, traces: pl.DataFrame) -> Mask:
    keep = _longest(own, found, found.free())
    condition = own.conditions.of[found.pattern]
    some = np.flatnonzero((condition >= 0) & keep)
    keep[some] = own.conditions.hold(found.flat, found.row[some], found.begin[some], found.end[some], condition[some])
    kept = np.flatnonzero(keep)
    chosen = found.select(kept)
    prose = ~senses.in_code(found.flat, chosen.begin, chosen.end, chosen.row)
    keep[kept] = prose & ~senses.echoed(found.flat, chosen.begin, chosen.end, chosen.row, traces["prompt"])
    return keep


_RULES = {"substring": _substring, "words": _words, "characters": _characters, "senses": _senses}


def _longest(own: Compiled, found: Candidates, keep: Mask) -> Mask:
    """Of those to keep, the ones that no longer one contains, and that cancel nothing."""
    kept = np.flatnonzero(keep)
    begin, end = found.begin[kept], found.end[kept]
    order = np.lexsort((-end, begin))
    reach = np.maximum.accumulate(end[order]) if len(order) else end
    contained = np.zeros(len(kept), bool)
    contained[order[1:]] = end[order[1:]] <= reach[:-1]
    keep = np.zeros(len(keep), bool)
    keep[kept[~contained & (own.marker[found.pattern[kept]] != CANCEL)]] = True
    return keep


def _apart(own: Compiled, found: Candidates) -> Mask:
    """All but those that overlap an earlier one of the same marker: `str.count` does not count 'haha' twice in 'hahaha'."""
    keep = np.ones(len(found.begin), bool)
    marker = own.marker[found.pattern]
    reach = dict.fromkeys(marker.tolist(), -1) if own.overlapping.any() else {}
    for i in np.flatnonzero(own.overlapping[marker]).tolist():  # few words can overlap themselves
        keep[i] = found.begin[i] >= reach[marker[i]]
        if keep[i]:
            reach[marker[i]] = found.end[i]
    return keep


def _can_overlap(forms: Sequence[str]) -> bool:
    """Whether two occurrences of these forms can share characters."""
    return any(
        a.endswith(b[:n]) for a in forms for b in forms for n in range(1, len(b) + (a != b)) if n <= len(a)
    ) or any(a != b and a in b for a in forms for b in forms)
