"""Movers posed on a device: the moving meshes of several scenes as one ragged mesh."""

import weakref
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mv2mae.synthetic.world.mesh import Model, Mover


@dataclass(frozen=True, kw_only=True)
class Posed:
    """The movers of s scenes over t frames, one after another; nothing is padded.

    vertices [t, 3, v] float64 (so that rounding cannot move a snapped vertex between machines); faces [3, f] int64
    into v, clockwise on a screen whose y runs down; colours [3, f] float32, 0-255; parts [f] uint8. Scene i owns the
    vertices vertex_ends[i] to vertex_ends[i + 1] and the faces face_ends[i] to face_ends[i + 1].
    """

    vertices: Tensor
    faces: Tensor
    colours: Tensor
    parts: Tensor
    vertex_ends: tuple[int, ...]
    face_ends: tuple[int, ...]

    def per_vertex(self, values: Tensor) -> Tensor:
        """Values [..., s] of the scenes for each of their vertices: [..., v], or [..., 1] of a single scene."""
        return _spread(values, self.vertex_ends)

    def per_face(self, values: Tensor) -> Tensor:
        """Values [..., s] of the scenes for each of their faces: [..., f], or [..., 1] of a single scene."""
        return _spread(values, self.face_ends)


def pose(scenes: Sequence[Sequence[Mover]], frames: slice, device: torch.device) -> Posed:
    """Skins all movers of the scenes in the given frames; a mover of several scenes is skinned once."""
    distinct = {id(mover): mover for scene in scenes for mover in scene}
    meshes = {key: _mesh(mover.model, device) for key, mover in distinct.items()}
    bones = [_bones(mover, frames) for mover in distinct.values()]
    packed = torch.from_numpy(np.concatenate([b.ravel() for b in bones])).to(device)
    parts = packed.split([b.size for b in bones])
    skinned = {
        key: (part.view(-1, b.shape[-1]) @ meshes[key].basis).view(len(b), 3, -1)
        for key, part, b in zip(distinct, parts, bones, strict=True)
    }
    order = [id(mover) for scene in scenes for mover in scene]
    counts = [meshes[key].basis.shape[1] for key in order]
    faces = [meshes[key].faces + first for key, first in zip(order, np.cumsum([0, *counts[:-1]]).tolist(), strict=True)]
    return Posed(
        vertices=_join([skinned[key] for key in order], 2),
        faces=_join(faces, 1),
        colours=_join([meshes[key].colours for key in order], 1),
        parts=_join([meshes[key].parts for key in order], 0),
        vertex_ends=_ends([[meshes[id(m)].basis.shape[1] for m in scene] for scene in scenes]),
        face_ends=_ends([[meshes[id(m)].faces.shape[1] for m in scene] for scene in scenes]),
    )


@dataclass(frozen=True)
class _Mesh:
    """A model on a device; basis [4 j, v]: what a vertex takes from each entry of the joints' 3 x 4 matrices."""

    basis: Tensor
    faces: Tensor
    colours: Tensor
    parts: Tensor


_MESHES: dict[tuple[int, str], _Mesh] = {}  # models that are still in use elsewhere, by identity and device


def _mesh(model: Model, device: torch.device) -> _Mesh:
    key = id(model), str(device)
    if key not in _MESHES:
        offset = model.vertices[:, None] - np.stack(list(model.joints.values()))
        lifted = np.concatenate([offset, np.ones((*offset.shape[:2], 1))], -1) * model.weights[..., None]
        basis = np.ascontiguousarray(lifted.reshape(len(lifted), -1).T)
        faces = np.ascontiguousarray(model.faces[:, [0, 2, 1]].T.astype(np.int64))
        colours = np.ascontiguousarray(model.colours.T.astype(np.float32))
        arrays = (basis, faces, colours, model.parts.astype(np.uint8))
        _MESHES[key] = _Mesh(*(torch.from_numpy(a).to(device) for a in arrays))
        weakref.finalize(model, _MESHES.pop, key, None)
    return _MESHES[key]


def _bones(mover: Mover, frames: slice) -> np.ndarray:
    """The joints' matrices [t, 3, 4 j], rotation and position side by side."""
    both = np.concatenate([mover.rotations[frames], mover.positions[frames][..., None]], -1)
    return np.ascontiguousarray(both.transpose(0, 2, 1, 3), np.float64).reshape(len(both), 3, -1)


def _join(tensors: list[Tensor], dim: int) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors, dim)


def _ends(counts: list[list[int]]) -> tuple[int, ...]:
    return tuple(np.cumsum([0] + [sum(c) for c in counts]).tolist())


def _spread(values: Tensor, ends: tuple[int, ...]) -> Tensor:
    if len(ends) == 2:
        return values
    counts = torch.tensor(np.diff(ends), device=values.device)
    return values.repeat_interleave(counts, dim=-1, output_size=ends[-1])
