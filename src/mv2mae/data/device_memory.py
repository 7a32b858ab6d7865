"""The memory of a device: how much is free, and how small things get there without a wait."""

from __future__ import annotations

import torch
from torch import Tensor

from mv2mae.data.free_memory import free_memory


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the host on a device; a plain copy to a GPU would wait for all that the GPU has still to do."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def free_bytes(device: torch.device) -> int:
    """Memory that is free on a device."""
    if device.type != "cuda":
        return free_memory()
    torch.cuda.empty_cache()
    return torch.cuda.mem_get_info(device)[0]
