"""Fixtures of the training tests: seeded tensors, double precision."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="training needs the extra 'train'")


@pytest.fixture
def draw():
    """Seeded normal tensors: `draw(2, 3)`, float64 unless told."""
    source = torch.Generator().manual_seed(20260324)

    def normal(*shape, dtype=torch.float64, grad=False):
        return torch.randn(*shape, generator=source, dtype=torch.float64).to(dtype).requires_grad_(grad)

    return normal
