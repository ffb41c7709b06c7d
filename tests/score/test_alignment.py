"""Tokens and text: ids as stored, pieces of characters, spaces, and hits that several tokens hold."""

from __future__ import annotations

import numpy as np
import pytest

from epiverb.measures.markers import cover
from tests.models.tiny import tiny_tokenizer

pytest.importorskip("transformers")

TEXTS = (
    "Wait, maybe 4.  Hmm,\n\n perhaps   5?\tWait",
    "😀😀 wait 👩‍👩‍👧 maybe",
    "等等，让我再检查一下。 Wait 也许是 4",
    "naïve café — perhaps Ω≈√2 ﬁn",
    " \n leading and trailing \n ",
    "é",
)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("split", ["as encoded", "byte by byte"])
def test_each_token_covers_the_characters_that_it_holds_a_part_of(text, split):
    from epiverb.models.pieces import byte_alphabet, token_bytes
    from epiverb.verbs.sampling.tokens import places

    tokenizer = tiny_tokenizer("qwen3")
    pieces = token_bytes(tokenizer)
    if split == "as encoded":
        ids = tokenizer.encode(text, add_special_tokens=False)
    else:  # a sampler may write what no tokenizer would: each byte by itself
        back = {byte: char for char, byte in byte_alphabet().items()}
        ids = [tokenizer.convert_tokens_to_ids(back[byte]) for byte in text.encode()]
    spans = places([pieces[i] for i in ids], text)
    place = 0
    offsets = np.cumsum([0, *(len(char.encode()) for char in text)])
    for index, (start, end) in zip(ids, spans, strict=True):
        stop = place + len(pieces[index])
        assert start == np.searchsorted(offsets, place, side="right") - 1
        assert end == np.searchsorted(offsets, stop, side="left")
        place = stop
    assert place == len(text.encode())


def test_hits_find_their_tokens_in_text_of_many_scripts():
    from epiverb.models.pieces import token_bytes
    from epiverb.verbs.sampling.tokens import places

    tokenizer = tiny_tokenizer("qwen3")
    pieces = token_bytes(tokenizer)
    text = "😀 Wait 等等，double-check 也许"
    ids = tokenizer.encode(text, add_special_tokens=False)
    spans = places([pieces[i] for i in ids], text)
    hits = [(text.index(word), text.index(word) + len(word)) for word in ("Wait", "等等", "double-check", "也许")]
    found = cover(
        np.array([a for a, _ in spans]),
        np.array([b for _, b in spans]),
        np.array([a for a, _ in hits]),
        np.array([b for _, b in hits]),
    )
    assert found.n_lost == 0
    for first, stop, (start, end) in zip(found.first, found.stop, hits, strict=True):
        covered = text[spans[first][0] : spans[stop - 1][1]]
        assert text[start:end] in covered
        assert covered.strip(" ，") == text[start:end]
