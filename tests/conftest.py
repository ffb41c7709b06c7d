"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import numpy as np
import pytest

# Tiny work on many threads is slower than on one, and two test processes share two cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# epiverb's messages are compared as text.
os.environ.update(NO_COLOR="1", COLUMNS="120")

# A deadline would test the machine, and how busy it is.
hypothesis.settings.register_profile("epiverb", deadline=None)
hypothesis.settings.load_profile("epiverb")

ROOT = Path(__file__).parent.parent


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20260324)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real traces and labelled markers beside the checkout; tests that need it skip without it."""
    folder = Path(os.environ.get("EPIVERB_SHARED", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"needs the real traces in {folder}, which is not there")
    return folder
