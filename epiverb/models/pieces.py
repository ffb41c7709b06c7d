"""The bytes that each token of a vocabulary adds to a text, whatever the kind of tokenizer; and which must stay untouched."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from epiverb.text.thinking import FAMILIES

META = "\N{LOWER ONE EIGHTH BLOCK}"
"""What stands for a space in vocabularies made by SentencePiece."""
_BYTE = re.compile(r"^<0x([0-9A-Fa-f]{2})>$")
Span = tuple["int | None", "int | None"]
TAGS = tuple(tag for family in FAMILIES for tag in (family.opening, family.closing))


def token_bytes(tokenizer: Any) -> list[bytes]:
    """What each token of `tokenizer` adds to a text that is under way, by id; nothing where an id has no token.

    A space before a word belongs to the piece, also where only the decoder puts it there. What no single token tells: the
    byte tokens of SentencePiece (`<0x77>`) become replacement characters, letters too, where a run of them is no UTF-8.
    """
    vocabulary = tokenizer.get_vocab()
    kinds = decoders(tokenizer)
    pieces = [b""] * (max(vocabulary.values(), default=-1) + 1)
    added = {i: str(token) for i, token in getattr(tokenizer, "added_tokens_decoder", {}).items()}
    for token, index in vocabulary.items():
        pieces[index] = added[index].encode() if index in added else _piece(token, kinds, tokenizer, index)
    return pieces


def protected_ids(tokenizer: Any, more: Iterable[int] = ()) -> frozenset[int]:
    """Ids that no intervention touches: special tokens, the end of the turn, the tags of thinking.

    Args:
        more: ids that end a response by the model's generation config.
    """
    added = getattr(tokenizer, "added_tokens_decoder", {})
    tags = {index for index, token in added.items() if str(token).strip() in TAGS or token.special}
    vocabulary = tokenizer.get_vocab()
    tags |= {vocabulary[tag] for tag in TAGS if tag in vocabulary}
    ends = [tokenizer.eos_token_id, *more]
    return frozenset({*tags, *tokenizer.all_special_ids, *(i for i in ends if i is not None)})


def decoders(tokenizer: Any) -> set[str]:
    """Types of the decoders of a fast tokenizer: `ByteLevel`, `Metaspace`, ...; `unknown` for one written in Python."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return {"unknown"}
    decoder = json.loads(backend.to_str())["decoder"]
    if decoder is None:
        return {"none"}
    return {decoder["type"], *(inner["type"] for inner in decoder.get("decoders", []))}


def _piece(token: str, kinds: set[str], tokenizer: Any, index: int) -> bytes:
    if "ByteLevel" in kinds:
        table = byte_alphabet()
        return bytes(table[char] for char in token) if all(char in table for char in token) else token.encode()
    if kinds & {"Metaspace", "ByteFallback", "Replace"}:
        byte = _BYTE.match(token)
        return bytes([int(byte[1], 16)]) if byte else token.replace(META, " ").encode()
    if "WordPiece" in kinds:
        return token[2:].encode() if token.startswith("##") else b" " + token.encode()
    if "none" in kinds:  # the parts are joined by spaces
        return b" " + token.encode()
    return _in_context(tokenizer, index).encode()


def _in_context(tokenizer: Any, index: int) -> str:
    """What the token adds behind another one, by decoding both."""
    anchor = tokenizer.encode("a", add_special_tokens=False)
    return tokenizer.decode([*anchor, index])[len(tokenizer.decode(anchor)) :]


@lru_cache(maxsize=1)
def byte_alphabet() -> dict[str, int]:
    """Character -> the byte that it stands for in a byte-level vocabulary.

    Source: GPT-2's `bytes_to_unicode`: bytes that print stand for themselves, the others for characters from 256 on.
    """
    prints = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAC + 1), *range(0xAE, 0xFF + 1)]
    rest = [byte for byte in range(256) if byte not in prints]
    return {chr(byte): byte for byte in prints} | {chr(256 + i): byte for i, byte in enumerate(rest)}


def places(added: Sequence[bytes], text: str, given: int = 0) -> list[Span]:
    """Code points [start, end) of each token in `given` + `text`; nulls for all where the bytes do not spell the text.

    A token that holds a part of a character spans the whole of it. What stands behind the text (a stop string that was
    cut off) has no place.

    >>> places([b"ab", "é".encode()[:1], "é".encode()[1:]], "abé")
    [(0, 2), (2, 3), (2, 3)]
    >>> places([b"\\xc3", b"ab"], "\ufffdab")
    [(0, 1), (1, 3)]
    """
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    spelled: list[str] = []
    bounds, count, pending = [], 0, False
    for piece in added:
        new = decoder.decode(piece)
        spelled.append(new)
        # Bytes that were waiting for the rest of a character, and now will not get it, show as one sign of their own.
        broken = pending and piece != b"" and not 0x80 <= piece[0] < 0xC0
        start, count = count + broken, count + len(new)
        pending = bool(decoder.getstate()[0])
        bounds.append((start, count + pending))
    spelled.append(decoder.decode(b"", final=True))
    whole = "".join(spelled)
    # Vocabularies made by SentencePiece have a space before the first word that their decoders leave out.
    lead = 1 if whole.startswith(" ") and not text.startswith(" ") else 0
    if not whole[lead:].startswith(text):
        return [(None, None)] * len(added)
    end = len(text)
    return [
        (given + max(start - lead, 0), given + min(max(stop - lead, 0), end))
        if start - lead < end or not end
        else (None, None)
        for start, stop in bounds
    ]
