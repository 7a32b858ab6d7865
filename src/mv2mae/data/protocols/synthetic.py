"""The project's synthetic sets (the sample set among them): NTU's names with .mp4 and any numbers.

Their splits are ours. `xsub-xview` is the hard one: unseen people on an unseen camera; its training part
leaves out both.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from mv2mae.data.protocols.base import Indexed, Protocol, Split, video_files
from mv2mae.data.protocols.ntu60 import index_names
from mv2mae.errors import InputError


def index(root: Path, pattern: str = "") -> Indexed:
    """All videos with NTU's names below `root`, whatever their numbers."""
    if pattern:
        raise InputError(f"synthetic has fixed names and takes no pattern ({pattern!r}); use `folder` for other names")
    found = index_names(root.absolute(), video_files(root), "synthetic", max_action=999, max_setup=9999)
    return replace(found, class_names=_class_names(root / "classes.json"))


def _class_names(path: Path) -> tuple[str, ...]:
    """Names that `mv2mae synth` left beside its videos, by label; a set may hold only some of the labels."""
    if not path.exists():
        return ()
    names = {int(label): str(name) for label, name in json.loads(path.read_text(encoding="utf-8")).items()}
    return tuple(names.get(label, str(label)) for label in range(max(names) + 1))


_TEST_SUBJECT = "(subject % 5 == 0 or subject % 5 == 4)"
_TRAIN_SUBJECT = "(subject % 5 != 0 and subject % 5 != 4)"

PROTOCOL = Protocol(
    name="synthetic",
    index=index,
    splits={
        "xsub": Split(train=_TRAIN_SUBJECT, test=_TEST_SUBJECT),
        "xview": Split(train="view != 1", test="view == 1"),
        "xset": Split(train="setup % 2 == 0", test="setup % 2 == 1"),
        "xsub-xview": Split(train=f"{_TRAIN_SUBJECT} and view != 1", test=f"{_TEST_SUBJECT} and view == 1"),
    },
)
