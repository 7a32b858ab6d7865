"""Which precision a device computes fast in."""

from __future__ import annotations

import torch

from mv2mae.config import ComputeConfig


def precision_of(compute: ComputeConfig) -> str:
    """Lightning's name of the precision that a run takes; `auto` is decided by what this machine has."""
    if compute.precision != "auto":
        return compute.precision
    on_gpu = compute.accelerator in ("gpu", "cuda") or (compute.accelerator == "auto" and torch.cuda.is_available())
    return "bf16-mixed" if (_gpus_multiply_bf16() if on_gpu else _cpu_multiplies_bf16()) else "32-true"


def _gpus_multiply_bf16() -> bool:
    return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)


def _cpu_multiplies_bf16() -> bool:
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
