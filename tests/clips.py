"""Clips with something to learn in them."""

import torch


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
