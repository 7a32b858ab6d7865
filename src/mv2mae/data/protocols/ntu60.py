"""NTU RGB+D 60: names `SsssCcccPpppRrrrAaaa_rgb.avi`, three cameras, 60 actions, 40 people in 17 setups.

Splits after Shahroudy et al. 2016: cross-subject by 20 training performers, cross-view with camera 1 for tests.
The known list of 302 missing samples concerns skeletons only; all RGB videos exist.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from mv2mae.data.manifest import make_frame
from mv2mae.data.protocols.base import Indexed, Protocol, Split, video_files
from mv2mae.errors import InputError

TRAIN_SUBJECTS = (1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38)
_NAME = re.compile(r"S(\d{3,4})C(\d{3})P(\d{3})R(\d{3})A(\d{3})(?:_rgb)?\.(?:avi|mp4)")


def parse_name(name: str, *, max_action: int = 60, max_setup: int = 17) -> dict[str, object] | None:
    """Columns of a video from its file name; None for a name that is not NTU's or not of this set."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    setup, camera, subject, repetition, action = map(int, match.groups())
    if not (1 <= action <= max_action and 1 <= setup <= max_setup and camera >= 1 and subject >= 1):
        return None
    group = f"S{setup:03}P{subject:03}R{repetition:03}A{action:03}"
    return {"group": group, "view": camera, "label": action - 1, "subject": subject, "setup": setup}


def index_names(root: Path, files: Iterable[str], what: str, *, max_action: int = 60, max_setup: int = 17) -> Indexed:
    """Indexes files with NTU's names by their names alone; `what` names the data set in messages."""
    rows, unmatched = [], []
    for file in files:
        row = parse_name(Path(file).name, max_action=max_action, max_setup=max_setup)
        if row is None:
            unmatched.append(file)
        else:
            rows.append({"path": str(root / file), **row})
    if not rows:
        found = f"found for instance {unmatched[0]}" if unmatched else "found no video files"
        raise InputError(f"no {what} video below {root}: expected names as S001C002P003R002A013_rgb.avi, {found}")
    return Indexed(frame=make_frame(rows), unmatched=tuple(unmatched))


def index(root: Path, pattern: str = "") -> Indexed:
    """All NTU RGB+D 60 videos below `root`, at any depth."""
    if pattern:
        raise InputError(f"ntu60 has fixed names and takes no pattern ({pattern!r}); use `folder` for other names")
    found = index_names(root.absolute(), video_files(root), "NTU RGB+D 60")
    return Indexed(frame=found.frame, unmatched=found.unmatched, class_names=CLASS_NAMES)


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
    index=index,
    splits={
        "xsub": Split(
            train=f"subject in {list(TRAIN_SUBJECTS)}",
            test=f"subject not in {list(TRAIN_SUBJECTS)}",
        ),
        "xview": Split(train="view in [2, 3]", test="view == 1"),
    },
    class_names=CLASS_NAMES,
)
