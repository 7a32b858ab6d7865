"""Names `SsssCcccPpppRrrrAaaa_rgb.avi`: setup, camera, performer, repetition, action; NTU's and the synthetic sets'."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from mv2mae.data.protocols.base import Indexed, Listing
from mv2mae.data.protocols.names import name_index

NAME = (
    r"S(?P<setup>\d{3,4})C(?P<camera>\d{3})P(?P<performer>\d{3})R(?P<repetition>\d{3})A(?P<action>\d{3})"
    r"(?:_rgb)?\.(?:avi|mp4)"
)


def ntu_index(title: str, *, setups: range, actions: range, cameras: range) -> Callable[[Listing], Indexed]:
    """The index of a set with NTU's names, kept to the numbers that the set has."""
    return name_index(
        title=title,
        example="S001C002P003R002A013_rgb.avi",
        name=NAME,
        limits={"setup": setups, "action": actions, "camera": cameras, "performer": range(1, 1000)},
        columns=_columns,
    )


def _columns(parts: pd.DataFrame) -> dict[str, pd.Series]:
    return {
        "group": "S" + parts["setup"] + "P" + parts["performer"] + "R" + parts["repetition"] + "A" + parts["action"],
        "view": parts["camera"].astype(int),
        "label": parts["action"].astype(int) - 1,
        "subject": parts["performer"].astype(int),
        "setup": parts["setup"].astype(int),
    }
