"""Which views of a group are rebuilt, and from which: the choices of Tables 10 and 11."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Float32, Int

from mv2mae.config import PairConfig
from mv2mae.errors import InputError

_ROUNDING = 0.01
"""Degrees by which rounding of single precision may put an angle beyond its limit."""


@dataclass(frozen=True, kw_only=True)
class Pairing:
    """frame: the rows of groups in use; targets: rows to rebuild; sources: for each of them the rows to choose from;
    skipped_groups: groups without a pair.
    """

    frame: pd.DataFrame
    targets: list[int]
    sources: list[np.ndarray]
    skipped_groups: int


def pair_views(frame: pd.DataFrame, config: PairConfig) -> Pairing:
    """Targets and their possible sources in each group, as the configuration chooses views.

    Args:
        frame: rows of a manifest, or some of its groups; `check_views` has looked at the whole.
        config: `synchronised`, `num_sources`, `target_views`, `source_views`, `nearest_sources`, `camera_angles`.

    Raises:
        InputError: no group has enough views.
    """
    frame = frame.reset_index(drop=True)
    views = frame["view"].astype(str).to_numpy()
    may_be_target = _among(views, _names(config.target_views))
    may_be_source = _among(views, _names(config.source_views))
    known = {str(view): angle for view, angle in config.camera_angles.items()}
    angles = np.array([known[view] for view in views]) if config.nearest_sources else None
    pairs: dict[int, np.ndarray] = {}
    kept = np.zeros(len(frame), bool)
    rows_of = {group: np.asarray(rows) for group, rows in frame.groupby("group", sort=False).indices.items()}
    for rows in rows_of.values():
        for target in rows[may_be_target[rows]]:
            others = rows[may_be_source[rows] & (rows != target)]
            if angles is not None:
                others = others[np.argsort(_apart(angles[others], angles[target]), kind="stable")]
                others = np.sort(others[: config.nearest_sources])
            if not config.synchronised and not len(others) and config.num_sources == 1:
                others = np.array([target])  # another clip of the same video
            if len(others) >= config.num_sources:
                pairs[int(target)] = others
                kept[[target, *others]] = True
    if not pairs:
        most = max((len(rows) for rows in rows_of.values()), default=0)
        raise InputError(
            f"manifest has no group with {config.num_sources + 1} views (most: {most} in {len(rows_of)} groups); "
            "pre-training pairs need videos of the same `group` and different `view`, "
            "as data.target_views and data.source_views allow"
        )
    place = np.cumsum(kept) - 1
    used = frame[kept].reset_index(drop=True)
    return Pairing(
        frame=used,
        targets=[int(place[row]) for row in sorted(pairs)],
        sources=[place[pairs[row]] for row in sorted(pairs)],
        skipped_groups=len(rows_of) - used["group"].nunique(),
    )


def source_angles(
    pairing: Pairing, config: PairConfig, cameras: Float32[np.ndarray, "n 16"] | None
) -> list[Float[np.ndarray, " k"]]:
    """For each target the degrees between its camera and that of each source it may have.

    Args:
        cameras: of the rows in use, as `data.cameras` describes them; NaN = unknown.

    Raises:
        InputError: neither `config.camera_angles` nor cameras tell.
    """
    views, pairs = pairing.frame["view"].astype(str), list(zip(pairing.targets, pairing.sources, strict=True))
    known = {str(view): angle for view, angle in config.camera_angles.items()}
    if known and set(views) <= set(known):
        directions = np.array([known[view] for view in views])
        return [_apart(directions[others], directions[row]) for row, others in pairs]
    if cameras is None or not np.isfinite(cameras).all():
        raise InputError(
            f"data.angle_curriculum={config.angle_curriculum:g} needs the angles between cameras, which are not known "
            "here: give data.cameras, cameras.json beside the manifest or data.camera_angles, or set it to 0"
        )
    return [degrees_apart(cameras[others], cameras[row]) for row, others in pairs]


def degrees_apart(
    cameras: Float32[np.ndarray, "*k 16"], other: Float32[np.ndarray, "*k 16"]
) -> Float[np.ndarray, "*k"]:
    """Between the optical axes of cameras (`data.cameras`), 0 to 180."""
    cosine = (cameras[..., 10:13].astype(np.float64) * other[..., 10:13]).sum(axis=-1)
    return np.asarray(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def within(angles: Float[np.ndarray, " k"], limit: float, least: int) -> Int[np.ndarray, " m"]:
    """Which angles lie within a limit, but not fewer than the `least` smallest ones; in rising order of their place."""
    order = np.argsort(angles, kind="stable")
    return np.sort(order[: max(least, int((angles <= limit + _ROUNDING).sum()))])


def check_views(frame: pd.DataFrame, config: PairConfig) -> None:
    """Raises InputError if the configuration names a view that is not there, or a camera lacks its angle.

    `frame` is all of a selection: a few of its groups may lack a view that others have.
    """
    there = {str(view) for view in list(frame["view"])}
    for name in ("target_views", "source_views"):
        missing = [view for view in _names(getattr(config, name)) if view not in there]
        if missing:
            raise InputError(f"data.{name} names {', '.join(missing)}; the manifest's views are {_listed(there)}")
    if config.nearest_sources:
        missing = sorted(there - set(_names(config.camera_angles)))
        if missing:
            raise InputError(
                f"data.nearest_sources needs an angle of every view; data.camera_angles has none for {_listed(missing)}"
            )


def _listed(views: set[str] | list[str]) -> str:
    return ", ".join(sorted(views, key=lambda view: (len(view), view)))


def _names(views: Iterable[int | str]) -> list[str]:
    return [str(view) for view in views]


def _among(views: np.ndarray, chosen: list[str]) -> np.ndarray:
    return np.isin(views, chosen) if chosen else np.ones(len(views), bool)


def _apart(angles: np.ndarray, angle: float) -> np.ndarray:
    """Degrees between directions, 0 to 180."""
    return np.abs((angles - angle + 180) % 360 - 180)
