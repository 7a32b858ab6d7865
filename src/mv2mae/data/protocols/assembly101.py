"""Assembly101: `recordings/nusar-2021_action_both_9011-a01_9011_user_id_2021-02-01_153724/C10095_rgb.mp4`, 12 views.

Eight cameras round the table (`C10095` ...) and four on the head (`HMC_21176875` ..., grey, ten bits). A recording is a
group, the toy (`a01`) a column of its own. Actions are told elsewhere, in seconds of the recording: no labels here.
"""

from __future__ import annotations

import pandas as pd

from mv2mae.data.protocols.base import Protocol
from mv2mae.data.protocols.names import name_index


def _columns(parts: pd.DataFrame) -> dict[str, pd.Series]:
    return {
        "group": parts["recording"],
        "view": parts["camera"].str.replace(r"_(rgb|mono10bit)$", "", regex=True),
        "toy": parts["recording"].str.extract(r"-([a-z]\d+[a-z]?)_", expand=False),
    }


PROTOCOL = Protocol(
    name="assembly101",
    index=name_index(
        title="Assembly101",
        example="nusar-2021_action_both_9011-a01_9011_user_id_2021-02-01_153724/C10095_rgb.mp4",
        name=r"(?P<recording>nusar-[^/]+)/(?P<camera>C\d{5}_rgb|HMC_\d{8}_mono10bit)\.mp4",
        columns=_columns,
    ),
)
