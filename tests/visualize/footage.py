"""Small videos to look at, and a manifest of them."""

from pathlib import Path

import av
import numpy as np
import pandas as pd

from mv2mae.data.manifest import make_frame, write_manifest


def write_video(path: Path, *, width: int = 64, height: int = 48, frames: int = 24, speed: int = 2) -> Path:
    """A bright square that crosses a dark frame; 12 frames a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=12)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for i in range(frames):
            pixels = np.full((height, width, 3), 30, dtype=np.uint8)
            pixels[16:32, (speed * i) % (width - 16) :][:, :16] = (250, 200, 60)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path


def write_groups(folder: Path) -> tuple[Path, pd.DataFrame]:
    """Four performances: a to c from views 1 and 2, of actions 0, 0, 1; d from view 1 alone, of action 1."""
    rows = []
    for speed, (group, label) in enumerate([("a", 0), ("b", 0), ("c", 1), ("d", 1)], start=1):
        for view in (1, 2) if group != "d" else (1,):
            path = write_video(folder / f"{group}{view}.mp4", speed=speed + view)
            rows.append({"path": str(path), "group": group, "view": view, "label": label, "subject": speed % 2})
    frame = make_frame(pd.DataFrame(rows))
    return write_manifest(frame, folder / "manifest.csv"), frame
