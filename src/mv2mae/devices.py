"""Which device something runs on: the one place that chooses."""

from __future__ import annotations

import torch

from mv2mae.config import ComputeConfig
from mv2mae.errors import InputError


def best_device(name: str) -> str:
    """`auto` becomes cuda where there is one, else cpu.

    Raises:
        InputError: for a device that is not there.
    """
    has_cuda = torch.cuda.is_available()
    if name == "auto":
        return "cuda" if has_cuda else "cpu"
    if name != "cpu" and not (name.split(":")[0] == "cuda" and has_cuda):
        raise InputError(f"device {name!r} is not there; give cpu" + (" or cuda" if has_cuda else ""))
    return name


def device_type(compute: ComputeConfig) -> str:
    """`cuda` or `cpu`: what a training computes on; whether that is there, `train.devices.check_device` tells."""
    on_gpu = compute.accelerator in ("gpu", "cuda") or (compute.accelerator == "auto" and torch.cuda.is_available())
    return "cuda" if on_gpu else "cpu"
