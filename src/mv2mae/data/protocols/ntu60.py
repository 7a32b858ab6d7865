"""NTU RGB+D 60: names `SsssCcccPpppRrrrAaaa_rgb.avi`, three cameras, 60 actions, 40 people in 17 setups.

Splits after Shahroudy et al. 2016: cross-subject by 20 training performers, cross-view with camera 1 for tests.
The known list of 302 missing samples concerns skeletons only; all RGB videos exist.
"""

from __future__ import annotations

from mv2mae.data.protocols.base import Protocol, Split
from mv2mae.data.protocols.ntu import ntu_index

TRAIN_SUBJECTS = (1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38)

CLASS_NAMES = tuple(
    """drink water|eat meal|brush teeth|brush hair|drop|pick up|throw|sit down|stand up|clapping|reading|writing
|tear up paper|put on jacket|take off jacket|put on a shoe|take off a shoe|put on glasses|take off glasses
|put on a hat|take off a hat|cheer up|hand waving|kicking something|reach into pocket|hopping|jump up|phone call
|play with phone|type on a keyboard|point to something|taking a selfie|check time|rub two hands|nod head
|shake head|wipe face|salute|put palms together|cross hands in front|sneeze or cough|staggering|falling down
|headache|chest pain|back pain|neck pain|nausea or vomiting|fan self|punch or slap|kicking a person|pushing
|pat on back|point finger|hugging|giving an object|touch pocket|shaking hands|walking towards|walking apart""".replace(
        "\n", ""
    ).split("|")
)
"""Names of the labels 0-59."""

PROTOCOL = Protocol(
    name="ntu60",
    index=ntu_index(
        "NTU RGB+D 60",
        setups=range(1, 18),
        actions=range(1, 61),
        cameras=range(1, 4),
    ),
    splits={
        "xsub": Split(
            train=f"subject in {list(TRAIN_SUBJECTS)}",
            test=f"subject not in {list(TRAIN_SUBJECTS)}",
            num_videos=(40_320, 16_560),
        ),
        "xview": Split(train="view in [2, 3]", test="view == 1", num_videos=(37_920, 18_960)),
    },
    class_names=CLASS_NAMES,
)
