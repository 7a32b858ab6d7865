"""Videos and models small enough for the viewer's tests."""

import dataclasses
from pathlib import Path

import numpy as np
import torch
from tiny_videos import even_times, write_video

from mv2mae.config import ModelConfig
from mv2mae.model.pretraining import MV2MAE

VIEWS = {"walk": ("left", "right", "top"), "wave": ("left", "right"), "alone": ("left",)}


def film(path: Path, *, speed: int = 2, frames: int = 12, size: tuple[int, int] = (48, 64), start: float = 0.0) -> Path:
    """A bright square that crosses a dark frame; 10 frames a second."""

    def image(time: float) -> np.ndarray:
        pixels = np.full((*size, 3), 30, np.uint8)
        at = round(10 * speed * time) % (size[1] - 16)
        pixels[16:32, at : at + 16] = (250, 200, 60)
        return pixels

    times = even_times(frames, 10, start)
    return write_video(path, times, shown=even_times(frames, 10), size=size, image=image)


def make_model(config: ModelConfig, **changes: object) -> MV2MAE:
    torch.manual_seed(0)
    model = MV2MAE(dataclasses.replace(config, **changes)).eval()
    for parameter in model.parameters():  # so that biases, norms and attention differ from their even beginning
        parameter.data += 0.2 * torch.randn_like(parameter)
    return model
