"""A LeRobotDataset to the task that a robot does: index, pre-train, fine-tune, predict.

python robot_data.py [FOLDER]    # of a LeRobotDataset, v3.0 or v2.1; a small one is made up without it
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

import mv2mae
from mv2mae.config import EvalConfig
from mv2mae.data.indexing import index
from mv2mae.data.protocols import select
from mv2mae.synthetic.encode import write_video

CAMERAS = ("observation.images.front", "observation.images.wrist")
TASKS = ("Pick up the cube", "Open the drawer")


def made_up(root: Path, num: int = 6, length: int = 12, fps: int = 10) -> Path:
    """A set of version v3.0: all episodes one after another in one file a camera; a square that moves by the task."""
    frames = np.full((num, length, 48, 48, 3), 40, np.uint8)
    for episode in range(num):
        for time in range(length):
            place = 3 * time if episode % 2 else 36 - 3 * time
            frames[episode, time, 16:28, place : place + 12] = 220
    rows = [{"episode_index": i, "tasks": [TASKS[i % 2]], "length": length} for i in range(num)]
    episodes = pd.DataFrame(rows).assign(**{"data/chunk_index": 0, "data/file_index": 0})
    for camera in CAMERAS:
        file = root / "videos" / camera / "chunk-000" / "file-000.mp4"
        file.parent.mkdir(parents=True)
        write_video(file, frames.reshape(-1, 48, 48, 3), fps=fps, crf=20)
        places = {"chunk_index": 0, "file_index": 0, "from_timestamp": [i * length / fps for i in range(num)]}
        episodes = episodes.assign(**{f"videos/{camera}/{place}": value for place, value in places.items()})
    (root / "meta" / "episodes" / "chunk-000").mkdir(parents=True)
    episodes.to_parquet(root / "meta" / "episodes" / "chunk-000" / "file-000.parquet")
    tasks = pd.DataFrame({"task_index": range(len(TASKS))}, index=pd.Index(TASKS, name="task"))
    tasks.to_parquet(root / "meta" / "tasks.parquet")
    info = {"codebase_version": "v3.0", "fps": fps, "features": {camera: {"dtype": "video"} for camera in CAMERAS}}
    (root / "meta" / "info.json").write_text(json.dumps(info))
    return root


small = {
    "num_frames": 4,
    "image_size": 32,
    "tubelet_size": (2, 8, 8),
    "encoder_width": 48,
    "encoder_depth": 2,
    "encoder_heads": 2,
}
quick = {"steps": 4, "warmup_steps": 1, "batch_size": 4}
data = {"split": "lerobot/episodes", "frame_stride": 1}  # tests on the episodes whose number ends in 4 or 9

with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    root = sys.argv[1] if len(sys.argv) > 1 else made_up(folder / "cubes")
    manifest = index("lerobot", root, folder / "manifest.csv")
    run = mv2mae.pretrain(manifest, folder / "pretrain", model={**small, "decoder_width": 24}, data=data, optim=quick)
    model = mv2mae.finetune(manifest, folder / "finetune", start=run, model=small, data=data, optim=quick)
    test = select(mv2mae.read_manifest(manifest), split=data["split"], part="test")
    found, _ = model.load().predict_each(test, EvalConfig(num_clips=1, num_crops=1), progress=False)
for episode in found:
    print(f"{episode.name}, {len(episode.files)} cameras: {episode.label} ({episode.probabilities.max():.2f})")
