"""The bytes that each token of a vocabulary adds to a text, whatever the kind of tokenizer; and which must stay untouched."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from epiverb.text.thinking import FAMILIES

META = "\N{LOWER ONE EIGHTH BLOCK}"
"""What stands for a space in vocabularies made by SentencePiece."""
_BYTE = re.compile(r"^<0x([0-9A-Fa-f]{2})>$")
TAGS = tuple(tag for family in FAMILIES for tag in (family.opening, family.closing))


def token_bytes(tokenizer: Any) -> list[bytes]:
    """What each token of `tokenizer` adds to a text that is under way, by id; nothing where an id has no token.

    A space before a word belongs to the piece, also where only the decoder puts it there. What no single token tells: the
    byte tokens of SentencePiece (`<0x77>`) become replacement characters, letters too, where a run of them is no UTF-8.
    """
    vocabulary = tokenizer.get_vocab()
    kinds = _decoders(tokenizer)
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


def _decoders(tokenizer: Any) -> set[str]:
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
