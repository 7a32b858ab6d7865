"""What to say when a step does not fit into the memory of its device: what an item takes, and how many fit."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mv2mae.data.device_memory import free_bytes
from mv2mae.errors import InputError

if TYPE_CHECKING:
    from mv2mae.train.step import StepModule

_USED = 0.85
"""Share of the free memory that may be planned with: the rest is for what lives for a moment, and for gaps."""
_OF_A_PARAMETER = 12
"""Bytes: its gradient, and two momenta."""


def too_large(module: StepModule, error: torch.OutOfMemoryError, device: torch.device) -> InputError:
    """What to raise in place of torch's error; a few items are computed once more to learn what one takes."""
    traceback.clear_frames(error.__traceback__)  # whose variables are what the step has kept
    module.zero_grad(set_to_none=True)
    share = module.micro_batch * module.accumulate * module.num_repeats
    at_once = module.micro_batch * module.num_repeats
    said = f"a step on {at_once} items at a time does not fit into the memory of {_name(device)}"
    if module.compute.strategy == "fsdp":  # the shards cannot be computed with by one process alone
        return InputError(f"{said}; give a smaller compute.device_batch_size")
    try:
        each = bytes_of_an_item(module, device)
        free = free_bytes(device) - _OF_A_PARAMETER * sum(p.numel() for p in module.parameters() if p.requires_grad)
        fits = what_fits(each, free, share, module.num_repeats)
    except torch.OutOfMemoryError:
        each, fits = 0, 0
    if fits:
        return InputError(
            f"{said}: an item takes about {each / 2**20:,.0f} MB for its backward pass; "
            f"give compute.device_batch_size={fits} (the results stay the same)"
        )
    return InputError(f"{said}, nor does one; give compute.checkpoint_activations=true, or a smaller model")


def what_fits(each: int, free: int, share: int, num_repeats: int) -> int:
    """The largest part of a device's `share` of a step that fits, in whole items of `num_repeats`; 0 = none.

    Args:
        each: bytes that one of those takes which `device_batch_size` counts.
        free: bytes there are.
    """
    items = share // num_repeats
    most = int(_USED * free / (each * num_repeats))
    return num_repeats * next((n for n in range(min(most, items), 0, -1) if items % n == 0), 0)


def bytes_of_an_item(module: StepModule, device: torch.device) -> int:
    """What one item more has a forward pass keep for the backward pass, counted in the run's precision."""
    module.to(device)
    one, two = (_kept(module, num, device) for num in (1, 2))
    return max(1, (two - one) // module.num_repeats)


def _kept(module: StepModule, num_items: int, device: torch.device) -> int:
    """Bytes that are kept after a forward pass, storages counted once."""
    batch: Any = module.collate([item for index in range(num_items) for item in module.read(index)])
    batch = module.on_after_batch_transfer(module.transfer_batch_to_device(batch, device, 0), 0)
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with module.in_its_precision(device), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        losses = module.losses(batch, training=False)
    del losses
    return sum(kept.values())


def _name(device: torch.device) -> str:
    if device.type != "cuda":
        return "this machine"
    properties = torch.cuda.get_device_properties(device)
    return f"{properties.name} ({properties.total_memory / 2**30:.0f} GB)"
