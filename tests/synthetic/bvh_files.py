"""BVH files that tests write themselves: one simple person, under any program's names, axes and units."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

CMU = Path("/usr/share/assimp/models/BVH")  # Debian's assimp-testmodels

# Joint, parent, offset in centimetres: a T-pose, y up, facing +z, left is +x.
SKELETON = [
    ("Hips", "", (0, 100, 0)),
    ("Spine", "Hips", (0, 15, 0)),
    ("Chest", "Spine", (0, 20, 0)),
    ("Neck", "Chest", (0, 22, 0)),
    ("Head", "Neck", (0, 10, 2)),
]
for _side, _x in (("Left", 1), ("Right", -1)):
    SKELETON += [
        (f"{_side}Collar", "Chest", (3 * _x, 15, 0)),
        (f"{_side}Arm", f"{_side}Collar", (14 * _x, 0, 0)),
        (f"{_side}ForeArm", f"{_side}Arm", (28 * _x, 0, 0)),
        (f"{_side}Hand", f"{_side}ForeArm", (25 * _x, 0, 0)),
        (f"{_side}UpLeg", "Hips", (9 * _x, -4, 0)),
        (f"{_side}Leg", f"{_side}UpLeg", (0, -43, 0.5)),
        (f"{_side}Foot", f"{_side}Leg", (0, -43, -0.5)),
        (f"{_side}Toe", f"{_side}Foot", (0, -7, 14)),
    ]
ENDS = {"Head": (0, 15, 0), "LeftToe": (0, 0, 6), "RightToe": (0, 0, 6), "LeftHand": (9, 0, 0), "RightHand": (-9, 0, 0)}


def _sided(pattern: str, left: str, right: str, words: dict[str, str]) -> dict[str, str]:
    sides = {"Left": left, "Right": right}
    return {side + part: pattern.format(side=sides[side], word=word) for side in sides for part, word in words.items()}


def _parts(collar: str, arm: str, fore: str, hand: str, thigh: str, shank: str, foot: str, toe: str) -> dict[str, str]:
    keys = ("Collar", "Arm", "ForeArm", "Hand", "UpLeg", "Leg", "Foot", "Toe")
    return dict(zip(keys, (collar, arm, fore, hand, thigh, shank, foot, toe), strict=True))


_CMU_PARTS = _parts("Shoulder", "Arm", "ForeArm", "Hand", "UpLeg", "Leg", "Foot", "ToeBase")
_BIPED = _parts("Clavicle", "UpperArm", "Forearm", "Hand", "Thigh", "Calf", "Foot", "Toe0")
_BLENDER = _parts("shoulder", "upper_arm", "forearm", "hand", "thigh", "shin", "foot", "toe")
_POSER = _parts("Collar", "Shldr", "ForeArm", "Hand", "Thigh", "Shin", "Foot", "Toe")
_JOINTED = _parts("Collar", "Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle", "Toe")
_XSENS = _parts("Shoulder", "UpperArm", "ForeArm", "Hand", "UpperLeg", "LowerLeg", "Foot", "Toe")
_SMPL = _parts("collar", "shoulder", "elbow", "wrist", "hip", "knee", "ankle", "foot")
_UNREAL = _parts("clavicle", "upperarm", "lowerarm", "hand", "thigh", "calf", "foot", "ball")

STYLES: dict[str, dict[str, str]] = {
    "cmu": _sided("{side}{word}", "Left", "Right", _CMU_PARTS),
    "mixamo": _sided("mixamorig:{side}{word}", "Left", "Right", _CMU_PARTS) | {"Hips": "mixamorig:Hips"},
    "actor": _sided("John_{side}{word}", "Left", "Right", _CMU_PARTS) | {"Head": "John_Head"},
    "biped": _sided("Bip01 {side} {word}", "L", "R", _BIPED) | {"Hips": "Bip01 Pelvis", "Head": "Bip01 Head"},
    "blender": _sided("{word}.{side}", "L", "R", _BLENDER) | {"Hips": "hips", "Head": "head"},
    "poser": _sided("{side}{word}", "l", "r", _POSER) | {"Hips": "hip", "Head": "head"},
    "jointed": _sided("{side}{word}", "Left", "Right", _JOINTED),
    "xsens": _sided("{side}{word}", "Left", "Right", _XSENS),
    "smpl": _sided("{side}_{word}", "left", "right", _SMPL) | {"Hips": "pelvis"},
    "unreal": _sided("{word}_{side}", "l", "r", _UNREAL) | {"Hips": "pelvis"},
    "kinect": _sided("{word}{side}", "Left", "Right", _JOINTED),
    "small letters": _sided("{side}{word}", "left", "right", {k: v.lower() for k, v in _CMU_PARTS.items()}),
    "no head": _sided("{side}{word}", "Left", "Right", _CMU_PARTS) | {"Head": "Skull", "Neck": "Atlas"},
}


@dataclass(kw_only=True)
class Person:
    """How the person of a file moves over t frames, in the axes of `SKELETON`.

    turns: {joint: (axis, degrees [t])}, one axis each. path [t, 3]: of the hips in centimetres, from where they are at
    rest. heading: degrees by which the person is turned to the left about y.
    """

    num_frames: int = 30
    turns: dict[str, tuple[str, np.ndarray | float]] = field(default_factory=dict)
    path: np.ndarray | None = None
    heading: float = 0.0


def write_bvh(
    file: Path,
    person: Person,
    *,
    names: str = "cmu",
    order: str = "ZYX",
    z_up: bool = False,
    lying_rest: bool = False,
    unit: float = 1.0,
    frame_s: float = 1 / 30,
    leave_out: tuple[str, ...] = (),
) -> Path:
    """Writes a person; `lying_rest`: the file is y up, but its skeleton at rest lies on its back and the root turns
    it up in every frame, as some exporters do.
    """
    lay = z_up or lying_rest
    rename = STYLES[names]
    joints = [j for j in SKELETON if j[0] not in leave_out]
    children: dict[str, list[str]] = {}
    for name, parent, _ in joints:
        children.setdefault(parent, []).append(name)
    offsets = {name: np.array(offset, float) * unit for name, _, offset in joints}
    columns: list[tuple[str, str]] = []

    def vector(v: np.ndarray) -> str:
        x, y, z = v
        return " ".join(f"{n:.6f}" for n in ((x, -z, y) if lay else (x, y, z)))

    def describe(name: str, depth: int) -> list[str]:
        tab, root = "\t" * depth, depth == 0
        turns = [f"{axis}rotation" for axis in order]
        channels = ["Xposition", "Yposition", "Zposition", *turns] if root else turns
        columns.extend((name, channel) for channel in channels)
        lines = [f"{tab}{'ROOT' if root else 'JOINT'} {rename.get(name, name)}", f"{tab}{{"]
        lines += [f"{tab}\tOFFSET {vector(np.zeros(3) if root else offsets[name])}"]
        lines += [f"{tab}\tCHANNELS {len(channels)} {' '.join(channels)}"]
        for child in children.get(name, []):
            lines += describe(child, depth + 1)
        if name in ENDS:
            end = vector(np.array(ENDS[name]) * unit)
            lines += [f"{tab}\tEnd Site", f"{tab}\t{{", f"{tab}\t\tOFFSET {end}", f"{tab}\t}}"]
        return [*lines, f"{tab}}}"]

    lines = ["HIERARCHY", *describe("Hips", 0), "MOTION", f"Frames: {person.num_frames}", f"Frame Time: {frame_s:.7f}"]
    values = np.zeros((person.num_frames, len(columns)))
    place = (person.path if person.path is not None else 0) * unit + np.zeros((person.num_frames, 3)) + offsets["Hips"]
    if z_up:
        place = np.stack([place[:, 0], -place[:, 2], place[:, 1]], 1)
    for axis in range(3):
        values[:, columns.index(("Hips", f"{'XYZ'[axis]}position"))] = place[:, axis]
    turns = dict(person.turns)
    assert "Hips" not in turns, "the hips are turned by `heading`"
    if lying_rest:
        assert not person.heading, "a lying skeleton is turned about x only"
        values[:, columns.index(("Hips", "Xrotation"))] = -90
    else:
        turns["Hips"] = ("Y", person.heading)
    for name, (axis, degrees) in turns.items():
        sign = -1.0 if lay and axis == "Z" else 1.0
        named = {"X": "X", "Y": "Z", "Z": "Y"}[axis] if lay else axis
        values[:, columns.index((name, f"{named}rotation"))] = sign * np.asarray(degrees)
    lines += [" ".join(f"{v:.6f}" for v in row) for row in values]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + "\n")
    return file
