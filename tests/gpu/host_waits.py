"""Counts the calls for which the host would wait for a GPU, on the CPU, where nothing waits."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

WAITING = {
    *("item", "tolist", "cpu", "numpy", "__bool__", "__float__", "__int__", "__index__", "is_nonzero", "equal"),
    *("allclose", "nonzero", "argwhere", "masked_select", "unique", "unique_consecutive", "bincount", "synchronize"),
}
MAKING = {"tensor", "as_tensor"}
"""From numbers of the host to a device: copied from memory that is not pinned."""

ALLOWED = {
    "values": "of `Arriving`, looked at one step late",
    "check_clip": "looks at values on a CPU alone",
    "collate_clips": "tensors of the host",
    "draw_script": "tensors of the host",
    "_counts": "has another way on a GPU",
}
"""Functions in which such calls are right, and why."""


class HostWaits(TorchFunctionMode):
    """Notes where values of tensors are asked for, where shapes depend on them, and where numbers become tensors.

    It sees what Python calls. Of copies to a device it sees none; on a GPU torch's own `set_sync_debug_mode` does.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if _waits(getattr(func, "__name__", ""), args, kwargs):
            frames = [f for f in traceback.extract_stack()[:-1] if "/torch/" not in f.filename and f.name[0] != "<"]
            frame = frames[-1]
            if frame.name in ALLOWED:
                return func(*args, **kwargs)
            self.seen.append(f"{func.__name__} in {frame.filename}:{frame.lineno}: {frame.line}")
        return func(*args, **kwargs)


def _waits(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    if name in ("__getitem__", "__setitem__", "index_put_"):
        index = args[1] if isinstance(args[1], tuple) else (args[1],)
        return any(isinstance(part, list) or (isinstance(part, Tensor) and part.dtype == torch.bool) for part in index)
    if name == "repeat_interleave":
        return isinstance(args[1], Tensor) and "output_size" not in kwargs
    if name == "where":
        return len(args) == 1
    return name in WAITING or (name in MAKING and kwargs.get("device") is not None)
