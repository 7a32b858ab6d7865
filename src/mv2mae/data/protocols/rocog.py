"""RoCoG-v2, the real ground videos: `real/ground/Halt/S00_10m_ground_label5_start1462.mp4`, seven gestures, one view.

The official lists (`*ground_train.txt`, `*ground_test.txt`: lines of a path and a label) decide what is training and
what is test where they lie below the folder, and the people do where they do not, with the same result. The split
`ground-val` divides the training part again, as the official list for validation does.
"""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from mv2mae.data.protocols.base import Indexed, Listing, Problems, Protocol, Split, read_lines
from mv2mae.data.protocols.names import name_index

CLASS_NAMES = ("Advance", "Attention", "Rally", "MoveForward", "Halt", "FollowMe", "MoveInReverse")
TEST_SUBJECTS = (0, 4, 6, 9)
VAL_SUBJECTS = (2, 10)

_NAME = (
    rf"(?P<gesture>{'|'.join(CLASS_NAMES)})/(?P<take>S(?P<subject>\d{{2}})b?_\d+m_ground(?:_\d+)?_label(?P<label>\d)_start\d+)"
    r"\.(?:mp4|avi)"
)


def index(listing: Listing) -> Indexed:
    """All real ground videos; the label in a name is one more than the label."""
    found = _by_name(listing)
    problems: Problems = []
    part_of = _read_lists(listing, problems)
    frame = found.frame
    gesture = pd.Series([path.split("/")[-2] for path in frame["path"]])
    wrong = gesture != frame["label"].map(dict(enumerate(CLASS_NAMES)))
    misplaced = [
        (path, f"lies in the folder {folder}, but its name says {CLASS_NAMES[label]}")
        for path, folder, label in zip(frame["path"][wrong], gesture[wrong], frame["label"][wrong], strict=True)
    ]
    frame, unlisted = frame[~wrong].reset_index(drop=True), Problems()
    if part_of:
        frame, unlisted = _with_lists(frame, part_of)
    return replace(found, frame=frame, problems=(*found.problems, *misplaced, *unlisted, *problems))


def _read_lists(listing: Listing, problems: Problems) -> dict[str, str]:
    """The official part of each `GESTURE/FILE`."""
    part_of: dict[str, str] = {}
    for part in ("train", "test"):
        for file in (text for text in listing.texts if text.endswith(f"ground_{part}.txt")):
            for line in read_lines(listing.root / file):
                path, _, label = line.text.rpartition(" ")
                name = "/".join(path.strip().split("/")[-2:])
                gesture = name.split("/")[0]
                if gesture not in CLASS_NAMES or label != str(CLASS_NAMES.index(gesture)):
                    said = f"expected a path and its label from 0, as Halt/NAME.mp4 4: {line.text!r}"
                    problems.append((line.place, said))
                elif part_of.setdefault(name, part) != part:
                    problems.append((line.place, f"{name} is on the other list too"))
    return part_of


def _with_lists(frame: pd.DataFrame, part_of: dict[str, str]) -> tuple[pd.DataFrame, Problems]:
    """The official parts in place of those by person; what is on no list has none."""
    names = pd.Series(["/".join(path.split("/")[-2:]) for path in frame["path"]])
    parts = names.map(part_of)
    parts[(parts == "train") & frame["subject"].isin(VAL_SUBJECTS)] = "val"
    problems = [(path, "is on no official list: in no part of a split") for path in frame["path"][parts.isna()]]
    problems += [(name, "is on an official list, but not there") for name in sorted(part_of.keys() - set(names))]
    return frame.assign(part=parts.astype("string")), problems


def _columns(parts: pd.DataFrame) -> dict[str, object]:
    subject = parts["subject"].astype(int)
    part = pd.Series("train", index=parts.index)
    part[subject.isin(TEST_SUBJECTS)] = "test"
    part[subject.isin(VAL_SUBJECTS)] = "val"
    return {"view": "ground", "part": part}


_by_name = name_index(
    title="RoCoG-v2 (real, ground)",
    example="real/ground/Halt/S00_10m_ground_label5_start1462.mp4",
    name=_NAME,
    limits={"label": range(1, 8)},
    group="{take}",
    columns=_columns,
)

PROTOCOL = Protocol(
    name="rocog",
    index=index,
    splits={
        "ground": Split(train="part in ['train', 'val']", test="part == 'test'", num_videos=(204, 100)),
        "ground-val": Split(train="part == 'train'", test="part == 'val'", num_videos=(162, 42)),
    },
    class_names=CLASS_NAMES,
)
