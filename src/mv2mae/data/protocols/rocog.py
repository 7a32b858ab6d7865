"""RoCoG-v2, the real ground videos: `real/ground/Halt/S00_10m_ground_label5_start1462.mp4`, seven gestures, one view.

The official lists (`*ground_train.txt`, `*ground_test.txt`: lines of a path and a label) decide what is training and
what is test where they lie below the folder, and the people do where they do not, with the same result. The split
`ground-val` divides the training part again, as the official list for validation does.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pandas as pd

from mv2mae.data.protocols.base import Indexed, Listing, Protocol, Split
from mv2mae.data.protocols.names import name_index
from mv2mae.data.protocols.texts import Line, read_lines

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
    lists = _read_lists(listing)
    frame = found.frame
    gesture = pd.Series([path.split("/")[-2] for path in frame["path"]])
    wrong = gesture != frame["label"].map(dict(enumerate(CLASS_NAMES)))
    problems = [
        (path, f"lies in the folder {folder}, but its name says {CLASS_NAMES[label]}")
        for path, folder, label in zip(frame["path"][wrong], gesture[wrong], frame["label"][wrong], strict=True)
    ]
    frame = frame[~wrong].reset_index(drop=True)
    if lists.part:
        frame, unlisted = _with_lists(frame, lists)
        problems += unlisted
    return replace(found, frame=frame, problems=(*found.problems, *problems, *lists.problems))


@dataclass
class _Lists:
    """The official lists: part and place in the list of each `GESTURE/FILE`."""

    part: dict[str, str] = field(default_factory=dict)
    problems: list[tuple[str, str]] = field(default_factory=list)


def _read_lists(listing: Listing) -> _Lists:
    lists = _Lists()
    for part in ("train", "test"):
        for file in (text for text in listing.texts if text.endswith(f"ground_{part}.txt")):
            for line in read_lines(listing.root / file):
                _read_line(line, part, lists)
    return lists


def _read_line(line: Line, part: str, lists: _Lists) -> None:
    path, _, label = line.text.rpartition(" ")
    name = "/".join(path.strip().split("/")[-2:])
    gesture = name.split("/")[0]
    if gesture not in CLASS_NAMES or label != str(CLASS_NAMES.index(gesture)):
        lists.problems.append((line.place, f"expected a path and its label from 0, as Halt/NAME.mp4 4: {line.text!r}"))
    elif lists.part.setdefault(name, part) != part:
        lists.problems.append((line.place, f"{name} is on the other list too"))


def _with_lists(frame: pd.DataFrame, lists: _Lists) -> tuple[pd.DataFrame, list[tuple[str, str]]]:
    """The official parts in place of those by person; what is on no list has none."""
    names = pd.Series(["/".join(path.split("/")[-2:]) for path in frame["path"]])
    parts = names.map(lists.part)
    parts[(parts == "train") & frame["subject"].isin(VAL_SUBJECTS)] = "val"
    problems = [(path, "is on no official list: in no part of a split") for path in frame["path"][parts.isna()]]
    problems += [(name, "is on an official list, but not there") for name in sorted(lists.part.keys() - set(names))]
    return frame.assign(part=parts.astype("string")), problems


def _columns(parts: pd.DataFrame) -> dict[str, object]:
    subject = parts["subject"].astype(int)
    part = pd.Series("train", index=parts.index)
    part[subject.isin(TEST_SUBJECTS)] = "test"
    part[subject.isin(VAL_SUBJECTS)] = "val"
    return {
        "group": parts["take"],
        "view": "ground",
        "label": parts["label"].astype(int) - 1,
        "subject": subject,
        "part": part,
    }


_by_name = name_index(
    title="RoCoG-v2 (real, ground)",
    example="real/ground/Halt/S00_10m_ground_label5_start1462.mp4",
    name=_NAME,
    limits={"label": range(1, 8)},
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
