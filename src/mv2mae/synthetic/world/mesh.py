"""What moves before a camera: models at rest, and movers, which are models with a motion.

Axes everywhere in this package: x to the person's right, y to the front, z up; metres; soles on z = 0.
"""

from dataclasses import dataclass

import numpy as np

PARTS = (
    "background",
    "head",
    "torso",
    "left_upper_arm",
    "left_forearm",
    "left_hand",
    "right_upper_arm",
    "right_forearm",
    "right_hand",
    "left_thigh",
    "left_shank",
    "left_foot",
    "right_thigh",
    "right_shank",
    "right_foot",
    "prop",
    "distractor",
)
"""The classes of the segmentation; a value in a map is an index into this list."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """A thing at rest.

    vertices [v, 3] in metres; faces [f, 3], counter-clockwise from outside; colours [f, 3] uint8; parts [f] uint8,
    indices into `PARTS`; weights [v, j] of linear blend skinning; joints {name: [3]} at rest; areas [v] in m2, a
    third of the faces round each vertex.
    """

    vertices: np.ndarray
    faces: np.ndarray
    colours: np.ndarray
    parts: np.ndarray
    weights: np.ndarray
    joints: dict[str, np.ndarray]
    areas: np.ndarray

    @classmethod
    def rigid(cls, vertices: np.ndarray, faces: np.ndarray, colours: np.ndarray, part: str) -> "Model":
        """A thing without joints of its own: it turns about, and sits at, the origin of its coordinates."""
        return cls(
            vertices=vertices,
            faces=faces,
            colours=colours,
            parts=np.full(len(faces), PARTS.index(part), np.uint8),
            weights=np.ones((len(vertices), 1)),
            joints={"thing": np.zeros(3)},
            areas=vertex_areas(vertices, faces),
        )


@dataclass(frozen=True, kw_only=True)
class Mover:
    """A model and where its joints are over t frames: rotations [t, j, 3, 3] against rest, positions [t, j, 3]."""

    model: Model
    rotations: np.ndarray
    positions: np.ndarray

    def vertices(self) -> np.ndarray:
        """Posed vertices [t, v, 3] in float64 (so that rounding cannot move a snapped vertex between machines)."""
        rest = np.stack(list(self.model.joints.values()))
        shift = self.positions - np.einsum("tjab,jb->tja", self.rotations, rest)
        affine = np.concatenate([self.rotations, shift[..., None]], axis=-1).reshape(*self.rotations.shape[:2], 12)
        blended = (self.model.weights @ affine).reshape(len(affine), -1, 3, 4)
        return np.einsum("tvab,vb->tva", blended[..., :3], self.model.vertices, optimize=False) + blended[..., 3]


def vertex_areas(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """A third of the area of the faces round each vertex, [v]."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    third = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 6
    return np.bincount(faces.ravel(), weights=np.repeat(third, 3), minlength=len(vertices))
