"""Ego-Exo4D: `takes.json` and `takes/NAME/frame_aligned_videos/cam01.mp4`, also `.../downscaled/448/cam01.mp4`.

A take is a group. Views are the cameras around (`cam01` ..., `gp01` ...) and those of the glasses (`aria01_214-1` in
colour, `aria01_1201-1` and `-2` in grey), on one clock. The label is the take's parent task (cooking, music, ...), the
subject the participant, the setup the capture, where `takes.json` tells them. `annotations/splits.json` divides the
takes; `takes/NAME/trajectory/gopro_calibs.csv` says where the cameras around stood.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mv2mae.data.calibration_formats import named, rotation_of_quaternion, say_distorted
from mv2mae.data.cameras import Cameras, Pinhole
from mv2mae.data.manifest import PARTS, make_frame, read_table
from mv2mae.data.protocols.base import OFFICIAL, Indexed, Listing, Problems, Protocol
from mv2mae.data.protocols.names import named_videos, without_doubles
from mv2mae.errors import InputError

_NAME = re.compile(
    r"\A(?P<folder>.*/)?(?P<take>[^/]+)/frame_aligned_videos/(?P<size>downscaled/\d+/)?"
    r"(?P<camera>(?:cam|gp)\d+|aria\d+_(?:214|211|1201)-\d)\.mp4\Z",
    re.DOTALL | re.ASCII,
)
_CALIBRATION = re.compile(r"(?:.*/)?(?P<take>[^/]+)/trajectory/gopro_calibs\.csv", re.DOTALL)
_TAKES, _SPLITS = "takes.json", "splits.json"
_LENS = "KANNALABRANDTK3"


def _index(listing: Listing) -> Indexed:
    example = "takes/NAME/frame_aligned_videos/cam01.mp4"
    parts, unmatched = named_videos(listing, _NAME, "Ego-Exo4D", example, {})
    problems: Problems = []
    named = list(dict.fromkeys(parts["take"]))
    places = {name: listing.find(name) for name in (_TAKES, _SPLITS)}
    told = _takes(listing, places[_TAKES], named, problems)
    part_of = _parts_of_takes(listing, places[_SPLITS], told, problems)
    about = [told.get(take, {}) for take in parts["take"]]
    tasks = [entry.get("parent_task_name") or None for entry in about]
    classes = tuple(sorted({str(task) for task in tasks if task}))
    frame = make_frame(
        pd.DataFrame(
            {
                "path": parts["path"],
                "group": parts["take"],
                "view": parts["camera"],
                "label": [classes.index(str(task)) if task else None for task in tasks],
                "subject": [entry.get("participant_uid") for entry in about],
                "setup": [entry.get("capture_uid") for entry in about],
                "part": [part_of.get(take) for take in parts["take"]],
            }
        )
    )
    frame, doubles = without_doubles(frame)
    calibrations = {match["take"]: name for name in listing.others if (match := _CALIBRATION.fullmatch(name))}
    cameras = _cameras(listing, {take: calibrations[take] for take in named if take in calibrations}, problems)
    return Indexed(
        frame=frame,
        unmatched=unmatched,
        class_names=classes,
        problems=(*doubles, *problems),
        used=frozenset([*(place for place in places.values() if place), *calibrations.values()]),
        cameras=cameras,
    )


def _takes(
    listing: Listing, place: str | None, named: Collection[str], problems: Problems
) -> dict[str, dict[str, Any]]:
    """What is told of each take, by its name."""
    if place is None:
        problems.append((_TAKES, "is not there: labels, subjects, setups and parts stay empty"))
        return {}
    file = listing.root / place
    found = _read_json(file)
    if not isinstance(found, list) or not all(isinstance(entry, dict) and "take_name" in entry for entry in found):
        raise InputError(f"{file} is no list of takes with `take_name`; is it the takes.json of Ego-Exo4D?")
    told = {str(entry["take_name"]): entry for entry in found}
    problems += [
        (take, f"is not in {place}: label, subject, setup and part stay empty") for take in named if take not in told
    ]
    return told


def _parts_of_takes(
    listing: Listing, place: str | None, told: dict[str, dict[str, Any]], problems: Problems
) -> dict[str, str]:
    """The part of each take by its name. The list knows takes by their `take_uid`."""
    if place is None or not told:
        return {}
    file = listing.root / place
    found = _read_json(file)
    uids = found.get("take_uid_to_split") if isinstance(found, dict) else None
    if not isinstance(uids, dict) or not set(map(str, uids.values())) <= set(PARTS):
        raise InputError(
            f"{file} has no `take_uid_to_split` with the parts {', '.join(PARTS)}; is it the splits.json of Ego-Exo4D?"
        )
    return {name: uids[entry["take_uid"]] for name, entry in told.items() if entry.get("take_uid") in uids}


def _cameras(listing: Listing, calibrations: dict[str, str], problems: Problems) -> Cameras:
    """The cameras around of each take; what cannot be used is set aside."""
    takes: dict[tuple[str, str], Pinhole] = {}
    for take, name in calibrations.items():
        try:
            table = read_table(listing.root / name)
        except InputError as error:
            problems.append((name, f"no known cameras: {error}"))
            continue
        for row in table.to_dict("records"):
            view = str(row.get("cam_uid", "")).strip()
            try:
                with named(name, view):
                    takes[take, view] = _camera({str(key): value for key, value in row.items()})
            except InputError as error:
                problems.append((name, f"no known camera: {error}"))
    if not takes:
        return Cameras()
    say_distorted()
    return Cameras(name="gopro_calibs.csv", takes=takes)


def _camera(row: dict[str, Any]) -> Pinhole:
    """A GoPro: a fish-eye (OpenCV's model, four coefficients), of which the pinhole in its middle is kept.

    Positions are in metres; the pose there takes the camera to the world, the other way round than here.
    """
    lens = str(row["intrinsics_type"]).strip()
    if lens != _LENS:
        raise InputError(f"its intrinsics_type is {lens!r}; {_LENS} was expected")
    if float(row.get("quality") or 1) == 0:
        raise InputError("its quality is 0: it was not found in the scene")
    first, last = (int(float(row.get(f"{end}_frame_idx") or -1)) for end in ("start", "end"))
    if (first, last) != (-1, -1):
        raise InputError(f"it stood still from frame {first} to {last} only")
    focal_x, focal_y, centre_x, centre_y = (float(row[f"intrinsics_{number}"]) for number in range(4))
    turn = np.array([float(row[f"{axis}_world_cam"]) for axis in ("qw", "qx", "qy", "qz")])
    place = np.array([float(row[f"{axis}_world_cam"]) for axis in ("tx", "ty", "tz")])
    rotation = rotation_of_quaternion(turn).T
    return Pinhole(
        focal=(focal_x, focal_y),
        centre=(centre_x, centre_y),
        rotation=rotation,
        translation=-rotation @ place,
        size=(float(row["image_width"]), float(row["image_height"])),
    )


def _read_json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{file} cannot be read as JSON ({error}); copy it again") from error


PROTOCOL = Protocol(name="egoexo4d", index=_index, splits=OFFICIAL)
