"""Northwestern-UCLA Multiview Action 3D: `multiview_action_videos/a01/v01_s01_e00.avi`, three cameras, ten actions.

The folder names the action; ids 1 2 3 4 5 6 8 9 11 12 become the labels 0-9. Each view's clips were trimmed on their
own, so that the clips of one performance do not begin at one moment: good for fine-tuning and for fusing the views'
predictions, but marked as not synchronised, and pre-training refuses them.
"""

from __future__ import annotations

import pandas as pd

from mv2mae.data.protocols.base import Protocol, Split
from mv2mae.data.protocols.names import name_index

ACTIONS = {
    1: "pick up with one hand",
    2: "pick up with two hands",
    3: "drop trash",
    4: "walk around",
    5: "sit down",
    6: "stand up",
    8: "donning",
    9: "doffing",
    11: "throw",
    12: "carry",
}
"""The ids of the folders, and their names; the order is that of the labels."""
CLASS_NAMES = tuple(ACTIONS.values())


def _columns(parts: pd.DataFrame) -> dict[str, object]:
    labels = {action: label for label, action in enumerate(ACTIONS)}
    return {"label": parts["action"].astype(int).map(labels), "synchronised": False}


PROTOCOL = Protocol(
    name="nucla",
    index=name_index(
        title="N-UCLA",
        example="a01/v01_s01_e00.avi",
        name=(
            rf"a(?P<action>{'|'.join(f'{action:02}' for action in ACTIONS)})"
            r"/v(?P<view>\d{2})_s(?P<subject>\d{2})_e(?P<event>\d{2})\.(?:avi|mp4)"
        ),
        limits={"view": range(1, 4), "subject": range(1, 100)},
        group="a{action}_s{subject}_e{event}",
        columns=_columns,
    ),
    splits={"xview": Split(train="view in [1, 2]", test="view == 3", num_videos=(1_015, 460))},
    class_names=CLASS_NAMES,
)
