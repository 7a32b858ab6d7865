"""KIST SynADL (made with ElderSim): names `A001_P101_G001_C001.avi`, 28 cameras, ETRI's 55 activities, 15 characters.

The light is not in the name, only in the folder, so that the folder (relative to the one that is indexed) is part of
the group's name. No public split: give queries.
"""

from __future__ import annotations

import pandas as pd

from mv2mae.data.protocols.base import Protocol
from mv2mae.data.protocols.etri import CLASS_NAMES
from mv2mae.data.protocols.names import name_index


def _columns(parts: pd.DataFrame) -> dict[str, pd.Series]:
    return {
        "group": parts["folder"] + "A" + parts["action"] + "_P" + parts["character"] + "_G" + parts["repetition"],
        "view": parts["camera"].astype(int),
        "label": parts["action"].astype(int) - 1,
        "subject": parts["character"].astype(int),
    }


PROTOCOL = Protocol(
    name="synadl",
    index=name_index(
        title="SynADL",
        example="A001_P101_G001_C001.avi",
        name=r"A(?P<action>\d{3})_P(?P<character>\d{3})_G(?P<repetition>\d{3})_C(?P<camera>\d{3})\.(?:avi|mp4)",
        limits={"action": range(1, 56), "character": range(101, 116), "camera": range(1, 29)},
        columns=_columns,
    ),
    class_names=CLASS_NAMES,
)
