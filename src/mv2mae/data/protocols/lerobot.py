"""Robot data: LeRobotDataset v3.0 and v2.1 (lerobot 0.6 writes the first), as they lie on disk.

A group is an episode, a view a camera, a label the task. In v3.0 many episodes lie one after another in one mp4, a
series of files for each camera: which file, and where in it, differs from camera to camera and is not told by the
table in which the robot's own readings lie. Time stamps are nominal (frame / rate): how far cameras were really apart
is stored nowhere, and `mv2mae check` can only estimate it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mv2mae.data.manifest import make_frame
from mv2mae.data.protocols.base import Indexed, Listing, Problems, Protocol, Split
from mv2mae.errors import InputError
from mv2mae.text import first_line

_VIDEO_PATHS = {
    "v3.0": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
    "v2.1": "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
}
_DATA_PATHS = {
    "v3.0": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
    "v2.1": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
}
_PARTS = {"train": "train", "val": "val", "validation": "val", "test": "test"}


@dataclass(frozen=True, kw_only=True)
class _Info:
    """What `meta/info.json` says."""

    root: Path
    version: str
    fps: float
    cameras: tuple[str, ...]
    video_path: str
    data_path: str
    chunks_size: int
    splits: Mapping[str, str]

    def place(self, template: str, **numbers: Any) -> str:
        """A path below the folder, relative to it."""
        try:
            path = os.path.normpath(template.format(**numbers))
        except (KeyError, IndexError, ValueError, AttributeError) as error:
            where = f"{self.root}/meta/info.json"
            raise InputError(f"{where}: the path {template!r} cannot be filled in ({_reason(error)})") from error
        if os.path.isabs(path) or path.startswith(".."):
            raise InputError(f"{self.root}/meta/info.json: the path {template!r} leads out of the folder")
        return path.replace(os.sep, "/")


@dataclass(frozen=True, kw_only=True)
class _Episode:
    """A row of the table of episodes."""

    index: int
    length: int
    tasks: tuple[str, ...]
    videos: Mapping[str, tuple[str, float]]
    """File and second at which the episode begins, by camera."""
    data: str
    """Table of its frames."""


def index(listing: Listing) -> Indexed:
    """Every camera of every episode; an episode with several tasks is cut where the task changes.

    Raises:
        InputError: no data set of these versions, a damaged table, or no camera that is stored as video.
    """
    info = _read_info(listing.root)
    tasks, there = _read_tasks(info), set(listing.files)
    problems: Problems = []
    episodes = _episodes_v3(info) if info.version == "v3.0" else _episodes_v21(info)
    rows = [row for episode in episodes for row in _rows(episode, info, tasks, there, problems)]
    if not rows and not problems:
        raise InputError(f"{listing.root}/meta lists no episodes")
    used = {str(row["path"]) for row in rows}
    return Indexed(
        frame=make_frame(rows),
        unmatched=tuple(file for file in listing.files if f"{listing.root}/{file}" not in used),
        class_names=tuple(tasks.get(number, str(number)) for number in range(max(tasks, default=-1) + 1)),
        problems=tuple(problems),
    )


def _rows(
    episode: _Episode, info: _Info, tasks: Mapping[int, str], there: set[str], problems: Problems
) -> Iterator[dict[str, object]]:
    """One a camera and task of an episode; what cannot be used is a problem."""
    name = f"{info.root.name}/ep{episode.index:06d}"
    try:
        parts = list(_parts(episode, info, tasks))
    except InputError as error:
        problems.append((name, str(error)))
        return
    for number, (first, length, label) in enumerate(parts):
        for camera, (file, begin) in episode.videos.items():
            if file not in there:
                problems.append((name, f"{camera}: no file {file}"))
                continue
            start = begin + first / info.fps
            yield {
                "path": f"{info.root}/{file}",
                "group": name if len(parts) == 1 else f"{name}/{number}",
                "view": camera,
                "label": label,
                "start": start,
                "end": start + length / info.fps,
                "part": _part(episode.index, info.splits),
            }


def _parts(episode: _Episode, info: _Info, tasks: Mapping[int, str]) -> Iterator[tuple[int, int, int | None]]:
    """First frame, length and label of each stretch with one task."""
    if episode.length <= 0:
        raise InputError(f"has a length of {episode.length} frames")
    number = {text: index for index, text in tasks.items()}
    if unknown := [text for text in episode.tasks if text not in number]:
        raise InputError(f"the task {unknown[0]!r} is not among those of meta/tasks")
    if len(episode.tasks) < 2:
        yield 0, episode.length, number[episode.tasks[0]] if episode.tasks else None
        return
    columns = ["episode_index", "frame_index", "task_index"]
    table = _read_parquet(info.root / episode.data, columns).to_pandas()
    mine = table[table["episode_index"] == episode.index].sort_values("frame_index")["task_index"].tolist()
    if len(mine) != episode.length:
        raise InputError(f"{episode.data} has {len(mine)} of its {episode.length} frames")
    first = 0
    for place in range(1, len(mine) + 1):
        if place == len(mine) or mine[place] != mine[first]:
            yield first, place - first, int(mine[first])
            first = place


def _part(episode: int, splits: Mapping[str, str]) -> str | None:
    """The official part of an episode, where the data set has more than a training part."""
    if set(splits) <= {"train"}:
        return None
    for name, span in splits.items():
        first, _, stop = str(span).partition(":")
        if first.isdigit() and stop.isdigit() and int(first) <= episode < int(stop):
            return _PARTS.get(name)
    return None


def _read_info(root: Path) -> _Info:
    file = root / "meta" / "info.json"
    if not file.is_file():
        raise InputError(f"no {file}; give the folder of a LeRobotDataset, which holds meta/, data/ and videos/")
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        version, features, fps = str(values["codebase_version"]), dict(values["features"]), float(values["fps"])
        kinds = {str(key): str(feature["dtype"]) for key, feature in features.items()}
        cameras = tuple(key for key, kind in kinds.items() if kind == "video" and not _is_depth(features[key]))
        chunks_size, splits = int(values.get("chunks_size") or 1000), dict(values.get("splits") or {})
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputError(f"{file} cannot be read: {_reason(error)}") from error
    form = {"v3": "v3.0", "v2": "v2.1"}.get(version.partition(".")[0])
    if form is None:
        raise InputError(
            f"{file}: codebase_version is {version}; v3.0 and v2.1 can be read (lerobot converts older ones)"
        )
    if fps <= 0:
        raise InputError(f"{file}: fps is {fps:g}, expected frames a second")
    if not cameras:
        images = [key for key, kind in kinds.items() if kind == "image"]
        hint = f"; {images[0]} lies as pictures in its tables, convert it to video with lerobot" if images else ""
        raise InputError(f"{file} names no camera that is stored as video{hint}")
    return _Info(
        root=root,
        version=form,
        fps=fps,
        cameras=cameras,
        video_path=str(values.get("video_path") or _VIDEO_PATHS[form]),
        data_path=str(values.get("data_path") or _DATA_PATHS[form]),
        chunks_size=chunks_size,
        splits=splits,
    )


def _is_depth(feature: Mapping[str, Any]) -> bool:
    facts = {**(feature.get("video_info") or {}), **(feature.get("info") or {})}
    return bool(facts.get("is_depth_map") or facts.get("video.is_depth_map"))


def _read_tasks(info: _Info) -> dict[int, str]:
    """Texts of the tasks by their numbers."""
    if info.version != "v3.0":
        return {
            int(row["task_index"]): str(row["task"])
            for row in _lines(info.root / "meta" / "tasks.jsonl", "task_index", "task")
        }
    table = _read_parquet(info.root / "meta" / "tasks.parquet", ["task_index"], whole=True).to_pandas()
    if "task" not in table.columns:  # the text is the index of pandas' table
        name = "__index_level_0__" if "__index_level_0__" in table.columns else None
        table = table.assign(task=table[name] if name else table.index)
    return {int(number): str(text) for number, text in zip(table["task_index"], table["task"], strict=True)}


def _episodes_v3(info: _Info) -> Iterator[_Episode]:
    files = sorted((info.root / "meta" / "episodes").glob("chunk-*/file-*.parquet"))
    if not files:
        raise InputError(f"no {info.root}/meta/episodes/chunk-*/file-*.parquet: the table of episodes is missing")
    own = ["episode_index", "tasks", "length", "data/chunk_index", "data/file_index"]
    places = ("chunk_index", "file_index", "from_timestamp")
    theirs = [f"videos/{camera}/{place}" for camera in info.cameras for place in places]
    for file in files:
        for row in _read_parquet(file, own + theirs).to_pylist():
            videos = {}
            for camera in info.cameras:
                chunk, number, start = (row[f"videos/{camera}/{place}"] for place in places)
                if chunk is None or number is None or start is None:  # this camera was off
                    continue
                path = info.place(info.video_path, video_key=camera, chunk_index=int(chunk), file_index=int(number))
                videos[camera] = path, float(start)
            numbers = {"chunk_index": row["data/chunk_index"], "file_index": row["data/file_index"]}
            yield _Episode(
                index=int(row["episode_index"]),
                length=int(row["length"]),
                tasks=tuple(dict.fromkeys(str(task) for task in row["tasks"] or ())),
                videos=videos,
                data=info.place(info.data_path, **numbers),
            )


def _episodes_v21(info: _Info) -> Iterator[_Episode]:
    for row in _lines(info.root / "meta" / "episodes.jsonl", "episode_index", "length"):
        number = int(row["episode_index"])
        place = {"episode_chunk": number // info.chunks_size, "episode_index": number}
        yield _Episode(
            index=number,
            length=int(row["length"]),
            tasks=tuple(dict.fromkeys(str(task) for task in row.get("tasks") or ())),
            videos={camera: (info.place(info.video_path, video_key=camera, **place), 0.0) for camera in info.cameras},
            data=info.place(info.data_path, **place),
        )


def _lines(file: Path, *keys: str) -> Iterator[dict[str, Any]]:
    """The objects of a .jsonl file, each with all of `keys`."""
    if not file.is_file():
        raise InputError(f"no {file}: this part of the data set is missing")
    for number, line in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            missing = [key for key in keys if key not in row]
        except (ValueError, TypeError) as error:
            raise InputError(f"{file}, line {number}, cannot be read: {_reason(error)}") from error
        if missing:
            raise InputError(f"{file}, line {number}, has no {missing[0]}")
        yield row


def _read_parquet(file: Path, columns: list[str], *, whole: bool = False) -> pa.Table:
    """Columns of a table, or all of it if it has these."""
    if not file.is_file():
        raise InputError(f"no {file}: this part of the data set is missing")
    try:
        there = pq.read_schema(file).names
        missing = [name for name in columns if name not in there]
        table = None if missing else pq.read_table(file, columns=None if whole else columns)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise InputError(f"{file} cannot be read as a table ({_reason(error)})") from error
    if table is None:
        raise InputError(f"{file} lacks the column {missing[0]}; is it of another version than meta/info.json says?")
    return table


def _reason(error: Exception) -> str:
    return f"no {error}" if isinstance(error, KeyError) else first_line(error)


_HELD_OUT = "group.str.contains('/ep[0-9]*[49](?:/|$)')"

PROTOCOL = Protocol(
    name="lerobot",
    index=index,
    splits={
        "official": Split(train="part == 'train'", test="part == 'test'"),
        "episodes": Split(train=f"not {_HELD_OUT}", test=_HELD_OUT),  # ours: numbers that end in 4 or 9 are the test
    },
)
