"""A classifier of three classes with random weights, and tiny videos of three performances with ragged views."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch
from tiny_videos import even_times, write_video

from mv2mae.config import ModelConfig, VideosConfig
from mv2mae.data.clips import EvalDataset
from mv2mae.data.manifest import make_frame, write_manifest
from mv2mae.data.videos import Videos
from mv2mae.data.windows import ClipSpec
from mv2mae.model.classifier import Classifier
from mv2mae.weights import CLASSIFIER, save_weights

CLASSES = ["walk", "sit, down", "wave"]
MODEL = ModelConfig(
    num_frames=4, image_size=32, tubelet_size=(2, 8, 8), encoder_width=32, encoder_depth=1, encoder_heads=2,
    decoder_width=24, decoder_depth=1, decoder_heads=2,
)  # fmt: skip


def make_run(folder: Path, seed: int = 0, labels: Sequence[int] = (0, 1, 2)) -> Path:
    """A folder with the weights of a classifier whose answers differ from clip to clip."""
    torch.manual_seed(seed)
    model = Classifier(MODEL, len(CLASSES))
    torch.nn.init.normal_(model.head.weight, std=3.0)
    about = {"classes": CLASSES, "labels": list(labels), "frame_stride": 2, "fps": None}
    save_weights(folder / "model.safetensors", model, CLASSIFIER, MODEL, **about)
    return folder


def make_videos(folder: Path) -> pd.DataFrame:
    """Three views of group a, two of b, one of c, of different lengths and rates; c is shorter than a clip."""
    lengths = {("a", 1): (50, 25), ("a", 2): (54, 30), ("a", 3): (40, 20),
               ("b", 1): (40, 25), ("b", 2): (48, 24), ("c", 1): (3, 25)}  # fmt: skip
    rows = []
    for (group, view), (frames, fps) in lengths.items():
        path = write_video(folder / group / f"{view}.mp4", even_times(frames, fps))
        rows.append({"path": str(path), "group": group, "view": view, "label": "abc".index(group), "subject": view % 2})
    return make_frame(rows)


def make_manifest(folder: Path, frame: pd.DataFrame) -> VideosConfig:
    """What tests all videos of a table; the names of its classes lie beside it."""
    manifest = write_manifest(frame, folder / "manifest.csv")
    (folder / "manifest.classes.json").write_text(json.dumps(CLASSES))
    return VideosConfig(manifest=str(manifest), test_query="view == view", frame_stride=2)


class DeadlyDataset(EvalDataset):
    """Its third video kills the process that reads it."""

    def __getitem__(self, index: int):
        if index == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(index)


def make_dataset(frame: pd.DataFrame, test, kind: type[EvalDataset] = EvalDataset) -> EvalDataset:
    return kind(frame, ClipSpec(num_frames=4, size=32, frame_stride=2), test=test, videos=Videos())
