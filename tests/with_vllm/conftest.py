"""Tests against a real vLLM: `make test-vllm` runs them, in an environment of their own. Elsewhere they are skipped.

The folder is not called `vllm`: pytest puts `tests` on the path, where it would pass for the package.
"""

from __future__ import annotations

import importlib.util
import os

import pytest

from epiverb.models.base import Request
from tests.models.tiny import tiny_model

os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")  # GiB


def pytest_collection_modifyitems(items):
    if importlib.util.find_spec("vllm") is None:
        for item in items:
            if "/tests/with_vllm/" in str(item.path):
                item.add_marker(pytest.mark.skip(reason="vllm is not installed here; run: make test-vllm"))


def alike(step, known):
    """Whether two lists of the most likely tokens agree, but for the order of tokens as good as equally likely."""
    near = pytest.approx([value for _, value in known], abs=1e-3)
    values, last = dict(known), known[-1][1]
    return [value for _, value in step] == near and all(
        abs(values.get(token, last) - value) < 1e-3 for token, value in step
    )


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("models") / "qwen3", likely={"<|im_end|>": 3.05, "Wait": 2.0})


@pytest.fixture(scope="session")
def requests():
    """Chats with thinking on, off and as it is, of lengths that do not share a batch well."""
    texts = [
        "What is 2 + 2?",
        "设 $n$ 为正整数，求 $n$ 的值。 😀",
        "Correct solution:\n\n" + "Wait, 2 + 2 = 4. " * 12,
        "naïve café",
    ]
    return [
        Request(f"q{i}", messages=({"role": "user", "content": text},), thinking=thinking)
        for i, (text, thinking) in enumerate((text, thinking) for text in texts for thinking in (None, True, False))
    ]
