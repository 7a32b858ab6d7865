"""Makes synthetic multi-view data sets: `generate` writes one, `generate_frames` gives the frames of one
performance.
"""

import json
import multiprocessing
import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import pandas as pd
import torch
from rich.progress import track

from mv2mae.data.synthetic.actions import ACTIONS
from mv2mae.data.synthetic.cameras import draw_azimuths, draw_camera
from mv2mae.data.synthetic.config import AZIMUTH, CAMERA, FILM, ROOM, Group, SynthConfig
from mv2mae.data.synthetic.difficulty import DIFFICULTIES
from mv2mae.data.synthetic.encode import write_png, write_video
from mv2mae.data.synthetic.performance import animate
from mv2mae.data.synthetic.rooms import draw_room
from mv2mae.data.synthetic.scene import Stage
from mv2mae.errors import InputError

COLUMNS = ("path", "group", "view", "label", "subject", "setup", "start", "end", "fps", "frames", "width", "height")


@lru_cache(maxsize=2)
def build_setup(config: SynthConfig, setup: int) -> dict[int, Stage]:
    """The room of a setup as each of its cameras sees it, by view."""
    azimuths = draw_azimuths(config.rng(AZIMUTH, setup), config.cameras, config.num_cameras, config.azimuth_ranges)
    room = draw_room(config.rng(ROOM, setup), azimuths)
    return {
        view: Stage(room, draw_camera(config.rng(CAMERA, setup, view), view, azimuth), config.size)
        for view, azimuth in zip(config.views, azimuths, strict=True)
    }


def generate_frames(config: SynthConfig, group: Group, views: tuple[int, ...] | None = None) -> dict[int, np.ndarray]:
    """The videos of one performance, not encoded: {view: [t, size, size, 3] uint8}. Nothing that ran before
    changes them.
    """
    stages = build_setup(config, group.setup)
    movers, disturbance = animate(config, group).movers, DIFFICULTIES[config.difficulty]
    return {
        view: stages[view].film(movers, disturbance, config.rng(FILM, *group.key, view))
        for view in views or config.views
    }


def generate(out: Path, config: SynthConfig, *, num_processes: int = 1, progress: bool = True) -> pd.DataFrame:
    """Writes a data set and returns its manifest.

    Into `out` go videos/, manifest.csv, cameras.json (poses by setup and view), classes.json (names by label)
    and synth.json (the
    configuration). Videos that are already there are kept, so that an interrupted run goes on where it stopped;
    the bytes do not
    depend on `num_processes`.
    """
    out = Path(out)
    groups = config.groups()
    _check_resumable(out / "synth.json", config)
    (out / "videos").mkdir(parents=True, exist_ok=True)
    _write_json(out / "synth.json", {"config": config.to_json(), "versions": versions()})
    _write_json(out / "classes.json", {str(ACTIONS[name].label): name for name in config.actions})
    tasks = [(out, config, group) for group in groups]
    steps: Iterator[None] = _run(tasks, num_processes)
    for _ in track(steps, total=len(tasks), description="synth", disable=not progress):
        pass
    _write_json(
        out / "cameras.json", {str(setup): _describe(config, setup) for setup in dict.fromkeys(g.setup for g in groups)}
    )
    table = manifest(config, groups)
    table.to_csv(out / "manifest.csv", index=False)
    return table


def _check_resumable(recorded: Path, config: SynthConfig) -> None:
    """Videos that are kept must look as the new ones will; which and how many performances there are may change."""
    if not recorded.exists():
        return
    old, new = json.loads(recorded.read_text())["config"], json.loads(json.dumps(config.to_json()))
    for name in set(new) - {"actions", "subjects", "setups", "repetitions", "num_groups"}:
        if old.get(name) != new[name]:
            raise InputError(
                f"{recorded.parent} holds videos made with {name}={old.get(name)}, not {name}={new[name]}; "
                "choose another folder or empty this one"
            )


def _run(tasks: list[tuple[Path, SynthConfig, Group]], num_processes: int) -> Iterator[None]:
    if num_processes <= 1:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # the tensors are small: more threads only wait for each other
        try:
            yield from map(make_group, tasks)
        finally:
            torch.set_num_threads(threads)
        return
    # Spawned, not forked: a fork of a process that has used torch's threads may hang.
    with multiprocessing.get_context("spawn").Pool(
        num_processes, initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        yield from pool.imap_unordered(make_group, tasks, chunksize=max(1, min(8, len(tasks) // (4 * num_processes))))


def make_group(task: tuple[Path, SynthConfig, Group]) -> None:
    """Renders and encodes those videos of a performance that are missing."""
    out, config, group = task
    paths = {view: out / "videos" / group.file_name(view) for view in config.views}
    missing = tuple(view for view, path in paths.items() if not path.exists())
    if missing:
        for view, frames in generate_frames(config, group, missing).items():
            write_video(paths[view], frames, fps=config.fps, crf=config.crf)


def manifest(config: SynthConfig, groups: list[Group]) -> pd.DataFrame:
    """One row per video; `path` is relative to the manifest's folder."""
    rows = [
        {
            "path": f"videos/{group.file_name(view)}",
            "group": group.name,
            "view": view,
            "label": ACTIONS[group.action].label,
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


def contact_sheet(
    path: Path, config: SynthConfig, groups: list[Group], moments: tuple[float, ...] = (0.3, 0.5, 0.7)
) -> np.ndarray:
    """A PNG to look at: a row per performance, its views side by side for each moment (0 = first frame, 1 = last)."""
    rows = []
    for group in groups:
        videos = generate_frames(config, group)
        at = [round(m * (config.num_frames - 1)) for m in moments]
        rows.append(np.concatenate([video[i] for i in at for video in videos.values()], axis=1))
    sheet = np.concatenate(rows)
    write_png(Path(path), sheet)
    return sheet


def versions() -> dict[str, Any]:
    """The libraries that decide the bytes of a video."""
    return {"av": av.__version__, "libavcodec": list(av.library_versions["libavcodec"]), "numpy": np.__version__}


def _describe(config: SynthConfig, setup: int) -> dict[str, Any]:
    stages = build_setup(config, setup)
    light = next(iter(stages.values())).room.light
    return {
        "light_direction": light.round(6).tolist(),
        "cameras": {str(view): stage.camera.to_json(config.size) for view, stage in stages.items()},
    }


def _write_json(path: Path, value: Any) -> None:
    partial = path.with_name(f".{path.name}.part")
    partial.write_text(json.dumps(value, indent=1) + "\n")
    os.replace(partial, path)
