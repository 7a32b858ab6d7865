"""Ego-Exo4D: `takes.json` and `takes/NAME/frame_aligned_videos/cam01.mp4`, also `.../downscaled/448/cam01.mp4`.

A take is a group. Views are the cameras around (`cam01` ..., `gp01` ...) and those of the glasses (`aria01_214-1` in
colour, `aria01_1201-1` and `-2` in grey), on one clock. The label is the take's parent task (cooking, music, ...), the
subject the participant, the setup the capture, where `takes.json` tells them.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd

from mv2mae.data.manifest import make_frame
from mv2mae.data.protocols.base import Indexed, Listing, Protocol
from mv2mae.data.protocols.names import match_names, no_video, without_doubles
from mv2mae.errors import InputError

_NAME = re.compile(
    r"\A(?P<folder>.*/)?(?P<take>[^/]+)/frame_aligned_videos/(?P<size>downscaled/\d+/)?"
    r"(?P<camera>(?:cam|gp)\d+|aria\d+_(?:214|211|1201)-\d)\.mp4\Z",
    re.DOTALL | re.ASCII,
)
_TAKES = "takes.json"


def _index(listing: Listing) -> Indexed:
    parts = match_names(listing.files, _NAME, {})
    files = pd.Series(listing.files, dtype=object)
    if parts.empty:
        raise no_video(listing, "Ego-Exo4D", "takes/NAME/frame_aligned_videos/cam01.mp4")
    place = next((name for name in listing.others if name.rsplit("/", 1)[-1] == _TAKES), None)
    told = {} if place is None else _read_takes(listing.root / place)
    about = [told.get(take, {}) for take in parts["take"]]
    tasks = [entry.get("parent_task_name") or None for entry in about]
    classes = tuple(sorted({str(task) for task in tasks if task}))
    frame = make_frame(
        pd.DataFrame(
            {
                "path": f"{listing.root}/" + files[parts.index],
                "group": parts["take"],
                "view": parts["camera"],
                "label": [classes.index(str(task)) if task else None for task in tasks],
                "subject": [entry.get("participant_uid") for entry in about],
                "setup": [entry.get("capture_uid") for entry in about],
            }
        )
    )
    frame, problems = without_doubles(frame)
    missing = (
        [(_TAKES, "is not there: labels, subjects and setups stay empty")]
        if place is None
        else [(take, f"is not in {place}: label, subject and setup stay empty")
              for take in dict.fromkeys(parts["take"]) if take not in told]
    )  # fmt: skip
    unmatched = tuple(files.drop(parts.index))
    used = frozenset() if place is None else frozenset({place})
    return Indexed(frame=frame, unmatched=unmatched, class_names=classes, problems=(*problems, *missing), used=used)


def _read_takes(file: Path) -> dict[str, dict[str, Any]]:
    """What is told of each take, by its name."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{file} cannot be read as JSON ({error}); copy it again") from error
    if not isinstance(found, list) or not all(isinstance(entry, dict) and "take_name" in entry for entry in found):
        raise InputError(f"{file} is no list of takes with `take_name`; is it the takes.json of Ego-Exo4D?")
    return {str(entry["take_name"]): entry for entry in found}


PROTOCOL = Protocol(name="egoexo4d", index=_index)
