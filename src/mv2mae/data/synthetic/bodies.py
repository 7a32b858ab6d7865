"""The 40 baked people: loading them, and posing them by linear blend skinning.

Axes everywhere in this package: x to the person's right, y to the front, z up; metres; soles on z = 0.
"""

from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

import numpy as np

from mv2mae.errors import InputError

NUM_SUBJECTS = 40
_HIDDEN = 255


@dataclass(frozen=True, kw_only=True)
class Body:
    """One person at rest: vertices [v, 3], faces [f, 3], colours [f, 3] uint8, skin weights [v, j], joints
    {name: [3]}, areas [v] in m2.
    """

    subject: int
    vertices: np.ndarray
    faces: np.ndarray
    colours: np.ndarray
    weights: np.ndarray
    joints: dict[str, np.ndarray]
    areas: np.ndarray
    sex: str
    age: int
    height: float
    hair: str


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
        areas=_vertex_areas(vertices, faces),
        colours=data["palette"][i][slot[shown]],
        weights=weights,
        joints=joints,
        sex=sex,
        age=int(age),
        height=float(height),
        hair=hair,
    )


def _vertex_areas(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """A third of the area of the faces round each vertex, [v]."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    third = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 6
    return np.bincount(faces.ravel(), weights=np.repeat(third, 3), minlength=len(vertices))


def skin(body: Body, rotations: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Linear blend skinning.

    Args:
        body: the person at rest.
        rotations: [t, j, 3, 3] orientation of each joint relative to the rest pose, joints in the order of
            `body.joints`.
        positions: [t, j, 3] where each joint is.

    Returns:
        Posed vertices [t, v, 3] in float64 (so that rounding cannot move a snapped vertex between machines).
    """
    rest = np.stack(list(body.joints.values()))
    shift = positions - np.einsum("tjab,jb->tja", rotations, rest)
    affine = np.concatenate([rotations, shift[..., None]], axis=-1).reshape(*rotations.shape[:2], 12)
    blended = (body.weights @ affine).reshape(len(affine), -1, 3, 4)
    return np.einsum("tvab,vb->tva", blended[..., :3], body.vertices, optimize=False) + blended[..., 3]
