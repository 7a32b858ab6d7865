"""Looking before writing: a sheet of some frames, and what a data set will cost."""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.progress import track

from mv2mae.synthetic.data_set import Group, SyntheticSet
from mv2mae.synthetic.generate import build_setup, generate_frames, make_group
from mv2mae.text import counted


def one_of_each(config: SyntheticSet) -> list[Group]:
    """One performance of each action of the data set, of different people and setups as far as there are any."""
    groups, chosen = config.groups(), []
    for k, action in enumerate(config.actions):
        of_action = [group for group in groups if group.action == action]
        if of_action:
            chosen.append(of_action[k * max(1, int(0.382 * len(of_action))) % len(of_action)])
    return chosen


def tiles(
    config: SyntheticSet,
    groups: list[Group],
    moments: tuple[float, ...],
    views: tuple[int, ...],
    *,
    progress: bool = False,
) -> np.ndarray:
    """A row per performance [rows * size, moments * views * size, 3]: its views side by side, moment after moment."""
    at = [round(moment * (config.num_frames - 1)) for moment in moments]
    rows = []
    for group in track(groups, "  drawing", disable=not progress, transient=True):
        videos = generate_frames(config, group, views)
        rows.append(np.concatenate([video[i] for i in at for video in videos.values()], axis=1))
    return np.concatenate(rows)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a data set will be: counts, megabytes, and minutes of one process."""

    performances: int
    videos: int
    megabytes: float
    minutes: float

    def __str__(self) -> str:
        return (
            f"{counted(self.performances, 'performance')}, {counted(self.videos, 'video')}, "
            f"about {self.megabytes:,.1f} MB, about {self.minutes:,.1f} minutes of one process"
        )


def estimate(config: SyntheticSet) -> Estimate:
    """Makes two performances in a temporary folder, and reckons from them."""
    groups = config.groups()
    some = [groups[0], groups[-1]]
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        setups = {group.setup for group in some}
        for setup in setups:
            build_setup(config, setup)
        built = (time.perf_counter() - start) / len(setups)
        start = time.perf_counter()
        for group in some:
            make_group((Path(folder), config, group))
        each = (time.perf_counter() - start) / len(some)
        size = [file.stat().st_size for file in Path(folder).rglob("*") if file.is_file()]
    count = len(groups) * len(config.views)
    seconds = built * len({group.setup for group in groups}) + each * len(groups)
    return Estimate(
        performances=len(groups),
        videos=count,
        megabytes=sum(size) / len(some) * len(groups) / 1e6,
        minutes=seconds / 60,
    )
