"""Which tokens and token sequences the markers of a lexicon are in a vocabulary: the table that goes into the record.

    found = resolve(lexicons.load("kim2026"), tokenizer)
    found.rows         # one a spelling: marker, case and space, ids
    found.singles      # id -> marker, for every token that is a marker by itself
    found.unresolved   # form -> why it could not be found

Every form of every marker is looked for in every case (as it is, Capitalised, UPPER) and behind nothing, a space and a
line break, twice: by encoding the text, and by going through the vocabulary and reading each token. The table is what
the tokenizer would write. What is steered is more (`interventions`): the same words in any other tokens as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from epiverb.models.pieces import protected_ids, token_bytes
from epiverb.schema import EPISTEMIC
from epiverb.text.lexicon import Lexicon

SPACES = {"none": "", "space": " ", "newline": "\n"}


@dataclass(frozen=True)
class Spelling:
    """One way to write a form, and its tokens."""

    category: str
    marker: str
    form: str
    text: str
    """The form in one case, without the space before it."""
    space: str
    """What stands before it: a name of `SPACES`."""
    ids: tuple[int, ...]
    """Tokens from the one that holds the first letter to the last one."""
    exact: bool
    """Whether the tokens hold nothing but the text and the space before it."""


@dataclass(frozen=True)
class TokenSet:
    """What `resolve` found."""

    lexicon: str
    sha256: str
    spellings: tuple[Spelling, ...]
    singles: dict[int, str]
    """Token that is one form, in any case, with any white space around it -> its marker."""
    unresolved: dict[str, str] = field(default_factory=dict)
    """Form -> why it was not found."""

    @property
    def sequences(self) -> dict[tuple[int, ...], str]:
        """Several tokens that are one form -> its marker."""
        return {s.ids: s.marker for s in self.spellings if s.exact and len(s.ids) > 1}

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The table for the record, flat: one row a spelling, ids as text."""
        return [
            {
                "category": s.category, "marker": s.marker, "form": s.form, "text": s.text, "space": s.space,
                "n_tokens": len(s.ids), "ids": " ".join(map(str, s.ids)), "exact": s.exact,
            }
            for s in self.spellings
        ]  # fmt: skip

    def describe(self) -> dict[str, Any]:
        """For run.json: counts, single ids by marker, and what was not found."""
        by_marker: dict[str, list[int]] = {}
        for index, marker in sorted(self.singles.items()):
            by_marker.setdefault(marker, []).append(index)
        found = {s.marker for s in self.spellings} | set(by_marker)
        return {
            "lexicon": self.lexicon,
            "lexicon_sha256": self.sha256,
            "n_markers_resolved": len(found),
            "n_spellings": len(self.spellings),
            "n_single_ids": len(self.singles),
            "n_sequences": len(self.sequences),
            "single_ids": by_marker,
            "n_unresolved": len(self.unresolved),
            "unresolved": self.unresolved,
        }


def cases(form: str) -> list[str]:
    """The cases in which a form is written: as it is, lower, Capitalised, UPPER; each once.

    >>> cases("hold on")
    ['hold on', 'Hold on', 'HOLD ON']
    """
    return list(dict.fromkeys([form, form.lower(), form[:1].upper() + form[1:], form.upper()]))


def resolve(lex: Lexicon, tokenizer: Any, *, categories: Sequence[str] | None = None) -> TokenSet:
    """The spellings of every form of `lex` in the vocabulary of `tokenizer`.

    Args:
        categories: only these; None: the epistemic ones.
    """
    wanted = [c for c in lex.forms if c in (EPISTEMIC if categories is None else categories)]
    pieces = token_bytes(tokenizer)
    lead = _lead(tokenizer)
    spellings, unresolved = [], {}
    owner = {form: marker for c in reversed(wanted) for marker, forms in lex.forms[c].items() for form in forms}
    for category in wanted:
        for marker, forms in lex.forms[category].items():
            for form in forms:
                some = list(_spellings(category, marker, form, tokenizer, pieces, lead))
                spellings += some
                if not some:
                    unresolved[form] = "the vocabulary cannot write it: a part of it is the unknown token."
    singles = _scan(pieces, owner, protected_ids(tokenizer))
    for marker_form in [form for form in unresolved if owner[form] in singles.values() and _is_single(form, pieces)]:
        del unresolved[marker_form]
    return TokenSet(lex.name, lex.sha256, tuple(spellings), singles, unresolved)


def _is_single(form: str, pieces: list[bytes]) -> bool:
    return any(piece.decode(errors="replace").strip().lower() == form for piece in pieces)


def _lead(tokenizer: Any) -> list[int]:
    """Tokens of a text that may stand before anything without merging with it; empty where there is none."""
    ids = list(tokenizer.encode(",", add_special_tokens=False))
    return [] if tokenizer.unk_token_id in ids else ids


def _spellings(
    category: str, marker: str, form: str, tokenizer: Any, pieces: list[bytes], lead: list[int]
) -> Iterable[Spelling]:
    for text in cases(form):
        for name, space in SPACES.items():
            ids = list(tokenizer.encode(("," if lead else "") + space + text, add_special_tokens=False))
            if lead and ids[: len(lead)] == lead:
                ids = ids[len(lead) :]
            cut = _trim(ids, text.encode(), pieces)
            if cut is not None:
                yield Spelling(category, marker, form, text, name, *cut)


def _trim(ids: list[int], text: bytes, pieces: list[bytes]) -> tuple[tuple[int, ...], bool] | None:
    """The last of `ids` that hold `text`, and whether they hold nothing else but space; None where they do not end in it."""
    tail = b""
    for count, index in enumerate(reversed(ids), 1):
        tail = pieces[index] + tail
        if len(tail) >= len(text):
            rest = tail[: len(tail) - len(text)]
            return (tuple(ids[-count:]), not rest.strip()) if tail.endswith(text) else None
    return None


def _scan(pieces: list[bytes], owner: dict[str, str], kept: frozenset[int]) -> dict[int, str]:
    """Tokens that are a form by themselves: each token read, stripped and in lower case."""
    found = {}
    for index, piece in enumerate(pieces):
        word = piece.decode(errors="replace").strip().lower()
        if word in owner and index not in kept:
            found[index] = owner[word]
    return found
