"""Choosing a token: cases worked by hand, and frequencies against the probabilities."""

from __future__ import annotations

import math

import pytest
import torch

from epiverb.models.base import Sampling
from epiverb.models.choose import choose, truncated
from epiverb.models.seeds import base, uniform

PROBS = [0.1, 0.4, 0.05, 0.25, 0.2]
LOGITS = torch.tensor([[math.log(p) for p in PROBS]])


def at(number, **settings):
    return choose(LOGITS, Sampling(**settings), [number]).item()


@pytest.mark.parametrize(
    ("settings", "edges"),
    [
        # Where the cumulative sum passes, token by token in the order of ids: (number, token).
        (
            {},
            [
                (0.0, 0),
                (0.0999, 0),
                (0.1001, 1),
                (0.4999, 1),
                (0.5001, 2),
                (0.5499, 2),
                (0.5501, 3),
                (0.8001, 4),
                (0.9999, 4),
            ],
        ),
        ({"temperature": 0.0}, [(0.0, 1), (0.99, 1)]),
        # Squares over their sum .2750: .01 .16 .0025 .0625 .04
        ({"temperature": 0.5}, [(0.036, 0), (0.037, 1), (0.618, 1), (0.619, 2), (0.628, 3), (0.854, 3), (0.856, 4)]),
        ({"top_k": 2}, [(0.0, 1), (0.615, 1), (0.616, 3), (0.9999, 3)]),  # .4 of .65
        ({"top_k": 1}, [(0.0, 1), (0.9999, 1)]),
        ({"top_p": 0.6}, [(0.615, 1), (0.616, 3)]),  # .4 < .6 <= .65: two are kept
        ({"top_p": 0.66}, [(0.47, 1), (0.48, 3), (0.76, 3), (0.77, 4)]),  # .65 < .66: three, of .85
        ({"top_p": 1e-9}, [(0.0, 1), (0.9999, 1)]),
        ({"min_p": 0.49}, [(0.0, 1), (0.47, 1), (0.48, 3), (0.77, 4)]),  # at least .196
        ({"min_p": 0.24}, [(0.0, 0), (0.104, 0), (0.106, 1)]),  # at least .096: of .95
        # .9 of what top-k leaves, .4/.85 + .25/.85 = .76 < .9: all three
        ({"top_k": 3, "top_p": 0.9}, [(0.47, 1), (0.48, 3), (0.77, 4)]),
        ({"top_k": 3, "top_p": 0.7}, [(0.615, 1), (0.616, 3)]),
        ({"min_p": 0.49, "top_p": 0.7}, [(0.615, 1), (0.616, 3)]),  # min-p comes first: .4/.85 = .47 < .7 <= .76
    ],
)
def test_numbers_fall_where_the_sums_say(settings, edges):
    for number, token in edges:
        assert at(number, **settings) == token, (settings, number)


def test_rows_do_not_touch_each_other():
    logits = torch.randn(6, 50, generator=torch.Generator().manual_seed(1)) * 3
    numbers = [0.03, 0.2, 0.41, 0.63, 0.88, 0.999]
    for settings in ({}, {"top_k": 5}, {"top_p": 0.8}, {"min_p": 0.1, "temperature": 0.6}):
        sampling = Sampling(**settings)
        together = choose(logits, sampling, numbers).tolist()
        assert together == [choose(logits[i : i + 1], sampling, numbers[i : i + 1]).item() for i in range(6)]


def test_frequencies_are_the_probabilities():
    """Chi-squared over 8,000 draws with the engine's own source; 1e-4 of such draws would pass 23.5 at 4 degrees."""
    source = uniform(0, "q", 0)
    n = 8000
    tokens = choose(LOGITS.expand(n, -1), Sampling(), [source.random() for _ in range(n)])
    counts = torch.bincount(tokens, minlength=5)
    statistic = sum((counts[i].item() - n * p) ** 2 / (n * p) for i, p in enumerate(PROBS))
    assert statistic < 23.5


def test_minus_infinity_is_never_chosen():
    logits = LOGITS.clone()
    logits[0, [0, 4]] = -torch.inf
    for settings in ({}, {"top_k": 5, "top_p": 0.99}):
        assert {choose(logits, Sampling(**settings), [i / 100]).item() for i in range(100)} == {1, 2, 3}
    assert truncated(logits, Sampling())[0][0, 0] == 0


def test_seeds_are_fixed_for_good():
    """A run that goes on after an update of epiverb has to draw the same numbers."""
    assert base(0, "aime24/1") == int.from_bytes(bytes.fromhex(_sha("0\x1faime24/1"))[:4], "big") >> 1 < 2**31
    assert uniform(0, "q", 0).random() != uniform(0, "q", 1).random() != uniform(1, "q", 0).random()
    assert uniform(3, "aime24/1", 2).random() == 0.6012565839418591


def _sha(text):
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()
