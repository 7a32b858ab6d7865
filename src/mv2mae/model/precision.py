"""Which precision a device computes fast in."""

from __future__ import annotations

import torch

from mv2mae.config import ComputeConfig
from mv2mae.devices import device_type
from mv2mae.errors import InputError

REDUCED = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
"""What products are computed in, where that is not float32."""


def precision_of(compute: ComputeConfig) -> str:
    """Lightning's name of the precision that a run takes; `auto` and None are decided by what this machine has.

    Raises:
        InputError: float16 on a CPU.
    """
    if compute.precision == "16-mixed" and device_type(compute) == "cpu":
        raise InputError(  # the engine would take bfloat16 in its place
            "compute.precision=16-mixed is for a GPU, and this run computes on a CPU; choose bf16-mixed or 32-true"
        )
    if compute.precision not in ("auto", None):
        return compute.precision
    device = device_type(compute)
    wanted = compute.precision == "auto" or device == "cuda"
    return "bf16-mixed" if wanted and multiplies_bf16(device) else "32-true"


def multiplies_bf16(device_type: str) -> bool:
    """Whether a kind of device has instructions for products in bfloat16, and does not emulate them.

    That is what the machine has, not a timing, so that a run which goes on computes as it did before.
    """
    if device_type == "cuda":
        return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    # oneDNN makes the products; what it may use can be limited (ONEDNN_MAX_CPU_ISA)
    has_instructions = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return has_instructions and torch.ops.mkldnn._is_mkldnn_bf16_supported()
