"""Where a source really sees what a token of the target shows: by true depth, where videos came from the generator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor

from mv2mae.data.manifest import beside
from mv2mae.data.video_info import nearest_index
from mv2mae.errors import InputError
from mv2mae.model.tubelets import Size3
from mv2mae.records import read_record
from mv2mae.synthetic.data_set import SyntheticSet
from mv2mae.synthetic.generate import camera_path, film_group, plan_setup
from mv2mae.synthetic.views import TRUTH, View, sees, view_of

_SAME = 20.0
"""Grey levels by which a video's frames may differ on average from what is drawn again: compression and noise."""
_BODY = 0.2
"""Share of a token's pixels from which on it is the body that counts, not what is behind it (as in `mv2mae geometry`).
"""
_PLACE = 0.25
"""Share of what a token shows from which on a place of the source counts as one where it is seen."""


@dataclass(frozen=True)
class TruePlace:
    """Where the source's picture has what a token of the target shows."""

    shares: Float[np.ndarray, "h w"]
    """By place of the source's grid, at the token's own moment: the share of the token's pixels whose points lie there,
    whether or not something hides them."""
    seen: float
    """The share of the token's pixels whose points the source sees."""

    @property
    def places(self) -> list[int]:
        """Places (row times columns plus column) that have a good part of it, the largest first; none where all of it
        lies outside of the picture."""
        order = np.argsort(-self.shares, axis=None, kind="stable")
        top = float(self.shares.max())
        return [int(k) for k in order if self.shares.flat[k] > 0 and self.shares.flat[k] >= min(_PLACE, top)]


@dataclass(frozen=True)
class Filmed:
    """A performance drawn once more, with its truth."""

    views: Mapping[str, View]
    """By name."""
    fps: float

    def at(self, view: str, times: Sequence[float] | np.ndarray, clip: Shaped[Tensor, "3 t h w"]) -> View | None:
        """A view at the frames nearest to some moments, in seconds of its video; None where it is not what a clip
        shows (compression and scale apart): its truth would then mislead.
        """
        if view not in self.views:
            return None
        whole = self.views[view]
        frames = nearest_index(np.arange(len(whole.depth)) / self.fps, np.asarray(times, dtype=np.float64))
        cut = whole.cut(frames)
        drawn = F.interpolate(cut.clip.float().movedim(1, 0), size=clip.shape[-2:], mode="area").movedim(0, 1)
        same = drawn.shape == clip.shape and float((drawn - clip.float()).abs().mean()) < _SAME
        return cut if same else None


def filmed_again(manifest: str | Path, group: str) -> Filmed | None:
    """The views of a performance, drawn once more, if the generator made the manifest.

    Returns:
        None where it did not, or with settings that this version does not have.
    """
    file = beside(manifest, "synth.json") if manifest else None
    if file is None:
        return None
    try:
        stored = read_record(file)["config"]
        stored.pop("motions_digest", None)
        config = SyntheticSet(**{**stored, "truth": TRUTH})
        performance = next((known for known in config.groups() if known.name == group), None)
    except (OSError, ValueError, KeyError, TypeError, InputError):
        return None
    if performance is None:
        return None
    cameras = {camera.view: camera for camera in plan_setup(config, performance.setup)[0]}
    paths = {view: camera_path(config, performance, camera) for view, camera in cameras.items()}
    filmed = film_group(config, performance)
    views = {str(view): view_of(each.frames, each.truth, cameras[view], paths[view]) for view, each in filmed.items()}
    return Filmed(views, config.fps)


def true_place(target: View, source: View, token: int, grid: Size3) -> TruePlace:
    """Where the source sees what a token of the target shows.

    Where part of the body covers enough of the token, that part of its pixels counts, else all of them.

    Args:
        target, source: at the frames of the clip.
        token: of the target, in a grid of (t, h, w) tokens.
    """
    (t, h, w), (frames, height, width) = grid, target.depth.shape
    moment, row, column = np.unravel_index(token, grid)
    spans = [
        np.arange(place * size // count, (place + 1) * size // count)
        for place, size, count in ((moment, frames, t), (row, height, h), (column, width, w))
    ]
    pixels = tuple(axis.ravel() for axis in np.meshgrid(*spans, indexing="ij"))
    on_body = target.body[pixels] > 0
    if on_body.mean() >= _BODY:
        pixels = tuple(axis[on_body] for axis in pixels)
    assert len(pixels) == 3
    place, seen = sees(target, source, pixels)
    inside = ((place >= 0) & (place < [width, height])).all(axis=1)
    x, y = (place[inside] * [w / width, h / height]).astype(int).T
    counts = np.bincount(y * w + x, minlength=h * w).reshape(h, w)
    return TruePlace(counts / len(place), float(seen.mean()))
