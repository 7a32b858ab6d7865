"""ETRI-Activity3D: names `A001_P001_G001_C001.mp4`, up to eight cameras, 55 activities of 100 people.

Groups are ragged: not every performance was kept by all eight cameras. Cameras stand at four places, an odd one at
70 cm and the next even one at 120 cm. The cross-subject split is the authors' own (every third person tests).

KIST SynADL (made with ElderSim): names `A001_P101_G001_C001.avi`, 28 cameras, the same activities, 15 characters. The
light is not in the name, only in the folder, so that the folder (relative to the one that is indexed) is part of the
group's name. No public split: give queries.
"""

from __future__ import annotations

from collections.abc import Callable

from mv2mae.data.protocols.base import Indexed, Listing, Protocol, Split
from mv2mae.data.protocols.names import name_index

CLASS_NAMES = tuple(
    """eating food with a fork|pouring water into a cup|taking medicine|drinking water
|putting food in the fridge or taking it out|trimming vegetables|peeling fruit|using a gas stove
|cutting vegetables on the cutting board|brushing teeth|washing hands|washing face|wiping face with a towel
|putting on cosmetics|putting on lipstick|brushing hair|blow drying hair|putting on a jacket|taking off a jacket
|putting on or taking off shoes|putting on or taking off glasses|washing the dishes|vacuuming the floor
|scrubbing the floor with a rag|wiping off the dining table|rubbing up furniture
|spreading or folding bedding|washing a towel by hand|hanging out laundry|looking around for something
|using a remote control|reading a book|reading a newspaper|handwriting|talking on the phone
|playing with a mobile phone|using a computer|smoking|clapping|rubbing face with hands|doing freehand exercise
|doing neck roll exercise|massaging a shoulder oneself|taking a bow|talking to each other|handshaking
|hugging each other|fighting each other|waving a hand|flapping a hand up and down|pointing with a finger
|opening the door and walking in|fallen on the floor|sitting up or standing up|lying down""".replace("\n", "").split(
        "|"
    )
)
"""Names of the labels 0-54."""


def _index(
    title: str, example: str, subjects: range, cameras: range, *, folder: str = ""
) -> Callable[[Listing], Indexed]:
    return name_index(
        title=title,
        example=example,
        name=r"A(?P<label>\d{3})_P(?P<subject>\d{3})_G(?P<repetition>\d{3})_C(?P<view>\d{3})\.(?:mp4|avi)",
        limits={"label": range(1, 56), "subject": subjects, "view": cameras},
        group=folder + "A{label}_P{subject}_G{repetition}",
    )


ETRI = Protocol(
    name="etri",
    index=_index("ETRI-Activity3D", "A001_P001_G001_C001.mp4", range(1, 101), range(1, 9)),
    splits={"xsub": Split(train="subject % 3 != 0", test="subject % 3 == 0", num_videos=(75_372, 37_248))},
    class_names=CLASS_NAMES,
)
SYNADL = Protocol(
    name="synadl",
    index=_index("SynADL", "A001_P101_G001_C001.avi", range(101, 116), range(1, 29), folder="{folder}"),
    class_names=CLASS_NAMES,
)
