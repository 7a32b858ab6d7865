"""The pairs that are measured: drawn performances at given angles with their truth, or videos of a manifest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mv2mae.config import PairConfig, SecondViewConfig
from mv2mae.data.calibration import cameras_of, told_cameras
from mv2mae.data.cameras import CAMERA_SIZE
from mv2mae.data.datamodule import held_out_batch, unaugmented
from mv2mae.data.held_out import other_performances
from mv2mae.data.manifest import read_manifest
from mv2mae.data.pairing import degrees_apart
from mv2mae.data.protocols import select
from mv2mae.data.videos import Videos
from mv2mae.data.views import PairDataset
from mv2mae.errors import InputError
from mv2mae.model.tubelets import Size3
from mv2mae.synthetic.data_set import SyntheticSet
from mv2mae.synthetic.generate import build_setup, film_group
from mv2mae.synthetic.views import TRUTH, View, sees, view_of
from mv2mae.weights import read_weights

FRAME_RATE = 30.0
"""Frames a second at which `frame_stride` counts where the weights say nothing else."""
_SEEN = 0.5  # share of a token's pixels from which it counts as seen by the source
_MASKS = 2  # last entry of a seed


@dataclass(frozen=True)
class MeasuredPairs:
    """Pairs of one kind, n of them: the batch and what is known of it."""

    batch: dict[str, Tensor]
    """target [n, 3, t, h, w], sources [n, s, 3, t, h, w], seed [n], and cameras [n, 1 + s, 16]."""
    wrong: dict[str, Tensor]
    """By name other sources; NaN is put where `has` says that there is none."""
    has: dict[str, Bool[np.ndarray, " n"]]
    groups: list[str]
    angles: Float[np.ndarray, " n"]
    """Degrees between the optical axes of target and first source; NaN where cameras are not known."""
    placed_at: Float[np.ndarray, " n"] | None = None
    """Where drawn cameras were to stand, which heights and distances change a little."""
    seen: Bool[Tensor, "n tokens"] | None = None
    """Whether the source really sees the surface that most of the target's token shows, where that is known."""


def drawn_pairs(weights: str | Path, config: SecondViewConfig) -> Iterator[MeasuredPairs]:
    """Each performance from the first of its cameras, with all others as the source in turn.

    A wrong source is the same camera's picture of the performance before, in another room.

    Raises:
        InputError: frames of the model's size cannot be drawn, or the settings of what is drawn are impossible.
    """
    stored = read_weights(weights)
    size = stored.config.image_size
    if size % 2 or not 32 <= size <= 480:
        raise InputError(f"{weights} takes clips of {size} pixels; only even sizes from 32 to 480 can be drawn")
    synth = SyntheticSet(
        cameras="free",
        azimuths=(0.0, *config.angles),
        subjects=config.subjects,
        setups=(1,),
        own_rooms=True,
        num_groups=config.performances + 1,
        num_frames=stored.config.num_frames,
        fps=float(stored.about.get("fps") or FRAME_RATE)
        / (stored.about.get("frame_stride") or PairConfig().frame_stride),
        size=size,
        difficulty=config.difficulty,
        truth=TRUTH,
        seed=config.seed,
    )
    before: list[View] | None = None
    for number, group in enumerate(synth.groups()):
        stages = build_setup(synth, group.setup)
        views = [view_of(f.frames, f.truth, stages[view].camera) for view, f in film_group(synth, group).items()]
        if before is not None:
            pairs = _of_performance(views, before, group.name, (config.seed, number), stored.config.tubelet_size)
            yield replace(pairs, placed_at=np.array(config.angles))
        before = views


def _of_performance(
    views: list[View], before: list[View], name: str, key: tuple[int, int], size: Size3
) -> MeasuredPairs:
    target, sources = views[0], views[1:]
    cameras = [torch.from_numpy(view.camera.pinhole().vector()) for view in views]
    # the same masks at every angle, so that angles are compared on the same tokens
    seed = int(np.random.default_rng((*key, _MASKS)).integers(2**60))
    axes = np.array([view.camera.rotation[2] @ target.camera.rotation[2] for view in sources])
    n = len(sources)
    return MeasuredPairs(
        batch={
            "target": target.clip.expand(n, *target.clip.shape),
            "sources": torch.stack([view.clip for view in sources])[:, None],
            "seed": torch.full((n,), seed),
            "cameras": torch.stack([torch.stack([cameras[0], camera]) for camera in cameras[1:]]),
        },
        wrong={"other_room": torch.stack([view.clip for view in before[1:]])[:, None]},
        has={"other_room": np.ones(n, dtype=bool)},
        groups=[name] * n,
        angles=np.degrees(np.arccos(np.clip(axes, -1, 1))),
        seen=torch.stack([torch.from_numpy(co_visible(target, view, size)) for view in sources]),
    )


def co_visible(view: View, other: View, tubelet_size: Size3) -> Bool[np.ndarray, " n"]:
    """Whether another camera sees at least half of the surface that each token of a view shows (`views.sees`)."""
    (dt, dh, dw), (t, h, w) = tubelet_size, view.depth.shape
    moment, row, column = (axis.ravel() for axis in np.indices((t, h, w)))
    _, found = sees(view, other, (moment, row, column))
    shares = found.reshape(t // dt, dt, h // dh, dh, w // dw, dw).mean(axis=(1, 3, 5))
    return np.asarray(shares.ravel() >= _SEEN)


def video_pairs(weights: str | Path, data: PairConfig, config: SecondViewConfig) -> Iterator[MeasuredPairs]:
    """Pairs of a manifest's test part (all of it without a split or query), spread evenly over its performances.

    Raises:
        InputError: manifest, selection, views or cameras do not allow it.
    """
    stored = read_weights(weights).config
    data = replace(unaugmented(data), crop="centre")
    rows = select(read_manifest(data.manifest), split=data.split, part="test", query=data.test_query)
    told = stored.cameras != "none" and config.known_cameras
    pairs = PairDataset(
        rows,
        data,
        num_frames=stored.num_frames,
        size=stored.image_size,
        seed=config.seed,
        videos=Videos(),
        cameras=(told_cameras if told else cameras_of)(data.manifest, data.cameras),
    )
    yield from pairs_of(pairs, config.performances, batch_size=config.batch_size, seed=config.seed)


def pairs_of(pairs: PairDataset, number: int, *, batch_size: int, seed: int) -> Iterator[MeasuredPairs]:
    """So many pairs of a data set, spread evenly over it, some at a time; wrong sources are those of other ones."""
    batch = {name: value for name, value in held_out_batch(pairs, number).items()}
    tensors = {name: value for name, value in batch.items() if isinstance(value, Tensor)}
    index = tensors.pop("index").tolist()
    groups, setups = ([names[i] for i in index] for names in (pairs.groups, pairs.setups))
    others = dict(zip(("other_room", "same_room"), other_performances(groups, setups, seed), strict=True))
    known = tensors.get("cameras", torch.full((len(index), 2, CAMERA_SIZE), torch.nan)).numpy()
    angles = degrees_apart(known[:, 0], known[:, 1])
    for part in np.array_split(np.arange(len(index)), -(-len(index) // batch_size)):
        chosen = {
            name: tensors["sources"][np.where(other[part] >= 0, other[part], part)] for name, other in others.items()
        }
        yield MeasuredPairs(
            batch={name: value[part] for name, value in tensors.items()},
            wrong=chosen,
            has={name: other[part] >= 0 for name, other in others.items()},
            groups=[groups[i] for i in part],
            angles=angles[part],
        )
