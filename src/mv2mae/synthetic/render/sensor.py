"""What a camera adds: noise, shake, flicker, drift. Every draw is a hash of (seed, stream, counter).

A hash in 32-bit integers gives the same numbers on every device, needs no state, and keeps a GPU busy by itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mv2mae.synthetic.difficulty import Disturbance

_WALK, _CORNER, _FIELD = 1, 2, 3  # streams
_KNOTS = 6  # of the slow drift in a clip


def hashed(seed: Tensor, stream: int, count: int) -> Tensor:
    """[n, count] int32, all bits random, for seeds [n] int64; the counter runs along the last axis."""
    low, high = (_mix(part.to(torch.int32)) for part in ((seed & 0xFFFFFFFF), (seed >> 32) ^ (stream * 0x3C6EF372)))
    counter = torch.arange(count, dtype=torch.int32, device=seed.device)
    return _mix(_mix(counter + low[:, None]) ^ high[:, None])


def _mix(x: Tensor) -> Tensor:
    """A bijection of 32-bit integers with little bias (constants of the hash "lowbias32")."""
    x = (x ^ ((x >> 16) & 0xFFFF)) * 0x7FEB352D
    x = (x ^ ((x >> 15) & 0x1FFFF)) * -0x7B935975  # 0x846ca68b
    return x ^ ((x >> 16) & 0xFFFF)


def normals(seed: Tensor, stream: int, count: int) -> Tensor:
    """[n, count] float32, nearly normal with mean 0 and deviation 1: sums of four random bytes, within +-3.5."""
    bits = hashed(seed, stream, count)
    total = (bits & 255) + ((bits >> 8) & 255) + ((bits >> 16) & 255) + ((bits >> 24) & 255)
    return (total - 510).float() / float(np.sqrt(4 * (256**2 - 1) / 12))


@dataclass(frozen=True)
class Draws:
    """Of n takes over t frames, on the CPU: shift [n, t, 2] int64, whole samples; gain [n, t, 3]; corner [n, t, 2]
    int64, where each frame is cut from the field of noise; sigma [n], its deviation; seed [n] int64.
    """

    shift: Tensor
    gain: Tensor
    corner: Tensor
    sigma: Tensor
    seed: Tensor

    @classmethod
    def of(cls, seeds: Sequence[int], added: Sequence[Disturbance], t: int, size: int, limit: int) -> "Draws":
        """Draws for frames of `size` pixels; shifts are in half pixels, `limit` at most."""
        seed = torch.tensor([s & (2**63 - 1) for s in seeds], dtype=torch.int64)
        noise, flicker, shake, drift = (
            torch.tensor([getattr(a, name) for a in added], dtype=torch.float64)
            for name in ("noise", "flicker", "shake", "drift")
        )
        walks = normals(seed, _WALK, 3 * (t + 20) + 2 * _KNOTS).double()
        quick = _smooth(walks[:, : 3 * (t + 20)].view(-1, 3, t + 20), np.hanning(9) / 2)
        shift = torch.round(_smooth(quick[:, :2], np.ones(13) / 13) * shake[:, None, None] * 2)
        slow = _slow(walks[:, 3 * (t + 20) :].view(-1, 2, _KNOTS), t) * drift[:, None, None]
        warmth = slow[:, 1, :, None] * torch.tensor([0.5, 0.0, -0.5], dtype=torch.float64)
        gain = (1 + flicker[:, None] * quick[:, 2, :t])[..., None] * (1 + slow[:, 0, :, None]) * (1 + warmth)
        corner = (hashed(seed, _CORNER, 2 * t).view(-1, t, 2).long() & 0x7FFFFFFF) % (size + 1)
        shift = shift.clamp_(-limit, limit).long().transpose(1, 2).contiguous()
        return cls(shift, gain.float(), corner, noise.float(), seed)


def noise_field(seed: Tensor, sigma: Tensor, size: int) -> Tensor:
    """[n, 3, 2 size, 2 size] float32, normal noise of deviation sigma [n]; frames are cut from it at random corners."""
    side = 2 * size
    return (normals(seed, _FIELD, 3 * side * side) * sigma[:, None]).view(-1, 3, side, side)


def _smooth(walk: Tensor, window: np.ndarray) -> Tensor:
    """The last axis convolved, shorter by len(window) - 1."""
    return (walk.unfold(-1, len(window), 1) * torch.from_numpy(window)).sum(-1)


def _slow(steps: Tensor, t: int) -> Tensor:
    """[n, k, t] a smooth random walk through knots [n, k, steps] about its mean, of about unit size over the clip."""
    walk = steps.cumsum(-1)
    walk = walk - walk.mean(-1, keepdim=True)
    at = torch.linspace(0, steps.shape[-1] - 1, t, dtype=torch.float64)
    knot = at.floor().long().clamp_(max=steps.shape[-1] - 2)
    part = at - knot
    part = part * part * (3 - 2 * part)
    return walk[..., knot] * (1 - part) + walk[..., knot + 1] * part
