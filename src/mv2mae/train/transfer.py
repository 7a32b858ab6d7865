"""Between host and device without waiting: small arrays go there from pinned memory, small results come back later."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader


class Arriving:
    """Values of a small tensor on their way to the host, after what the device has been told so far."""

    def __init__(self, tensor: Tensor) -> None:
        self._event: torch.cuda.Event | None = None
        if tensor.is_cuda:
            self._values = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
            self._values.copy_(tensor, non_blocking=True)
            self._event = torch.cuda.Event()
            self._event.record()
        else:
            self._values = tensor.clone()

    def values(self) -> list[float]:
        """The values; waits until the device has come so far."""
        if self._event is not None:
            self._event.synchronize()
        return self._values.tolist()


class Prefetched:
    """Batches of a loader, each on its way to the device while the one before is worked on.

    Copies run on a stream of their own, beside the computation. What is no dictionary of tensors passes as it is.

    Args:
        loader: gives batches in pinned memory.
        device: where they are wanted.
    """

    def __init__(self, loader: DataLoader[Any], device: torch.device) -> None:
        self.loader, self.device = loader, device

    def __len__(self) -> int:
        return len(self.loader)

    def __getattr__(self, name: str) -> Any:
        """What else the engine asks of a loader, to end its processes."""
        return getattr(self.loader, name)

    def __iter__(self) -> Iterator[Any]:
        stream = torch.cuda.Stream(self.device) if self.device.type == "cuda" else None
        ahead: tuple[Any, torch.cuda.Event | None] | None = None
        for batch in self.loader:
            coming = self._send(batch, stream)
            if ahead is not None:
                yield self._arrived(*ahead)
            ahead = coming
        if ahead is not None:
            yield self._arrived(*ahead)

    def _send(self, batch: Any, stream: torch.cuda.Stream | None) -> tuple[Any, torch.cuda.Event | None]:
        if stream is None or not isinstance(batch, dict):
            return batch, None
        with torch.cuda.stream(stream):
            there = {
                name: value.to(self.device, non_blocking=True) if isinstance(value, Tensor) else value
                for name, value in batch.items()
            }
            return there, stream.record_event()

    def _arrived(self, batch: Any, event: torch.cuda.Event | None) -> Any:
        """The batch, for the stream that computes; its memory is not taken by others before that is done with it."""
        if event is not None:
            computing = torch.cuda.current_stream(self.device)
            computing.wait_event(event)
            for value in batch.values():
                if isinstance(value, Tensor):
                    value.record_stream(computing)
        return batch
