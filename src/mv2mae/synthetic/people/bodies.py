"""The 40 baked people."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

import numpy as np

from mv2mae.errors import InputError
from mv2mae.synthetic.world.mesh import PARTS, Model, vertex_areas

NUM_SUBJECTS = 40
_HIDDEN = 255
_LIMBS = {
    "ForeArm": "forearm",
    "Arm": "upper_arm",
    "Hand": "hand",
    "UpLeg": "thigh",
    "Leg": "shank",
    "Foot": "foot",
    "ToeBase": "foot",
}


@dataclass(frozen=True, kw_only=True)
class Body(Model):
    """One person at rest; height in metres, age in years."""

    subject: int
    sex: str
    age: int
    height: float
    hair: str

    def __reduce__(self) -> tuple[Callable[[int], "Body"], tuple[int]]:
        """Between processes only the number travels: everyone has the baked people."""
        return load_body, (self.subject,)


@lru_cache(maxsize=1)
def _table() -> dict[str, np.ndarray]:
    with (
        resources.files(__package__).joinpath("bodies.npz").open("rb") as file,
        np.load(file, allow_pickle=False) as data,
    ):
        return {name: data[name] for name in data.files}


@lru_cache(maxsize=NUM_SUBJECTS)
def load_body(subject: int) -> Body:
    """The person with id `subject` (1 to 40).

    Raises:
        InputError: there is no such person.
    """
    if not 1 <= subject <= NUM_SUBJECTS:
        raise InputError(f"subject {subject} does not exist; the baked people are 1 to {NUM_SUBJECTS}")
    data, i = _table(), subject - 1
    vertices = (data["mean"].astype(np.float64) + data["delta"][i]) * float(data["unit"])
    weights = np.zeros((len(vertices), len(data["joint_names"])))
    np.put_along_axis(weights, data["weight_joint"].astype(np.int64), data["weight"].astype(np.float64), axis=1)
    weights /= weights.sum(axis=1, keepdims=True)
    slot = data["slot"][i]
    shown = slot != _HIDDEN
    sex, age, height, hair = str(data["info"][i]).split(",")
    joints = {str(name): data["joints"][i, j].astype(np.float64) for j, name in enumerate(data["joint_names"])}
    faces = data["faces"][shown].astype(np.int64)
    return Body(
        subject=subject,
        vertices=vertices,
        faces=faces,
        areas=vertex_areas(vertices, faces),
        colours=data["palette"][i][slot[shown]],
        parts=_face_parts(weights, faces, list(joints)),
        weights=weights,
        joints=joints,
        sex=sex,
        age=int(age),
        height=float(height),
        hair=hair,
    )


def _face_parts(weights: np.ndarray, faces: np.ndarray, names: list[str]) -> np.ndarray:
    """The part [f] whose joint weighs most on a face."""
    joint = weights[faces].sum(1).argmax(1)
    return np.array([_part_of_joint(name) for name in names], np.uint8)[joint]


def _part_of_joint(name: str) -> int:
    """Which of `PARTS` a joint moves."""
    side = "left" if name.startswith("Left") else "right"
    for ending, part in _LIMBS.items():
        if name.endswith(ending):
            return PARTS.index(f"{side}_{part}")
    return PARTS.index("head" if name.startswith(("Neck", "Head")) else "torso")
