"""A training that breaks down in the middle of a step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def power_cut(monkeypatch: pytest.MonkeyPatch, module: type, batch: int) -> Iterator[None]:
    """What runs inside must come to batch `batch` of a training with `module`, and stops there."""
    step = module.training_step  # type: ignore[attr-defined]

    def broken(self, items, batch_idx):
        if batch_idx == batch:
            raise RuntimeError("power cut")
        return step(self, items, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(module, "training_step", broken)
        with pytest.raises(RuntimeError, match="power cut"):
            yield
