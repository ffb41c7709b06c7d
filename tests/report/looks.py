"""How a page looks: contrast of two colours, and text about as dense as a real trace."""

from __future__ import annotations

import random
import re
import time


def contrast(a: str, b: str) -> float:
    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def hexed(rgb: str) -> str:
    return "#" + "".join(f"{int(part):02x}" for part in re.findall(r"\d+", rgb)[:3])


def prose(rng: random.Random, words: int) -> str:
    """Text about as dense as a real trace: a large vocabulary, figures, formulas."""
    vocabulary = ["".join(rng.choices("etaoinshrdlu", k=rng.randint(2, 9))) for _ in range(3000)]
    parts = [
        rng.choice(vocabulary) if rng.random() < 0.7 else f"{rng.randint(2, 999)}x^{rng.randint(2, 9)}"
        for _ in range(words)
    ]
    parts[::40] = ["Wait,"] * len(parts[::40])
    return " ".join(parts)


def until(page, expression: str, seconds: float = 20.0):
    """What `expression` gives once it holds; the page's policy forbids Playwright's own way of waiting for it."""
    end = time.monotonic() + seconds
    while not (value := page.evaluate(expression)):
        assert time.monotonic() < end, expression
        page.wait_for_timeout(30)
    return value
