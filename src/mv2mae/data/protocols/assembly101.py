"""Assembly101: `recordings/nusar-2021_action_both_9011-a01_9011_user_id_2021-02-01_153724/C10095_rgb.mp4`, 12 views.

Eight cameras round the table (`C10095` ...) and four on the head (`HMC_21176875` ..., grey, ten bits). The subject is
the person, the setup the day: the cameras were calibrated anew each day. The toy (`a01`) has a column of its own.

`assembly101` has a row a video, without labels; `assembly101-fine` and `assembly101-coarse` a row for each action of
each view, by the annotations that lie below the folder under their own names:

    fine-grained-annotations/{train,validation,test}.csv, actions.csv
    coarse-annotations/coarse_labels/{assembly,disassembly}_RECORDING.txt, coarse_splits/{train,val,test}_coarse_*.txt

Their frames are counted at 30 a second, though the videos have 60. Known cameras are those of AssemblyHands' toolkit
(`nimble_json_calib/RECORDING.json`), of eleven of the seventeen days.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mv2mae.data.calibration_formats import as_array, named, say_distorted
from mv2mae.data.cameras import Cameras, Pinhole
from mv2mae.data.manifest import make_frame, read_table
from mv2mae.data.protocols.base import OFFICIAL, Indexed, Listing, Problems, Protocol, read_lines
from mv2mae.data.protocols.names import named_videos, without_doubles
from mv2mae.data.tables import require_columns
from mv2mae.errors import InputError

FPS = 30
EXAMPLE = "nusar-2021_action_both_9011-a01_9011_user_id_2021-02-01_153724/C10095_rgb.mp4"
_NAME = re.compile(
    r"\A(?P<folder>.*/)?(?P<recording>nusar-[^/]+)/(?P<camera>C\d{5}_rgb|HMC_\d{8}_mono10bit)\.mp4\Z",
    re.DOTALL | re.ASCII,
)
_CALIBRATION = re.compile(r"(?:.*/)?nimble_json_calib/(?P<recording>nusar-[^/]+)\.json", re.DOTALL)
_COARSE = re.compile(r"(?:.*/)?coarse_labels/(?P<name>(?:dis)?assembly_(?P<recording>nusar-[^/]+))\.txt", re.DOTALL)
_FINE_COLUMNS = ("video", "start_frame", "end_frame", "action_id")
_PARTS = {"train": "train", "validation": "val", "test": "test"}


@dataclass(frozen=True)
class Action:
    """An action in a recording, in frames at 30 a second; without a label where that is not told."""

    start: int
    end: int
    label: int | None
    part: str | None


_Actions = dict[tuple[str, str], list[Action]]
"""By recording and view; view "" = every one."""
_Reader = Callable[[Listing, tuple[str, ...], set[str], Problems], _Actions]


def _videos(listing: Listing) -> tuple[pd.DataFrame, tuple[str, ...], Problems]:
    """A row a video, as a manifest has it without its labels; what is none; and what was set aside."""
    parts, unmatched = named_videos(listing, _NAME, "Assembly101", EXAMPLE, {})
    recording = parts["recording"]
    frame = pd.DataFrame(
        {
            "path": parts["path"],
            "group": recording,
            "view": parts["camera"].str.replace(r"_(rgb|mono10bit)$", "", regex=True),
            "subject": recording.str.extract(r"_(\d+)_user_id_", expand=False),
            "setup": recording.map(_day),
            "toy": recording.str.extract(r"-([a-z]\d+[a-z]?)_", expand=False),
        }
    )
    frame, doubles = without_doubles(frame)
    return frame, unmatched, list(doubles)


def _day(recording: str) -> str | None:
    found = re.search(r"_(\d{4}-\d\d-\d\d)_\d+\Z", recording, re.ASCII)
    return found[1] if found else None


def _index(listing: Listing) -> Indexed:
    videos, unmatched, problems = _videos(listing)
    cameras, used = _cameras(listing, problems)
    return Indexed(
        frame=make_frame(videos), unmatched=unmatched, problems=tuple(problems), cameras=cameras, used=frozenset(used)
    )


def _labelled(listing: Listing, kind: str, read: _Reader) -> Indexed:
    """A row for each action of each video."""
    problems: Problems = []
    names, used = _class_names(listing, kind)
    actions = read(listing, names, used, problems)
    videos, unmatched, doubles = _videos(listing)
    columns: dict[str, list[Any]] = {name: [] for name in ("row", "group", "label", "start", "end", "part")}
    for row, (recording, view) in enumerate(zip(videos["group"], videos["view"], strict=True)):
        for action in (*actions.get((recording, view), ()), *actions.get((recording, ""), ())):
            name = "x" if action.label is None else action.label
            columns["row"].append(row)
            columns["group"].append(f"{recording}-{action.start:06}-{action.end:06}-{name}")
            columns["label"].append(action.label)
            columns["start"].append(action.start / FPS)
            columns["end"].append(action.end / FPS)
            columns["part"].append(action.part)
    if not columns["row"]:
        raise InputError(f"none of the {kind} labels below {listing.root} belongs to one of its {len(videos)} videos")
    told, here = {recording for recording, _ in actions}, set(videos["group"])
    problems += [(recording, "has labels, but no video is here") for recording in sorted(told - here)]
    problems += [(recording, "has no labels") for recording in sorted(here - told)]
    frame = videos.iloc[columns.pop("row")].reset_index(drop=True).assign(**columns)
    frame, twice = without_doubles(frame)
    cameras, calibrations = _cameras(listing, problems)
    return Indexed(
        frame=make_frame(frame),
        unmatched=unmatched,
        class_names=names,
        problems=(*doubles, *problems, *twice),
        cameras=cameras,
        used=frozenset(used | calibrations),
    )


def _class_names(listing: Listing, kind: str) -> tuple[tuple[str, ...], set[str]]:
    """The names of the classes in the order of their numbers, and the file that tells them."""
    file = listing.find(f"{kind}-annotations/actions.csv")
    if file is None:
        raise InputError(
            f"no {kind}-annotations/actions.csv below {listing.root}: copy Assembly101's annotations there"
        )
    table = _table(listing.root / file, ("action_id", "action_cls"))
    by_number = dict(zip(pd.to_numeric(table["action_id"], errors="coerce"), table["action_cls"], strict=True))
    if sorted(by_number) != list(range(len(table))):
        raise InputError(f"{listing.root / file}: action_id must count from 0 to {len(table) - 1}; copy it again")
    return tuple(str(by_number[number]).strip() for number in range(len(table))), {file}


def _fine(listing: Listing, names: tuple[str, ...], used: set[str], problems: Problems) -> _Actions:
    """The actions of each video, by recording and view."""
    actions: _Actions = {}
    for name, part in _PARTS.items():
        file = listing.find(f"fine-grained-annotations/{name}.csv")
        if file is None:
            continue
        used.add(file)
        table = _table(listing.root / file, _FINE_COLUMNS)
        start, end, label = (
            pd.to_numeric(table[column], errors="coerce") for column in ("start_frame", "end_frame", "action_id")
        )
        place = table["video"].astype(str).str.extract(r"\A(nusar-[^/]+)/([^/]+?)(?:_rgb|_mono10bit)?\.mp4\Z")
        good = start.ge(0) & end.gt(start) & label.between(0, len(names) - 1) & place[0].notna()
        problems += [
            (f"{file}, line {row + 2}", "is no action: video, start_frame < end_frame and a known action_id expected")
            for row in table.index[~good]
        ]
        whole = (column[good].astype(int) for column in (start, end, label))
        for recording, view, first, last, number in zip(place[0][good], place[1][good], *whole, strict=True):
            actions.setdefault((recording, view), []).append(Action(first, last, number, part))
    if not actions:
        raise InputError(f"no fine-grained-annotations/train.csv (validation, test) with actions below {listing.root}")
    return actions


def _coarse(listing: Listing, names: tuple[str, ...], used: set[str], problems: Problems) -> _Actions:
    """The actions of each recording, of all of its views."""
    part_of = {}
    for text in listing.texts:
        if match := re.search(r"(?:\A|/)coarse_splits/(train|val|test)_coarse_[a-z]+\.txt\Z", text):
            lines = [line.text.split()[0].removesuffix(".txt") for line in read_lines(listing.root / text)]
            part_of.update(dict.fromkeys(lines, match[1]))
    number = {name: label for label, name in enumerate(names)}
    actions: _Actions = {}
    for text in listing.texts:
        if (match := _COARSE.fullmatch(text)) is None:
            continue
        for line in read_lines(listing.root / text):
            found = re.fullmatch(r"(\d+)\s+(\d+)\s+(.+)", line.text, re.ASCII)
            if found is None or int(found[1]) >= int(found[2]) or found[3] not in number:
                problems.append((line.place, "is no action: start_frame < end_frame and a known name expected"))
                continue
            action = Action(int(found[1]), int(found[2]), number[found[3]], part_of.get(match["name"]))
            actions.setdefault((match["recording"], ""), []).append(action)
    if not actions:
        raise InputError(f"no coarse_labels/assembly_RECORDING.txt with actions below {listing.root}")
    return actions


def _table(file: Path, columns: Iterable[str]) -> pd.DataFrame:
    table = read_table(file)
    require_columns(table, columns, str(file), "is it a list of Assembly101's?")
    return table


# --- known cameras -----------------------------------------------------------------------------------------


def _cameras(listing: Listing, problems: Problems) -> tuple[Cameras, set[str]]:
    """The eight cameras of each day whose calibration lies below the folder, and the files of these."""
    rig: dict[tuple[str, str], Pinhole] = {}
    used = set()
    for name in listing.others:
        match = _CALIBRATION.fullmatch(name)
        day = match and _day(match["recording"])
        if not day:
            continue
        used.add(name)
        try:
            with named(name):
                entries = json.loads((listing.root / name).read_text(encoding="utf-8"))
                found = [entry["Camera"] for entry in entries]
            for entry in found:
                view = str(entry.get("SerialNo", "")).removesuffix("_rgb")
                if re.fullmatch(r"C\d{5}", view):  # those on the head move
                    with named(name, view):
                        rig[day, view] = _camera(entry)
        except InputError as error:
            problems.append((name, f"no known cameras: {error}"))
    if not rig:
        return Cameras(), used
    say_distorted()
    return Cameras(name="nimble_json_calib", rig=rig), used


def _camera(entry: Mapping[str, Any]) -> Pinhole:
    """A camera round the table: `ModelViewMatrix` takes the world to it, in millimetres."""
    pose = as_array(entry["ModelViewMatrix"])
    if pose.shape != (4, 4):
        raise InputError(f"its ModelViewMatrix has the shape {list(pose.shape)}; [4, 4] was expected")
    return Pinhole(
        focal=(float(entry["fx"]), float(entry["fy"])),
        centre=(float(entry["cx"]), float(entry["cy"])),
        rotation=pose[:3, :3],
        translation=pose[:3, 3] / 1000,
        size=(float(entry["ImageSizeX"]), float(entry["ImageSizeY"])),
    )


PROTOCOL = Protocol(name="assembly101", index=_index)
FINE = Protocol(
    name="assembly101-fine", index=lambda listing: _labelled(listing, "fine-grained", _fine), splits=OFFICIAL
)
COARSE = Protocol(
    name="assembly101-coarse", index=lambda listing: _labelled(listing, "coarse", _coarse), splits=OFFICIAL
)
