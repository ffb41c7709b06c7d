"""Tokenizers of the three kinds that vocabularies come in, trained on the spot."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

LINES = (
    "Wait, let me check this. Maybe it is 4. Waiting for the checkerboard, we checked the checkers.",
    "hold on, hold the line. Hmm, I think it might be likely, unlikely or await. WAIT! wait wait check check",
    "Perhaps so. Actually, it seems right; alternatively, perhaps not. Alternatively count. Maybe maybe.",
    "The rook moves on the checkerboard and the answer is 12 + 30 = 42.\n\nWait\nSo we go on.",
)
SPECIAL = ("<pad>", "<eos>", "<unk>")
KINDS = ("byte-level", "metaspace", "word-level")


@lru_cache
def tokenizer(kind: str) -> Any:
    """A fast tokenizer of that kind, with `<think>` and `</think>` as tokens of their own."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    if kind == "byte-level":
        raw = Tokenizer(models.BPE())
        raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        raw.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(vocab_size=420, initial_alphabet=alphabet, show_progress=False)
    elif kind == "metaspace":
        raw = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
        raw.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
        fallback = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
        raw.decoder = decoders.Sequence(fallback)
        bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
        trainer = trainers.BpeTrainer(vocab_size=520, special_tokens=["<unk>", *bytes_], show_progress=False)
    else:
        raw = Tokenizer(models.WordLevel(unk_token="<unk>"))
        raw.pre_tokenizer = pre_tokenizers.Whitespace()
        trainer = trainers.WordLevelTrainer(special_tokens=["<unk>"], show_progress=False)
    raw.train_from_iterator(LINES, trainer)
    # Trainers make added tokens of what they are given first; in released models the bytes are plain entries.
    raw = Tokenizer.from_str(json.dumps({**json.loads(raw.to_str()), "added_tokens": []}))
    raw.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    raw.add_tokens([AddedToken(token, special=False, normalized=False) for token in ("<think>", "</think>")])
    names = {"pad_token": "<pad>", "eos_token": "<eos>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=raw, clean_up_tokenization_spaces=False, **names)


def lexicon(match: str = "words", **categories: list[str]) -> Any:
    """A lexicon of these categories, as its file would give it."""
    from epiverb.text.lexicon import Lexicon

    return Lexicon(
        name="own", title="", source="", language="en", match=match, reviewed=True,
        forms={c: {form: (form,) for form in forms} for c, forms in categories.items()},
        cancel=(), initial=(), standalone=(), sha256="0" * 64,
    )  # fmt: skip
