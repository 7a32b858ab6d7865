"""Which device something runs on: the one place that chooses."""

from __future__ import annotations

import torch

from mv2mae.config import ComputeConfig
from mv2mae.errors import InputError


def best_device(name: str) -> str:
    """`auto` becomes cuda where there is one, else cpu; `gpu`, as trainings call it (`compute.accelerator`), is cuda.

    Raises:
        InputError: for a device that is not there.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    name = f"cuda{name[3:]}" if name.startswith("gpu") else name
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda"):
        raise InputError(f"device {name!r} is unknown; give auto, cpu, cuda, or cuda:0, cuda:1, ... for one of several")
    if kind == "cuda" and not torch.cuda.is_available():
        raise InputError(f"device {name!r} is not there: {why_no_gpu()}; or give cpu")
    count = torch.cuda.device_count() if kind == "cuda" else 1
    if number and not (number.isdigit() and int(number) < count):
        raise InputError(
            f"device {name!r} is not there; give {kind} or {kind}:0" + (f" to {count - 1}" if count > 1 else "")
        )
    return name


def why_no_gpu() -> str:
    """As text, and what to do, where PyTorch finds no GPU."""
    if torch.version.cuda is None:
        return (
            f"this PyTorch ({torch.__version__}) is built for CPUs alone; install one with CUDA "
            "(https://pytorch.org/get-started/locally)"
        )
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        said = str(error).split(". ")[0].splitlines()[0].rstrip(".")
        return f"PyTorch {torch.__version__} with CUDA {torch.version.cuda} finds no GPU that it can use: {said}"
    return "PyTorch sees no GPU; see `nvidia-smi` and CUDA_VISIBLE_DEVICES"


def device_type(compute: ComputeConfig) -> str:
    """`cuda` or `cpu`: what a training computes on; whether that is there, `train.devices.check_device` tells."""
    on_gpu = compute.accelerator in ("gpu", "cuda") or (compute.accelerator == "auto" and torch.cuda.is_available())
    return "cuda" if on_gpu else "cpu"
