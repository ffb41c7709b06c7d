"""`python -m epiverb.lab.claims.child ARGS`: `python -m epiverb ARGS` that ends with the process that started it.

A killed parent would leave it at work, holding its folder, and the same command given again could not go on there.
"""

from __future__ import annotations

import ctypes
import os
import runpy
import signal
import sys

_SET_DEATH_SIGNAL = 1


def tie(parent: int) -> None:
    """Let the kernel end this process when `parent` ends (Linux; elsewhere nothing happens)."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:  # it has ended in the meantime
        os._exit(1)


if __name__ == "__main__":
    tie(int(os.environ.pop("EPIVERB_PARENT")))
    sys.argv[0] = "epiverb"
    runpy.run_module("epiverb", run_name="__main__")
