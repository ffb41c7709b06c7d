"""What `epiverb lab` prints."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from epiverb.cli.sampling import EVERY, Rate
from epiverb.cli.terminal import printable


@contextmanager
def progress(label: str, *, quiet: bool = False) -> Iterator[Callable[[str, int, int | None, int], None]]:
    """A callback that shows steps on stderr: one moving line on a terminal, a line every ten seconds elsewhere."""
    rate, moving, last = Rate(), sys.stderr.isatty(), 0.0

    def update(stage: str, done: int, total: int | None, tokens: int) -> None:
        nonlocal last
        line, now = rate.line(stage, done, total, tokens).replace(" samples", " steps"), time.monotonic()
        if quiet or now - last < (0.2 if moving else EVERY):
            return
        last = now
        print(f"\r\x1b[K{label}: {line}" if moving else f"{label}: {line}", end="" if moving else "\n", file=sys.stderr)
        sys.stderr.flush()

    try:
        yield update
    finally:
        if moving and last and not quiet:
            print("\r\x1b[K", end="", file=sys.stderr)


def print_pretrained(result: dict[str, Any]) -> None:
    """What was trained, in two lines."""
    config = result["config"]
    print(
        f"{config['habit']}: {result['parameters'] / 1e6:.2f} M parameters, {config['steps']:,} steps, "
        f"{result['tokens'] / 1e6:.1f} M tokens, loss {result['loss']:.3f} nats, {result['cpu_seconds'] / 60:.0f} CPU minutes"
    )
    print(f"model  {printable(result['model'])}")
