"""Two drawn views of a performance, and what is true of their tokens: which part of the body each one shows, and where
the other camera sees it. Everything comes from the renderer's ground truth and the cameras; no model is asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mv2mae.errors import InputError
from mv2mae.model.tubelets import Size3
from mv2mae.synthetic.data_set import Group, SyntheticSet
from mv2mae.synthetic.generate import cast_group, make_take, plan_setup
from mv2mae.synthetic.render.film import film
from mv2mae.synthetic.render.stage import Stage
from mv2mae.synthetic.views import BODY, TRUTH, View, seen_from, view_of

_DRAWN = 9  # entry of the seed, beside those of `synthetic.data_set`


class TwoViews(NamedTuple):
    """A performance before two cameras, and the angle between their optical axes in degrees."""

    views: tuple[View, View]
    angle: float


def draw_pairs(config: SyntheticSet, number: int) -> list[TwoViews]:
    """Performance `number` (from 0), in a room of its own, before two of its cameras, or, where free cameras stand at
    given azimuths, before the first camera and each of the others.

    Raises:
        InputError: the preset has fewer than two cameras.
    """
    if len(config.views) < 2:
        raise InputError(f"cameras={config.cameras} with {len(config.views)} view(s); give at least 2")
    rng = config.rng(_DRAWN, number)
    action = str(rng.choice(config.actions))
    group = Group(setup=number + 1, subject=int(rng.choice(config.subjects)), repetition=1, action=action)
    every = range(len(config.views))
    chosen = every if config.azimuths else rng.choice(len(every), 2, replace=False)
    cameras, room = plan_setup(config, group.setup)
    movers = cast_group(config, group, cameras, room)
    takes = [make_take(config, group, Stage(room, cameras[i], config.size), movers) for i in chosen]
    first, *others = (
        view_of(footage.frames, footage.truth, cameras[i])
        for i, footage in zip(chosen, film(takes, truth=TRUTH), strict=True)
    )
    axes = [first.camera.rotation[2] @ other.camera.rotation[2] for other in others]
    degrees = np.degrees(np.arccos(np.clip(axes, -1, 1)))
    return [TwoViews((first, other), float(angle)) for other, angle in zip(others, degrees, strict=True)]


@dataclass(frozen=True)
class TokenTruth:
    """What is true of the n tokens of a view."""

    shows: Bool[Tensor, "n parts"]
    """Whether a part of the body (`BODY`) covers at least the wanted share of the token; at 0, the whole person."""
    part: Int[Tensor, " n"]
    """Of the parts that it shows the one that covers most of the token; 0 if it shows none."""
    place: Float[Tensor, "n 2"]
    """Where the other camera sees the token's part, in pixels (right, down): the mean over its pixels and frames. NaN
    for tokens of no part."""


def token_truth(view: View, other: View, tubelet_size: Size3, min_share: float) -> TokenTruth:
    """The truth of a view's tokens, seen from the other view.

    Args:
        min_share: how much of a tubelet's pixels a part must cover, 0 to 1.
    """
    (dt, dh, dw), (t, h, w) = tubelet_size, view.body.shape
    moment, row, column = np.nonzero(view.body)
    token = ((moment // dt) * (h // dh) + row // dh) * (w // dw) + column // dw
    n, label = (t // dt) * (h // dh) * (w // dw), view.body[moment, row, column]
    share = np.bincount(token * len(BODY) + label, minlength=n * len(BODY)).reshape(n, -1) / (dt * dh * dw)
    part = np.where(share.max(axis=1) >= min_share, share.argmax(axis=1), 0)
    share[:, 0] = share.sum(axis=1)
    own = label == part[token]
    places, _ = seen_from(view, other, (moment[own], row[own], column[own]))
    count = np.bincount(token[own], minlength=n)
    sums = np.stack([np.bincount(token[own], weights=places[:, k], minlength=n) for k in range(2)], axis=-1)
    with np.errstate(invalid="ignore"):
        mean = sums / count[:, None]
    return TokenTruth(torch.from_numpy(share >= min_share), torch.from_numpy(part), torch.from_numpy(mean).float())
