"""A device without numbers in the place of a GPU: whatever touches tensors of both devices, or asks for a value, fails.

It is torch's `meta` device under fake tensors. There, as on a GPU, each new tensor has to be made where the others are.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch._subclasses.fake_tensor import FakeTensor

DEVICE = torch.device("meta")
_WITH_SENT = ("data.device_memory", "data.bank", "train.randaugment", "train.image_ops", "train.mixing", "train.draws")
_FUSED = ("torch.utils._foreach_utils", "torch.optim.adam", "torch.optim.adamw", "torch.optim.optimizer")


class FakeDevice:
    """The device, as long as it is there."""

    def __init__(self, mode: FakeTensorMode) -> None:
        self.mode = mode

    def tensor(self, like: Tensor) -> Tensor:
        """A tensor there, of the shape and type of another."""
        return FakeTensor(self.mode, like.detach().to("meta"), DEVICE)

    def model(self, model: nn.Module) -> Any:
        """A model there: its parameters and buffers are replaced."""
        for module in model.modules():
            for name, parameter in module.named_parameters(recurse=False):
                module._parameters[name] = nn.Parameter(self.tensor(parameter), requires_grad=parameter.requires_grad)
            for name, buffer in module.named_buffers(recurse=False):
                module._buffers[name] = self.tensor(buffer)
        return model


@contextmanager
def fake_device(patch: pytest.MonkeyPatch) -> Iterator[FakeDevice]:
    """The device; what it cannot do, autocast and copies from pinned memory, is left out."""
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    device, autocast = FakeDevice(mode), torch.autocast
    patch.setattr(torch, "autocast", lambda kind, *a, **k: nullcontext() if kind == "meta" else autocast(kind, *a, **k))
    for name in _WITH_SENT:
        patch.setattr(f"mv2mae.{name}.sent", lambda tensor, _: device.tensor(tensor))
    for name in _FUSED:
        if hasattr(sys.modules[name], "_get_fused_kernels_supported_devices"):
            patch.setattr(sys.modules[name], "_get_fused_kernels_supported_devices", lambda: ["cpu", "meta"])
    with mode:
        yield device
