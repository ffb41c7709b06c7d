"""From sampled token ids to markers and the class of each token: a batch at once, in columns.

The ids are what was sampled; text is never encoded again. Their bytes tell where each token stands in the text, also where a
token holds a part of a character, and one search of the batch finds the markers of all responses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import polars as pl

from epiverb.measures.markers import cover
from epiverb.models.loading import end_ids
from epiverb.models.pieces import decoders, places, token_bytes
from epiverb.schema import EPISTEMIC
from epiverb.text import loops, thinking, words
from epiverb.text.match import Matcher
from epiverb.text.offsets import Flat
from epiverb.train.watch import Marked

if TYPE_CHECKING:
    from epiverb.text.lexicon import Lexicon

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
NONE, REST = 0, 1
AT_ONCE = 1 << 20
"""Tokens looked at together: what is held of each is some 60 bytes."""


class Marks:
    """Marks responses of one tokenizer by one lexicon.

    Args:
        configs: whose `eos_token_id` ends a response: the model's generation config and config.
    """

    def __init__(self, tokenizer: Any, lexicon: Lexicon, *configs: Any) -> None:
        self.lexicon = lexicon
        self.classes = ("none", "rest", *lexicon.forms)
        self.epistemic = np.array([name in EPISTEMIC for name in self.classes])
        self.eos = end_ids(tokenizer, *configs)
        self._tokenizer, self._matcher = tokenizer, Matcher([lexicon])
        self._pieces = token_bytes(tokenizer)
        self._lengths = np.array([len(piece) for piece in self._pieces], np.int64)
        self._offsets = np.concatenate([[0], np.cumsum(self._lengths)])
        self._bytes = np.frombuffer(b"".join(self._pieces), np.uint8)
        self._special = np.zeros(len(self._pieces), bool)
        self._special[[i for i in {*tokenizer.all_special_ids, *self.eos} if i < len(self._pieces)]] = True
        # Only byte-level vocabularies spell a token the same wherever it stands; others are read behind an anchor.
        byte_level = "ByteLevel" in decoders(tokenizer)
        self._anchor = [] if byte_level else tokenizer.encode("a", add_special_tokens=False)

    def __call__(self, ids: Sequence[Sequence[int]], prompts: Sequence[str | None] | None = None) -> list[Marked]:
        """The markers of each response, given without padding; a last token that ends the turn is not in its text."""
        shown = [None] * len(ids) if prompts is None else prompts
        marked: list[Marked] = []
        for part in _blocks(ids):
            marked += self._block(ids[part], shown[part])
        return marked

    def _block(self, ids: Sequence[Sequence[int]], prompts: Sequence[str | None]) -> list[Marked]:
        ended = [len(row) > 0 and int(row[-1]) in self.eos for row in ids]
        own = [np.asarray(row, np.int64)[: len(row) - end] for row, end in zip(ids, ended, strict=True)]
        texts = pl.Series("response", self._decode(own), dtype=pl.String)
        flat = Flat.of(texts)
        frame = pl.DataFrame(
            {
                "trace_id": pl.int_range(len(texts), dtype=pl.UInt32, eager=True),
                "response": texts,
                "prompt": pl.Series(prompts, dtype=pl.String),
                "finish_reason": pl.Series(["stop" if end else "length" for end in ended], dtype=pl.String),
            }
        ).with_columns(loops.find(texts, flat)["loop_start"], words.count(texts))
        hits = self._matcher.hits(thinking.annotate(frame), flat)
        start, end = self._spans(own, texts, flat)
        classes, lost = self._classes(own, start, end, texts, hits)
        return self._rows(ended, frame, hits, classes, lost)

    def _decode(self, rows: list[Ints]) -> list[str]:
        lists = [[*self._anchor, *row.tolist()] for row in rows]
        backend = getattr(self._tokenizer, "backend_tokenizer", None)
        if backend is not None:  # what transformers adds would look at each id in Python
            texts = backend.decode_batch([self._anchor, *lists], skip_special_tokens=False)
        else:
            plain = {"skip_special_tokens": False, "clean_up_tokenization_spaces": False}
            plain["spaces_between_special_tokens"] = False
            texts = [self._tokenizer.decode(row, **plain) for row in (self._anchor, *lists)]
        return [text[len(texts[0]) :] for text in texts[1:]]

    def _spans(self, rows: list[Ints], texts: pl.Series, flat: Flat) -> tuple[Ints, Ints]:
        """Code points [start, end) of the tokens of all rows, one behind the other; -1 where a token has none."""
        ids, sizes = _joined(rows)
        known = (ids >= 0) & (ids < len(self._pieces))
        safe = np.where(known, ids, 0)
        lengths = np.where(known, self._lengths[safe], 0)
        ends = np.cumsum(lengths)
        begins = ends - lengths
        data = self._bytes[
            np.repeat(self._offsets[safe] - begins, lengths) + np.arange(int(ends[-1]) if len(ends) else 0)
        ]
        bounds = np.concatenate([[0], ends])[np.concatenate([[0], np.cumsum(sizes)])]  # bytes before each row
        letter = np.cumsum((data & 0xC0) != 0x80) - 1  # number of the code point that each byte belongs to
        base = np.concatenate([[0], letter + 1])[bounds[:-1]].repeat(sizes)
        some = lengths > 0
        start, end = np.full(len(ids), -1), np.full(len(ids), -1)
        start[some] = letter[begins[some]] - base[some]
        end[some] = letter[ends[some] - 1] + 1 - base[some]
        token = np.concatenate([[0], np.cumsum(sizes)])
        for row in self._unlike(data, bounds, flat):  # few: tokens that spell no UTF-8, or are not spelled as decoded
            spelled = [self._pieces[i] if 0 <= i < len(self._pieces) else b"" for i in rows[row].tolist()]
            own = places(spelled, texts[row])
            at = slice(token[row], token[row + 1])
            start[at] = [-1 if a is None or not piece else a for (a, _), piece in zip(own, spelled, strict=True)]
            end[at] = [-1 if b is None or not piece else b for (_, b), piece in zip(own, spelled, strict=True)]
        return start, end

    @staticmethod
    def _unlike(data: npt.NDArray[np.uint8], bounds: Ints, flat: Flat) -> list[int]:
        """The rows whose tokens' bytes are not those of their text."""
        if np.array_equal(bounds, flat.starts) and np.array_equal(data, flat.data):
            return []
        return [
            row
            for row in range(len(bounds) - 1)
            if not np.array_equal(
                data[bounds[row] : bounds[row + 1]], flat.data[flat.starts[row] : flat.starts[row + 1]]
            )
        ]

    def _classes(
        self, rows: list[Ints], start: Ints, end: Ints, texts: pl.Series, hits: pl.DataFrame
    ) -> tuple[list[Ints], Mask]:
        """The class of each token of each row, and of each hit whether no token covers it."""
        ids, sizes = _joined(rows)
        # One line of code points for the whole batch, with a gap between rows that no token and no hit lies in.
        room = texts.str.len_chars().cast(pl.Int64).to_numpy() + 1
        base = np.concatenate([[0], np.cumsum(room)])
        shift = base[:-1].repeat(sizes)
        row = hits["trace_id"].to_numpy().astype(np.int64)
        code = hits["category"].cast(pl.String).replace_strict(
            {name: i for i, name in enumerate(self.classes)}, return_dtype=pl.Int64
        ).to_numpy()  # fmt: skip
        hit_start, hit_end = (hits[name].to_numpy() + base[row] for name in ("start", "end"))
        placed = start >= 0
        at = cover(np.where(placed, start + shift, -1), np.where(placed, end + shift, -1), hit_start, hit_end)
        classes = np.where(placed, REST, NONE)
        lost = np.ones(len(hits), bool)
        lost[at.hit] = False
        rank = np.argsort(self.epistemic[code[at.hit]], kind="stable")  # of two on a token the epistemic one has it
        width = (at.stop - at.first)[rank]
        inside = np.repeat(at.first[rank] - np.cumsum(width) + width, width) + np.arange(int(width.sum()))
        classes[inside] = np.repeat(code[at.hit][rank], width)
        beyond = (ids < 0) | (ids >= len(self._pieces))
        classes[~placed | beyond | self._special[np.where(beyond, 0, ids)]] = NONE
        return np.split(classes, np.cumsum(sizes)[:-1]), lost

    def _rows(
        self, ended: list[bool], frame: pl.DataFrame, hits: pl.DataFrame, classes: list[Ints], lost: Mask
    ) -> list[Marked]:
        row = hits["trace_id"].to_numpy().astype(np.int64)
        edges = np.searchsorted(row, np.arange(len(ended) + 1)).tolist()
        missed = np.bincount(row[lost], minlength=len(ended)).tolist()
        categories, markers = (_counted(hits, name, len(ended)) for name in ("category", "marker"))
        shown = hits.drop("trace_id")
        marked = []
        facts = frame.select("response", "n_words", "loop_start").iter_rows()
        for i, (text, n_words, loop_start) in enumerate(facts):
            own = np.append(classes[i], NONE) if ended[i] else classes[i]
            counts = dict.fromkeys(self.lexicon.forms, 0) | categories[i]
            n_markers = sum(n for category, n in counts.items() if category in EPISTEMIC)
            found = shown[edges[i] : edges[i + 1]]
            marked.append(
                Marked(
                    text=text,
                    classes=own,
                    is_marker=self.epistemic[own],
                    n_tokens=len(classes[i]),
                    n_words=n_words,
                    counts=counts,
                    markers=markers[i],
                    hits=found,
                    loop_start=loop_start,
                    n_markers=n_markers,
                    n_lost=missed[i],
                )
            )
        return marked


def _counted(hits: pl.DataFrame, column: str, n: int) -> list[dict[str, int]]:
    """For each of `n` rows, how often each value of `column` occurs among its hits."""
    counted: list[dict[str, int]] = [{} for _ in range(n)]
    found = hits.group_by("trace_id", column, maintain_order=True).len()
    for row, name, count in found.with_columns(pl.col(column).cast(pl.String)).iter_rows():
        counted[row][name] = count
    return counted


def _blocks(ids: Sequence[Sequence[int]]) -> Iterator[slice]:
    """Slices of the rows of about `AT_ONCE` tokens each."""
    first = held = 0
    for row in range(len(ids)):
        held += len(ids[row])
        if held >= AT_ONCE or row == len(ids) - 1:
            yield slice(first, row + 1)
            first, held = row + 1, 0


def _joined(rows: list[Ints]) -> tuple[Ints, Ints]:
    """All ids one behind the other, and how many each row has."""
    return np.concatenate([np.zeros(0, np.int64), *rows]), np.array([len(row) for row in rows], np.int64)
