"""Finds the joints of a person in a skeleton, whatever program named them.

A name is reduced to a side and a core: `mixamorig:LeftUpLeg`, `Bip01 L Thigh`, `thigh.L`, `lThigh` and `LeftHip` give
(left, upleg), (left, thigh), (left, thigh), (left, thigh) and (left, hip), and all mean the same joint. Joints
without a side are found by structure: the hips are where the legs meet, the chest is where the arms meet.
"""

import re
from itertools import pairwise

from mv2mae.errors import InputError
from mv2mae.synthetic.capture.bvh import Capture

SIDES = ("Left", "Right")
LEG, ARM = ("UpLeg", "Leg", "Foot"), ("Arm", "ForeArm", "Hand")
# In the order in which they take their joint: a core that two parts may claim (foot, shoulder) goes to the first.
_CORES = {
    "UpLeg": ("upleg", "upperleg", "thigh", "femur", "hip"),
    "Leg": ("leg", "lowerleg", "lowleg", "loleg", "shin", "calf", "tibia", "knee"),
    "Foot": ("ankle", "foot"),
    "ToeBase": ("toebase", "toe", "toes", "ball", "foot"),
    "Arm": ("arm", "upperarm", "uparm", "shldr", "humerus", "shoulder"),
    "Shoulder": ("collar", "clavicle", "collarbone", "scapula", "shoulder"),
    "ForeArm": ("forearm", "lowerarm", "lowarm", "loarm", "radius", "elbow"),
    "Hand": ("wrist", "hand"),
}
_NEEDED = (*LEG, *ARM)
_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")
_SIDE_WORDS = {"left": "Left", "l": "Left", "right": "Right", "r": "Right"}
_NOISE = {"bip", "biped", "mixamorig", "def", "org", "j", "jnt", "joint", "bone", "character", "rig", "skeleton"}


def find_joints(capture: Capture) -> dict[str, int]:
    """Joint numbers by the names of the baked bodies' joints.

    Always there: Hips, Spine1 (the chest), Head, and of each side UpLeg, Leg, Foot, Arm, ForeArm, Hand. Where the
    skeleton has them: ToeBase (perhaps an End Site) and Shoulder (the collar bone).

    Raises:
        InputError: joints are missing, or do not hang together.
    """
    joints: dict[str, int] = {}
    by_core = _by_core(capture.names)
    for side in SIDES:
        joints |= _limbs(side, by_core)
        _ends(side, capture, joints)
    _check_complete(capture, joints)
    _check_chains(capture, joints)
    joints["Hips"] = _meeting(capture, joints["LeftUpLeg"], joints["RightUpLeg"])
    chest = _meeting(capture, joints["LeftArm"], joints["RightArm"])
    if _words(capture.names[chest])[1][:1] == ["neck"]:  # 3ds Max hangs the collar bones on the neck
        chest = capture.parents[chest]
    joints["Spine1"] = chest
    joints["Head"] = _head(capture, joints, by_core)
    return joints


def _words(name: str) -> tuple[str, list[str]]:
    """Side ("Left", "Right" or "") and the other words of a name, in small letters, without numbers."""
    words = [word.lower() for word in _WORD.findall(re.split(r"[:|]", name)[-1])]
    words = [word for word in words if not word.isdigit() and word not in _NOISE]
    for i, word in enumerate(words):
        if word in _SIDE_WORDS:
            return _SIDE_WORDS[word], words[:i] + words[i + 1 :]
    for long in ("left", "right"):  # all in small letters: leftupleg
        if words and words[0].startswith(long):
            return _SIDE_WORDS[long], [words[0].removeprefix(long), *words[1:]]
    return "", words


def _by_core(names: tuple[str, ...]) -> dict[tuple[str, str], int]:
    """The first joint of each (side, core), a prefix that all sided names share (an actor's name) taken away."""
    split = [_words(name) if not name.endswith(" end") else ("", [""]) for name in names]
    sided = [words for side, words in split if side]
    shared = 0
    while sided and all(len(words) > shared + 1 and words[shared] == sided[0][shared] for words in sided):
        shared += 1
    prefix = sided[0][:shared] if sided else []
    found: dict[tuple[str, str], int] = {}
    for joint, (side, words) in enumerate(split):
        core = words[shared:] if words[:shared] == prefix else words
        found.setdefault((side, "".join(core)), joint)
    return found


def _limbs(side: str, by_core: dict[tuple[str, str], int]) -> dict[str, int]:
    taken: dict[str, int] = {}
    for part, cores in _CORES.items():
        for core in cores:
            joint = by_core.get((side, core))
            if joint is not None and joint not in taken.values():
                taken[side + part] = joint
                break
    return taken


def _ends(side: str, capture: Capture, joints: dict[str, int]) -> None:
    """Lets the End Site of a forearm be its hand, that of a shank its foot, that of a foot its toes."""
    for part, parent in (("Hand", "ForeArm"), ("Foot", "Leg"), ("ToeBase", "Foot")):
        if side + part not in joints and side + parent in joints:
            end = f"{capture.names[joints[side + parent]]} end"
            if end in capture.names:
                joints[side + part] = capture.names.index(end)


def _check_complete(capture: Capture, joints: dict[str, int]) -> None:
    missing = [side + part for side in SIDES for part in _NEEDED if side + part not in joints]
    if missing:
        found = [name for name in capture.names if not name.endswith(" end")]
        listed = ", ".join(found[:40]) + (" ..." if len(found) > 40 else "")
        raise InputError(
            f"{capture.path} lacks joints of a person: {', '.join(missing)} (or another usual name of them); "
            f"it has {listed}; rename its joints as CMU's files or Mixamo name them"
        )


def _ancestors(capture: Capture, joint: int) -> list[int]:
    """The joint, its parent, and so on to the root."""
    line = []
    while joint >= 0:
        line.append(joint)
        joint = capture.parents[joint]
    return line


def _check_chains(capture: Capture, joints: dict[str, int]) -> None:
    for side in SIDES:
        for chain in (LEG, ARM):
            for upper, lower in pairwise(chain):
                above, below = joints[side + upper], joints[side + lower]
                if above not in _ancestors(capture, below)[1:]:
                    raise InputError(
                        f"{capture.path}: {capture.names[below]!r}, taken for the {side + lower}, does not hang below "
                        f"{capture.names[above]!r}, taken for the {side + upper}; rename the joints as CMU's files do"
                    )


def _meeting(capture: Capture, a: int, b: int) -> int:
    """The nearest common ancestor."""
    above = set(_ancestors(capture, a))
    return next(joint for joint in _ancestors(capture, b) if joint in above)


def _head(capture: Capture, joints: dict[str, int], by_core: dict[tuple[str, str], int]) -> int:
    """The joint called head; else the end of the longest chain that leaves the chest beside the arms."""
    if ("", "head") in by_core:
        return by_core["", "head"]
    limbs = {joint for side in SIDES for joint in _ancestors(capture, joints[f"{side}Arm"])}
    limbs |= {joint for side in SIDES for joint in _ancestors(capture, joints[f"{side}UpLeg"])}
    best, longest = -1, 0
    for joint in range(len(capture.names)):
        line = _ancestors(capture, joint)
        branch = next((i for i, above in enumerate(line) if above in limbs), len(line))
        on_chest = branch < len(line) and line[branch] in _ancestors(capture, joints["Spine1"])[:2]
        above_limb = any(joints[f"{side}{part}"] in line for side in SIDES for part in ("UpLeg", "Arm"))
        if on_chest and not above_limb and branch > longest:
            best, longest = joint, branch
    if best < 0:
        raise InputError(
            f"{capture.path} lacks a Head: nothing but the arms leaves {capture.names[joints['Spine1']]!r}"
        )
    return best
