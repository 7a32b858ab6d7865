"""NTU RGB+D 120: NTU RGB+D 60 and 60 actions more, 106 people in 32 setups.

Splits after Liu et al. 2019: cross-subject by 53 training performers, cross-setup with the odd setups for tests.
The known list of 535 missing samples concerns skeletons only; all RGB videos exist.
"""

from __future__ import annotations

from mv2mae.data.protocols import ntu60
from mv2mae.data.protocols.base import Protocol, Split
from mv2mae.data.protocols.ntu import ntu_index

TRAIN_SUBJECTS = (
    *ntu60.TRAIN_SUBJECTS,
    *(45, 46, 47, 49, 50, 52, 53, 54, 55, 56, 57, 58, 59, 70, 74, 78, 80, 81, 82, 83, 84, 85, 86, 89),
    *(91, 92, 93, 94, 95, 97, 98, 100, 103),
)

CLASS_NAMES = (
    *ntu60.CLASS_NAMES,
    *"""put on headphones|take off headphones|shoot at the basket|bounce ball|tennis bat swing
|juggling table tennis balls|hush|flick hair|thumb up|thumb down|make ok sign|make victory sign|staple book
|counting money|cutting nails|cutting paper|snapping fingers|open bottle|sniff|squat down|toss a coin|fold paper
|ball up paper|play magic cube|apply cream on face|apply cream on hand back|put on bag|take off bag
|put something into a bag|take something out of a bag|open a box|move heavy objects|shake fist|throw up cap
|hands up|cross arms|arm circles|arm swings|running on the spot|butt kicks|cross toe touch|side kick|yawn
|stretch oneself|blow nose|hit with something|wield knife|knock over|grab stuff|shoot with a gun|step on foot
|high-five|cheers and drink|carry together|take a photo|follow|whisper in ear|exchange things
|support with hand|rock-paper-scissors""".replace("\n", "").split("|"),
)
"""Names of the labels 0-119."""

PROTOCOL = Protocol(
    name="ntu120",
    index=ntu_index(
        "NTU RGB+D 120",
        setups=range(1, 33),
        actions=range(1, 121),
        cameras=range(1, 4),
    ),
    splits={
        "xsub": Split(
            train=f"subject in {list(TRAIN_SUBJECTS)}",
            test=f"subject not in {list(TRAIN_SUBJECTS)}",
            num_videos=(63_360, 51_120),
        ),
        "xset": Split(train="setup % 2 == 0", test="setup % 2 == 1", num_videos=(54_720, 59_760)),
    },
    class_names=CLASS_NAMES,
)
