"""What steering costs a step of decoding: a vocabulary of 151,000 tokens, one thread; beside what choosing a token costs.

    python benchmarks/steering.py [--rows 1 32] [--steps 100]

Printed in milliseconds a step, the median: the processor in all; the part of it that only counts what it did (the most
likely token, the probability of steered tokens); and the engine's own choice from the same logits. The text that is
followed is half single characters, so that markers are under way all the time. `first` holds the reading of the whole
vocabulary, once a run.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from epiverb.models.base import Row, Sampling
from epiverb.models.choose import choose
from epiverb.models.pieces import byte_alphabet
from epiverb.models.steering import processor, steer
from epiverb.text import lexicon

SIZE = 151_000


class Vocabulary:
    """A byte-level vocabulary of words, pieces of words and markers: as much of a tokenizer as steering reads."""

    eos_token_id = 255
    all_special_ids: tuple[int, ...] = ()

    def __init__(self, size: int, seed: int = 0) -> None:
        rng, letters = random.Random(seed), {byte: char for char, byte in byte_alphabet().items()}
        forms = (
            form
            for markers in lexicon.load("epiverb-en").forms.values()
            for several in markers.values()
            for form in several
        )
        words = [word for form in forms for word in form.split()]
        tokens = {letters[byte]: byte for byte in range(256)}
        while len(tokens) < size:
            word = (
                rng.choice(words)
                if rng.random() < 0.2
                else "".join(rng.choices("etaoinshrdlucmfwyp", k=rng.randint(2, 9)))
            )
            word = rng.choice([" ", ""]) + rng.choice([word, word.capitalize()])[: rng.randint(1, 9)]
            tokens.setdefault("".join(letters[byte] for byte in word.encode()), len(tokens))
        self.tokens, self.added_tokens_decoder = tokens, {}
        self.backend_tokenizer = self

    def get_vocab(self) -> dict[str, int]:
        return self.tokens

    def to_str(self) -> str:
        return '{"decoder": {"type": "ByteLevel"}}'


def milliseconds(function: Callable[[], Any], repeat: int = 1) -> float:
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        function()
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times)


def measured(name: str, vocabulary: Vocabulary, rows: int, steps: int) -> tuple[float, ...]:
    """Milliseconds: the first step, a step, counting, choosing."""
    act = processor(steer(lexicon.load(name), "ban"), vocabulary)
    act.begin([Row("k", j, 0) for j in range(rows)])
    ids, scores, times = torch.randint(0, SIZE, (rows, 1)), torch.randn(rows, SIZE), []
    for _ in range(steps):
        times.append(milliseconds(partial(act, ids, scores)))
        letters, any_token = torch.randint(97, 123, (rows,)), torch.randint(0, SIZE, (rows,))
        ids = torch.cat([ids, torch.where(torch.rand(rows) < 0.5, letters, any_token)[:, None]], 1)
    counting = milliseconds(lambda: (scores.logsumexp(-1), scores.argmax(-1)), 10)
    choosing = milliseconds(lambda: choose(scores, Sampling(), [0.5] * rows), 5)
    return times[0], statistics.median(times[1:]), counting, choosing


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 32])
    parser.add_argument("--steps", type=int, default=100)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    vocabulary = Vocabulary(SIZE)
    print(f"{'lexicon':12} {'rows':>4} {'first':>8} {'a step':>8} {'counting':>8} {'choosing':>8}  (ms)")
    for name in ("kim2026", "epiverb-en"):
        for rows in asked.rows:
            figures = measured(name, vocabulary, rows, asked.steps)
            print(f"{name:12} {rows:4} " + " ".join(f"{figure:8.1f}" for figure in figures))


if __name__ == "__main__":
    main()
