"""Shape annotations are checked while the tests run (and only then: run-time checks would break torch.compile)."""

import os
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

# one thread a process: the tests then give the same bits whatever else the machine does
os.environ.setdefault("OMP_NUM_THREADS", "1")
install_import_hook(["mv2mae.model"], "beartype.beartype")

import torch  # noqa: E402

from mv2mae.config import ModelConfig  # noqa: E402

torch.set_num_threads(1)

FOOTAGE = Path(os.environ.get("MV2MAE_FOOTAGE", Path(__file__).parents[2] / "shared" / "footage"))


@pytest.fixture(scope="session")
def footage() -> Path:
    """The real four-camera take, which is not part of the repository."""
    if not (FOOTAGE / "cam01.mp4").exists():
        pytest.skip(f"no real footage in {FOOTAGE}; set MV2MAE_FOOTAGE to its folder")
    return FOOTAGE


@pytest.fixture
def tiny() -> ModelConfig:
    """A model that a test can train: 2x4x4 = 32 tokens."""
    return ModelConfig(
        num_frames=4,
        image_size=32,
        tubelet_size=(2, 8, 8),
        encoder_width=32,
        encoder_depth=2,
        encoder_heads=2,
        decoder_width=24,
        decoder_depth=2,
        decoder_heads=2,
    )


@pytest.fixture
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    """Source and target clips [4, 3, 4, 32, 32] in [0, 1]: smooth moving blobs, so that there is something to learn."""
    return moving_blobs(4, seed=1), moving_blobs(4, seed=2)


def moving_blobs(batch: int, *, seed: int, frames: int = 4, size: int = 32) -> torch.Tensor:
    """Coloured blobs that drift over a gradient, [batch, 3, frames, size, size] in [0, 1]."""
    g = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.linspace(0, 1, size), torch.linspace(0, 1, size), indexing="ij")
    start, speed = torch.rand(batch, 2, generator=g), torch.rand(batch, 2, generator=g) * 0.2 - 0.1
    colour = torch.rand(batch, 3, generator=g)
    t = torch.arange(frames)
    cy = (start[:, :1] + speed[:, :1] * t)[..., None, None]
    cx = (start[:, 1:] + speed[:, 1:] * t)[..., None, None]
    blob = torch.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 0.02)
    background = 0.3 * (x + y) / 2
    return (background + 0.7 * colour[:, :, None, None, None] * blob[:, None]).clamp(0, 1)
