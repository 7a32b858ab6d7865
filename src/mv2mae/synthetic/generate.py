"""Makes synthetic multi-view data sets: `generate` writes one, `generate_frames` gives the frames of one
performance.
"""

import json
import multiprocessing
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import pandas as pd
import torch
from rich.progress import track

from mv2mae.data.manifest import COLUMNS, write_manifest
from mv2mae.data.protocols.synthetic import PROTOCOL
from mv2mae.data.videos import ProblemLog
from mv2mae.errors import InputError
from mv2mae.files import sweep, write_json
from mv2mae.records import read_record, write_record
from mv2mae.synthetic.data_set import CAMERA, DISTRACTOR, FILM, MOTION, RIG, ROOM, Group, SyntheticSet
from mv2mae.synthetic.difficulty import DIFFICULTIES
from mv2mae.synthetic.encode import room_on_disk, write_video
from mv2mae.synthetic.people.performance import animate
from mv2mae.synthetic.render.film import Footage, Take, film
from mv2mae.synthetic.render.stage import Stage
from mv2mae.synthetic.render.truth import write_truth
from mv2mae.synthetic.world.cameras import Camera, draw_rig
from mv2mae.synthetic.world.distractors import draw_distractors
from mv2mae.synthetic.world.mesh import Mover
from mv2mae.synthetic.world.moving import move
from mv2mae.synthetic.world.rooms import Room, draw_room
from mv2mae.text import counted

_WRITTEN = ("synth.json", "classes.json", "cameras.json", "splits.json", "manifest.csv")


@lru_cache(maxsize=2)
def build_setup(config: SyntheticSet, setup: int) -> dict[int, Stage]:
    """The room of a setup as each of its cameras sees it, by view."""
    cameras, room = plan_setup(config, setup)
    return {camera.view: Stage(room, camera, config.size) for camera in cameras}


def plan_setup(config: SyntheticSet, setup: int) -> tuple[list[Camera], Room]:
    """Where the cameras of a setup stand, and in which room; nothing is drawn yet."""
    rig = 0 if config.same_cameras else setup

    def draw(view: int) -> np.random.Generator:
        return config.rng(CAMERA, rig, view) if view else config.rng(RIG, rig)

    cameras = draw_rig(draw, config.cameras, config.num_cameras, config.azimuth_ranges, config.azimuths)
    return cameras, draw_room(config.rng(ROOM, setup), cameras, DIFFICULTIES[config.difficulty].occluders)


def generate_frames(config: SyntheticSet, group: Group, views: tuple[int, ...] | None = None) -> dict[int, np.ndarray]:
    """The videos of one performance, not encoded: {view: [t, size, size, 3] uint8}. Nothing that ran before
    changes them.
    """
    return {view: footage.frames.numpy() for view, footage in film_group(config, group, views).items()}


def film_group(config: SyntheticSet, group: Group, views: tuple[int, ...] | None = None) -> dict[int, Footage]:
    """The footage of one performance by view, with the ground truth that the configuration asks for."""
    stages, views = build_setup(config, group.setup), views or config.views
    cameras = [stage.camera for stage in stages.values()]
    movers = cast_group(config, group, cameras, next(iter(stages.values())).room)
    takes = [make_take(config, group, stages[view], movers) for view in views]
    return dict(zip(views, film(takes, truth=config.truth), strict=True))


def cast_group(config: SyntheticSet, group: Group, cameras: list[Camera], room: Room) -> tuple[Mover, ...]:
    """All that moves in a performance: the person, then props, then what moves on its own before these cameras."""
    level = DIFFICULTIES[config.difficulty]
    others = draw_distractors(
        config.rng(DISTRACTOR, *group.key),
        level.distractors,
        room,
        cameras,
        np.arange(config.num_frames) / config.fps,
        group.subject,
        crowd=level.crowd,
    )
    return (*animate(config, group).movers, *others)


def make_take(config: SyntheticSet, group: Group, stage: Stage, movers: tuple[Mover, ...]) -> Take:
    """A performance before one camera."""
    seed = int(config.rng(FILM, *group.key, stage.camera.view).integers(1 << 63))
    path = camera_path(config, group, stage.camera)
    added = DIFFICULTIES[config.difficulty].disturbance
    return Take(stage=stage, movers=movers, disturbance=added, seed=seed, path=path)


def camera_path(config: SyntheticSet, group: Group, camera: Camera) -> tuple[Camera, ...]:
    """The poses of a camera in each frame of a performance; nothing where it stands still."""
    rng = config.rng(MOTION, *group.key, camera.view)
    return move(camera, config.camera_motion, rng, np.arange(config.num_frames) / config.fps)


def generate(out: str | Path, config: SyntheticSet, *, num_processes: int = 1, progress: bool = True) -> pd.DataFrame:
    """Writes a data set and returns its manifest.

    Into `out` go videos/, manifest.csv, splits.json (the splits of the protocol `synthetic`: queries over the manifest,
    and how many videos they pick), cameras.json (poses by setup and view: `cameras.read_cameras`), classes.json (names
    by label) and synth.json (the configuration). Videos that are already there are kept, so that an interrupted run
    goes on where it stopped; the bytes do not depend on `num_processes`.

    Raises:
        InputError: the folder holds videos made with other settings, or the disk is full.
    """
    out = Path(out)
    out = Path(out)
    groups = config.groups()
    _check_resumable(out / "synth.json", config)
    setups = dict.fromkeys(group.setup for group in groups)
    with room_on_disk(out / "synth.json"):
        (out / "videos").mkdir(parents=True, exist_ok=True)
        write_record(out / "synth.json", {"config": config.to_json(), "versions": versions()})
        write_json(out / "classes.json", {str(k): name for k, name in config.class_names.items()})
        write_json(out / "cameras.json", {str(setup): _describe(config, setup) for setup in setups})
        if config.library is not None:
            _write_problems(out / "problems.jsonl", config.library.problems)
    tasks = [(out, config, group) for group in groups]
    try:
        steps = _run(tasks, num_processes)
        for _ in track(steps, total=len(tasks), description="synth", disable=not progress):
            pass
    finally:
        sweep(out / "videos")  # of processes that another's error ended
        sweep(out, *(f".{name}.*.tmp" for name in _WRITTEN))  # of those that were killed
    table = manifest(config, groups)
    with room_on_disk(out / "manifest.csv"):
        write_json(out / "splits.json", describe_splits(table))
        write_manifest(table.assign(path=[str(out / path) for path in table["path"]]), out / "manifest.csv")
    return table


def synth(out: str | Path, config: SyntheticSet, *, num_processes: int = 1) -> None:
    """`generate`, and say on the terminal what is made. `mv2mae synth`."""
    out = Path(out)
    groups = config.groups()
    total, missing = len(groups) * len(config.views), sum(len(missing_views(out, config, group)) for group in groups)
    there = f", {total - missing:,} of them there already" if missing < total else ""
    performances, views = counted(len(groups), "performance"), counted(len(config.views), "view")
    print(f"{performances} x {views} = {counted(total, 'video')}{there}", flush=True)
    generate(out, config, num_processes=num_processes)
    made = f"wrote {counted(missing, 'video')}" if missing else "no video was missing; wrote"
    print(f"{made}{' and' if missing else ''} manifest, splits, cameras and class names to {out}")


def describe_splits(table: pd.DataFrame) -> dict[str, dict[str, str | int]]:
    """The splits of the protocol `synthetic` for splits.json: queries over a manifest, and how many of its videos they
    pick (none where the set has, for instance, only one setup).
    """
    return {
        name: {
            "train": split.train,
            "test": split.test,
            "train_videos": len(table.query(split.train)),
            "test_videos": len(table.query(split.test)),
        }
        for name, split in PROTOCOL.splits.items()
    }


def _check_resumable(recorded: Path, config: SyntheticSet) -> None:
    """Videos that are kept must look as the new ones will; which and how many performances there are may change."""
    if not recorded.exists():
        return
    usual, new = (json.loads(json.dumps(each.to_json())) for each in (SyntheticSet(), config))
    old = usual | read_record(recorded)["config"]  # settings that came later had their usual value
    for name in set(new) - {"actions", "subjects", "setups", "repetitions", "num_groups"}:
        if old.get(name) != new[name]:
            raise InputError(
                f"{recorded.parent} holds videos made with {name}={old.get(name)}, not {name}={new[name]}; "
                "choose another folder or empty this one"
            )


def _run(tasks: list[tuple[Path, SyntheticSet, Group]], num_processes: int) -> Iterator[None]:
    if num_processes <= 1:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # the tensors are small: more threads only wait for each other
        try:
            yield from map(make_group, tasks)
        finally:
            torch.set_num_threads(threads)
        return
    # Spawned, not forked: a fork of a process that has used torch's threads may hang.
    spawn = multiprocessing.get_context("spawn")
    with spawn.Pool(num_processes, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        yield from pool.imap_unordered(make_group, tasks, chunksize=max(1, min(8, len(tasks) // (4 * num_processes))))


def make_group(task: tuple[Path, SyntheticSet, Group]) -> None:
    """Renders and encodes those videos of a performance that are missing, and writes their ground truth."""
    out, config, group = task
    missing = missing_views(out, config, group)
    if missing:
        for view, footage in film_group(config, group, missing).items():
            video, truth = _files(out, group, view)
            if config.truth:
                write_truth(truth, footage.truth)
            write_video(video, footage.frames.numpy(), fps=config.fps, crf=config.quality)


def missing_views(out: Path, config: SyntheticSet, group: Group) -> tuple[int, ...]:
    """The views of a performance whose video, or wanted ground truth, is not in the folder yet."""
    number = 2 if config.truth else 1
    return tuple(view for view in config.views if not all(path.exists() for path in _files(out, group, view)[:number]))


def _files(out: Path, group: Group, view: int) -> tuple[Path, Path]:
    """Video and ground truth of a view."""
    video = out / "videos" / group.file_name(view)
    return video, out / "truth" / video.with_suffix(".npz").name


def manifest(config: SyntheticSet, groups: list[Group]) -> pd.DataFrame:
    """One row per video; `path` is relative to the manifest's folder."""
    rows = [
        {
            "path": f"videos/{group.file_name(view)}",
            "group": group.name,
            "view": view,
            "label": group.label,
            "subject": group.subject,
            "setup": group.setup,
            "start": None,
            "end": None,
            "fps": config.fps,
            "frames": config.num_frames,
            "width": config.size,
            "height": config.size,
        }
        for group in groups
        for view in config.views
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def versions() -> dict[str, Any]:
    """The libraries that decide the bytes of a video, on processors of one kind."""
    return {
        "av": av.__version__,
        "libavcodec": list(av.library_versions["libavcodec"]),
        "numpy": np.__version__,
        "torch": torch.__version__,
    }


def _describe(config: SyntheticSet, setup: int) -> dict[str, Any]:
    cameras, room = plan_setup(config, setup)
    return {
        "light_direction": room.light.round(6).tolist(),
        **({} if config.camera_motion == "none" else {"camera_motion": config.camera_motion}),
        "cameras": {str(camera.view): camera.to_json(config.size) for camera in cameras},
    }


def _write_problems(path: Path, problems: tuple[tuple[str, str], ...]) -> None:
    """Lists the motion files that were set aside, in the form of `videos.ProblemLog`; no file if there are none."""
    path.unlink(missing_ok=True)
    log = ProblemLog(path)
    for file, reason in problems:
        log.add(file, reason)
