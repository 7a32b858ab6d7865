"""Takes of a moving block from three views, and ways to spoil them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from tiny_videos import even_times, write_video

from mv2mae.data.check import CheckReport, check_manifest

NUM, FPS = 60, 30.0


def scene(seed: int, view: int) -> Callable[[float], np.ndarray]:
    """A block that moves up and down at random speeds; each view sees it elsewhere, on another background."""
    walk = np.cumsum(np.random.default_rng(seed).normal(0, 2.5, 200))
    walk = np.abs((walk + 15) % 60 - 30)

    def image(time: float) -> np.ndarray:
        place = np.interp(time * FPS, np.arange(200), walk)
        rows = np.arange(48)[:, None]
        inside = np.clip(9 - np.abs(rows - 8 - place), 0, 1) * (np.abs(np.arange(64) - 20 - 9 * view) < 8)
        return np.repeat((60 + 20 * view + 5 * seed + 100 * inside)[:, :, None], 3, 2).clip(0, 255).astype(np.uint8)

    return image


def film(folder: Path, group: int, view: int, *, num: int = NUM, late: float = 0.0, **options: Any) -> Path:
    times = options.pop("times", even_times(num, FPS))
    shown = [t + 0.5 - late for t in times]
    return write_video(folder / f"g{group}_{view}.mp4", times, shown=shown, image=scene(group, view), **options)


def check(frame: pd.DataFrame, **options: Any) -> CheckReport:
    """The report on a table as a manifest, which may repeat rows."""
    with TemporaryDirectory() as folder:
        manifest = Path(folder) / "manifest.parquet"
        frame.to_parquet(manifest, index=False)  # `write_manifest` refuses repeated rows
        return check_manifest(manifest, num_workers=0, progress=False, **options)


def kinds(report: CheckReport) -> set[tuple[int, str]]:
    return {(finding.row, finding.kind) for finding in report.findings}


def spoil(kind: str, path: Path) -> None:
    data = path.read_bytes()
    if kind == "missing":
        path.unlink()
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "unreadable":
        path.write_bytes(data[: len(data) // 2])  # without the index at its end
    elif kind == "truncated":
        film(path.parent, 1, 2, faststart=True)
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    elif kind == "wrong_length":
        film(path.parent, 1, 2, num=55)
    elif kind == "longer":
        film(path.parent, 1, 2, num=64)
    elif kind == "wrong_size":
        film(path.parent, 1, 2, size=(96, 64))
    elif kind == "variable_rate":
        film(path.parent, 1, 2, times=[0.0, *np.cumsum(np.tile([0.02, 0.02, 0.06], 20))[:-1]])  # 30 a second
    elif kind == "missing_frames":
        film(path.parent, 1, 2, times=np.delete(even_times(NUM, FPS), 30).tolist())
    elif kind == "still":
        write_video(path, even_times(NUM, FPS))
        write_video(path, even_times(NUM, FPS), image=lambda _: np.full((48, 64, 3), 77, np.uint8))
