"""Where the cameras of synthetic rooms stand, whoever draws them: a data set, an endless stream, a measurement."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True, kw_only=True)
class RigConfig:
    """The cameras of a room; the generator checks that there can be such a rig (`synthetic.world.cameras`)."""

    cameras: str = "ntu"
    """Where cameras stand: ntu (views 1, 2, 3 at +45, 0, -45 degrees), etri (eight: four positions round the front at
    two heights), ring (evenly all round) or free."""
    num_cameras: int | None = None
    """Cameras of a room, for ring (28 if not given) and free (3)."""

    def rig(self) -> dict[str, Any]:
        """What says where the cameras stand, by name."""
        kind = FreeRigConfig if isinstance(self, FreeRigConfig) else RigConfig
        return {field.name: getattr(self, field.name) for field in fields(kind)}


@dataclass(frozen=True, kw_only=True)
class FreeRigConfig(RigConfig):
    """The same, where free cameras may be placed."""

    azimuth_ranges: tuple[tuple[float, float], ...] = ((-90.0, 90.0),)
    """Of free cameras: degrees, 0 in front of the person, positive on the person's left."""
    azimuths: tuple[float, ...] = ()
    """Of free cameras: where they stand, in degrees; empty = drawn from azimuth_ranges."""
    same_cameras: bool = False
    """Whether all rooms have the same camera poses, as in a laboratory whose rig stays; otherwise each has its own."""
    camera_motion: str = "none"
    """none, handheld or moving (round the person, to and fro); rooms, people and what they do stay the same."""
