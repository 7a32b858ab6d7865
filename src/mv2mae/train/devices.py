"""Whether the device that a run asks for is there and can do what is asked, and how a model is made fast on it."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from torch import nn

from mv2mae.config import ComputeConfig
from mv2mae.devices import device_type, why_no_gpu
from mv2mae.errors import InputError
from mv2mae.model.layers import checkpoint_activations
from mv2mae.model.precision import multiplies_bf16
from mv2mae.ranks import place_on_node

_DRIVER = Path("/dev/nvidiactl")
"""Is there where an NVIDIA driver is loaded."""
_log = logging.getLogger(__name__)


def check_device(compute: ComputeConfig) -> None:
    """Make sure that a GPU which is asked for can be used; say so where one lies idle.

    Raises:
        InputError: there is none, PyTorch or the driver cannot use it, or it lacks the precision.
    """
    if device_type(compute) != "cuda":
        if compute.accelerator == "auto" and _DRIVER.exists():
            _log.warning("computing on the CPU, although there is an NVIDIA driver: %s", why_no_gpu())
        return
    if not torch.cuda.is_available():
        raise InputError(f"compute.accelerator={compute.accelerator}: {why_no_gpu()}; or choose cpu")
    # each process its own card: to touch another one takes memory there
    device = torch.device("cuda", place_on_node() % torch.cuda.device_count())
    name, (major, minor) = torch.cuda.get_device_name(device), torch.cuda.get_device_capability(device)
    try:
        torch.ones(1, device=device).add_(1).item()
    except torch.AcceleratorError as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"PyTorch {torch.__version__} cannot compute on {name} (capability {major}.{minor}): {reason}; install a "
            "PyTorch that supports it (https://pytorch.org/get-started/locally), or choose compute.accelerator=cpu"
        ) from error
    if compute.precision == "bf16-mixed" and not multiplies_bf16("cuda"):
        raise InputError(
            f"compute.precision=bf16-mixed: {name} has no bfloat16 (capability {major}.{minor}, it begins with 8.0); "
            "choose 16-mixed or 32-true"
        )


def speed_up(model: nn.Module, compute: ComputeConfig) -> None:
    """Let a model keep less for its backward pass, or be compiled, as a configuration asks for."""
    if compute.checkpoint_activations:
        checkpoint_activations(model)
    if compute.compile:
        model.compile(**({"mode": "reduce-overhead"} if compute.graphs else {}))
