"""The trained tiny model and problems of the sampling tests, and runs sampled with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.sample.conftest import epiverb, model, problems

__all__ = ["epiverb", "model", "problems"]

HOT = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "max_tokens": 48}


def _sampled(model: Path, problems: Path, out: Path, decoding: dict[str, Any], **settings: Any) -> Path:
    from epiverb.config import build
    from epiverb.configs.sample import SampleConfig
    from epiverb.verbs.sample import sample

    told = {"model": str(model), "data": [str(problems)], "out": str(out), "report": False, "draws": 200}
    sample(build(SampleConfig, {**told, **settings, "decoding": HOT | decoding}))
    return out


@pytest.fixture(scope="session")
def sampled(model, problems, tmp_path_factory) -> Path:
    """A run with stored token ids and the five most likely tokens of each: 12 problems, 3 samples. Not to be changed."""
    return _sampled(model, problems, tmp_path_factory.mktemp("runs") / "plain", {"logprobs": 5}, samples=3)


@pytest.fixture(scope="session")
def arms(model, problems, tmp_path_factory) -> Path:
    """A run with arms without context, with the answer and with a solution. Not to be changed."""
    told = {"samples": 3, "context": ["none", "answer", "solution"]}
    return _sampled(model, problems, tmp_path_factory.mktemp("runs") / "arms", {"logprobs": 1}, **told)


@pytest.fixture
def run(sampled, tmp_path) -> Path:
    """A copy of `sampled`."""
    return _copy(sampled, tmp_path / "run")


@pytest.fixture
def armed(arms, tmp_path) -> Path:
    """A copy of `arms`."""
    return _copy(arms, tmp_path / "armed")


def _copy(source: Path, target: Path) -> Path:
    import shutil

    shutil.copytree(source, target)
    return target
