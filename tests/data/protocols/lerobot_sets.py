"""Small LeRobotDatasets, v3.0 and v2.1, laid out as lerobot 0.6 writes them: AV1, a key frame every other frame.

Pixels tell episode and time (`shown_at`), the same in every camera.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import av
import pandas as pd
from tiny_videos import even_times, write_video

os.environ.setdefault("SVT_LOG", "1")  # or its encoder tells each file its settings
FPS = 10
CAMERAS = {"observation.images.front": 3, "observation.images.wrist": 2}
"""Cameras, and how many episodes go into one of their files (a limit of size, in truth)."""
LENGTHS = (6, 5, 4, 6, 5)
TASKS = ("Pick up the cube", "Open the drawer")
EPISODE_TASKS = (("Pick up the cube",), ("Open the drawer",), ("Pick up the cube",), ("Open the drawer",), TASKS)


def shown_at(episode: int, frame: int) -> float:
    """What the pixels of a frame tell, as a time of `tiny_videos`."""
    return 0.4 * episode + 0.05 * frame


def task_numbers(episode: int) -> list[int]:
    """The task of each frame; the last episode changes its task after three frames."""
    numbers = [TASKS.index(text) for text in EPISODE_TASKS[episode]]
    return [numbers[0] if frame < 3 else numbers[-1] for frame in range(LENGTHS[episode])]


def make_v30(root: Path) -> Path:
    """Episodes one after another in shared files, whose numbers differ between cameras and from the data's."""
    _write_info(root, "v3.0")
    rows = [
        {
            "episode_index": i,
            "tasks": list(EPISODE_TASKS[i]),
            "length": LENGTHS[i],
            "data/chunk_index": 0,
            "data/file_index": i // 4,
            "dataset_from_index": sum(LENGTHS[:i]),
            "dataset_to_index": sum(LENGTHS[: i + 1]),
            "stats/action/mean": [0.0],
        }
        for i in range(len(LENGTHS))
    ]
    for camera, per_file in CAMERAS.items():
        for number in range(0, len(LENGTHS), per_file):
            _write_shared(root, camera, number // per_file, rows[number : number + per_file])
    (root / "meta" / "episodes" / "chunk-000").mkdir(parents=True)
    pd.DataFrame(rows[:4]).to_parquet(root / "meta/episodes/chunk-000/file-000.parquet", index=False)
    pd.DataFrame(rows[4:]).to_parquet(root / "meta/episodes/chunk-000/file-001.parquet", index=False)
    tasks = pd.DataFrame({"task_index": range(len(TASKS))}, index=pd.Index(TASKS, name="task"))
    tasks.to_parquet(root / "meta" / "tasks.parquet")
    for number, episodes in enumerate((range(4), range(4, 5))):
        _write_data(root / f"data/chunk-000/file-{number:03d}.parquet", episodes)
    return root


def make_v21(root: Path) -> Path:
    """A file for each episode and camera."""
    _write_info(root, "v2.1")
    for i in range(len(LENGTHS)):
        _write_data(root / f"data/chunk-000/episode_{i:06d}.parquet", [i])
        for camera in CAMERAS:
            _write_episode(root / f"videos/chunk-000/{camera}/episode_{i:06d}.mp4", i)
    lines = [{"episode_index": i, "tasks": list(EPISODE_TASKS[i]), "length": LENGTHS[i]} for i in range(len(LENGTHS))]
    _write_lines(root / "meta/episodes.jsonl", lines)
    _write_lines(root / "meta/tasks.jsonl", [{"task_index": i, "task": text} for i, text in enumerate(TASKS)])
    return root


def _write_info(root: Path, version: str) -> None:
    facts = {"video.height": 48, "video.width": 64, "video.codec": "av1", "video.pix_fmt": "yuv420p", "video.fps": FPS}
    video = {"dtype": "video", "shape": [48, 64, 3], "names": ["height", "width", "channels"]}
    features = {
        "observation.state": {"dtype": "float32", "shape": [1], "names": ["x"]},
        **{camera: {**video, "info": {**facts, "video.is_depth_map": False}} for camera in CAMERAS},
        "observation.images.depth": {**video, "info": {**facts, "is_depth_map": True}},
        "task_index": {"dtype": "int64", "shape": [1], "names": None},
    }
    shared = version == "v3.0"
    info = {
        "codebase_version": version,
        "robot_type": "so101",
        "total_episodes": len(LENGTHS),
        "total_frames": sum(LENGTHS),
        "total_tasks": len(TASKS),
        "chunks_size": 1000,
        "fps": FPS,
        "splits": {"train": f"0:{len(LENGTHS)}"},
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
        if shared
        else "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
        "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
        if shared
        else "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
        "features": features,
    }
    (root / "meta").mkdir(parents=True)
    (root / "meta" / "info.json").write_text(json.dumps(info, indent=4))


def _write_episode(path: Path, episode: int) -> Path:
    length = LENGTHS[episode]
    shown = [shown_at(episode, frame) for frame in range(length)]
    return write_video(path, even_times(length, FPS), shown=shown, codec="av1", gop=2)


def _write_shared(root: Path, camera: str, number: int, rows: list[dict[str, object]]) -> None:
    """Episodes joined without encoding them again, as lerobot does by FFmpeg's concat."""
    folder, begin, parts = root / "videos" / camera / "chunk-000", 0.0, []
    for row in rows:
        part = _write_episode(folder / f"part-{row['episode_index']}.mp4", int(str(row["episode_index"])))
        with av.open(str(part)) as container:
            stream = container.streams.video[0]
            duration = float(stream.duration * stream.time_base)
        row[f"videos/{camera}/chunk_index"], row[f"videos/{camera}/file_index"] = 0, number
        row[f"videos/{camera}/from_timestamp"], row[f"videos/{camera}/to_timestamp"] = begin, begin + duration
        begin += duration
        parts.append(part)
    listing = folder / "list.ffconcat"
    listing.write_text("ffconcat version 1.0\n" + "".join(f"file '{part.name}'\n" for part in parts))
    with (
        av.open(str(listing), format="concat", options={"safe": "0"}) as source,
        av.open(str(folder / f"file-{number:03d}.mp4"), "w", options={"movflags": "faststart"}) as target,
    ):
        stream = target.add_stream_from_template(source.streams.video[0], opaque=True)
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    for file in (listing, *parts):
        os.remove(file)


def _write_data(path: Path, episodes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        {
            "observation.state": [0.0],
            "timestamp": frame / FPS,
            "frame_index": frame,
            "episode_index": i,
            "task_index": n,
        }
        for i in episodes
        for frame, n in enumerate(task_numbers(i))
    ]
    pd.DataFrame(rows).to_parquet(path, index=False)


def _write_lines(path: Path, rows: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
