"""A tiny encoder on disk, and a few labelled videos of the sample set."""

import torch

from mv2mae.config import VideosConfig
from mv2mae.data.manifest import read_manifest, write_manifest
from mv2mae.model.encoder import Encoder
from mv2mae.weights import ENCODER, save_weights

FEW = "subject in [1, 2, 3, 4, 5] and label in [5, 7] and setup == 1"
DATA = VideosConfig(frame_stride=8)


def tiny_weights(path, config, seed=7):
    """A weights file of an encoder that nobody trained."""
    torch.manual_seed(seed)
    save_weights(path, Encoder(config), ENCODER, config, frame_stride=8, fps=None)
    return path


def few_videos(path, query=FEW, broken=()):
    """A manifest of a few sample videos, some of them cut off after 2,000 bytes."""
    rows = read_manifest("sample").query(query, engine="python").reset_index(drop=True)
    for row in broken:
        cut = path.with_name(f"cut{row}.mp4")
        with open(rows.loc[row, "path"], "rb") as file:
            cut.write_bytes(file.read(2000))
        rows.loc[row, "path"] = str(cut)
    return write_manifest(rows, path)
