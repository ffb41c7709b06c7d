"""Random numbers that depend on nothing but seed, request and sample.

A row of a batch draws from a source of its own, so that a sample is the same alone, in any batch, and in a run that was
killed and goes on, as far as the logits are (they differ in the last bits between batches of different shape).
"""

from __future__ import annotations

import hashlib
import random


def base(seed: int, key: str) -> int:
    """31 bits for `key` under `seed`; sample `j` of an engine that takes one integer has the seed `base + j`."""
    digest = hashlib.sha256(f"{seed}\x1f{key}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def uniform(seed: int, key: str, sample: int) -> random.Random:
    """The source from which a sample draws one uniform number a token."""
    digest = hashlib.sha256(f"{seed}\x1f{key}\x1f{sample}".encode("utf-8", "surrogatepass")).digest()
    return random.Random(int.from_bytes(digest, "big"))
