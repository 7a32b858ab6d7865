"""NTU RGB+D 60 and 120: names `SsssCcccPpppRrrrAaaa_rgb.avi` (setup, camera, performer, repetition, action).

60 has three cameras, 60 actions and 40 people in 17 setups. Splits after Shahroudy et al. 2016: cross-subject by 20
training performers, cross-view with camera 1 for tests. 120 has 60 actions more, and 106 people in 32 setups. Splits
after Liu et al. 2019: cross-subject by 53 training performers, cross-setup with the odd setups for tests. The known
lists of 302 and 535 missing samples concern skeletons only; all RGB videos exist.
"""

from __future__ import annotations

from collections.abc import Callable

from mv2mae.data.protocols.base import Indexed, Listing, Protocol, Split
from mv2mae.data.protocols.names import name_index

TRAIN_SUBJECTS_60 = (1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38)
TRAIN_SUBJECTS_120 = (
    *TRAIN_SUBJECTS_60,
    *(45, 46, 47, 49, 50, 52, 53, 54, 55, 56, 57, 58, 59, 70, 74, 78, 80, 81, 82, 83, 84, 85, 86, 89),
    *(91, 92, 93, 94, 95, 97, 98, 100, 103),
)
CLASS_NAMES_60 = tuple(
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
CLASS_NAMES_120 = (
    *CLASS_NAMES_60,
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


def ntu_index(title: str, *, setups: range, actions: range, cameras: range) -> Callable[[Listing], Indexed]:
    """The index of a set with NTU's names, kept to the numbers that the set has."""
    return name_index(
        title=title,
        example="S001C002P003R002A013_rgb.avi",
        name=r"S(?P<setup>\d{3,4})C(?P<view>\d{3})P(?P<subject>\d{3})R(?P<repetition>\d{3})A(?P<label>\d{3})"
        r"(?:_rgb)?\.(?:avi|mp4)",
        limits={"setup": setups, "label": actions, "view": cameras, "subject": range(1, 1000)},
        group="S{setup}P{subject}R{repetition}A{label}",
    )


def _by_subject(train: tuple[int, ...], num_videos: tuple[int, int]) -> Split:
    return Split(train=f"subject in {list(train)}", test=f"subject not in {list(train)}", num_videos=num_videos)


NTU60 = Protocol(
    name="ntu60",
    index=ntu_index("NTU RGB+D 60", setups=range(1, 18), actions=range(1, 61), cameras=range(1, 4)),
    splits={
        "xsub": _by_subject(TRAIN_SUBJECTS_60, (40_320, 16_560)),
        "xview": Split(train="view in [2, 3]", test="view == 1", num_videos=(37_920, 18_960)),
    },
    class_names=CLASS_NAMES_60,
)
NTU120 = Protocol(
    name="ntu120",
    index=ntu_index("NTU RGB+D 120", setups=range(1, 33), actions=range(1, 121), cameras=range(1, 4)),
    splits={
        "xsub": _by_subject(TRAIN_SUBJECTS_120, (63_360, 51_120)),
        "xset": Split(train="setup % 2 == 0", test="setup % 2 == 1", num_videos=(54_720, 59_760)),
    },
    class_names=CLASS_NAMES_120,
)
