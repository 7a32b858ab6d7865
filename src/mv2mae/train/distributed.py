"""Several processes: models in shards (FSDP), and means over processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from lightning_utilities.core.apply_func import apply_to_collection
from pytorch_lightning.strategies import DDPStrategy
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from mv2mae.config import ComputeConfig
from mv2mae.errors import InputError
from mv2mae.model.layers import Blocks
from mv2mae.ranks import launch
from mv2mae.weights import whole_state


class ShardedStrategy(DDPStrategy):
    """FSDP: every process keeps its share of weights, gradients and optimiser states, and gathers a block to use it.

    Stands on torch's `fully_shard`, for which Lightning's own strategies want a launcher's settings of their own and
    checkpoints of another shape. Here a checkpoint is what a single process would write, so that a run may go on with
    another number of devices or another strategy.
    """

    def configure_ddp(self) -> None:
        """Shard each model of the training in place of wrapping it; Lightning calls this before the optimiser is made.

        A block of a stack is gathered and freed at a time; what is outside of blocks stays gathered between forward
        and backward.
        """
        module = self.lightning_module
        assert module is not None
        mesh = init_device_mesh(self.root_device.type, (self.world_size,))
        for model in module.children():
            for stack in model.modules():
                if isinstance(stack, Blocks):
                    for block in stack:
                        fully_shard(block, mesh=mesh)
            fully_shard(model, mesh=mesh)

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """The whole weights, on the first process; nothing on the others, which have to help."""
        assert self.lightning_module is not None
        state = whole_state(self.lightning_module)
        return state if self.is_global_zero else {}

    def optimizer_state(self, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        """The same of the optimiser."""
        state = apply_to_collection(super().optimizer_state(optimizer), DTensor, lambda part: part.full_tensor().cpu())
        return state if self.is_global_zero else {}

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Take this process's share of whole states; the weights were loaded before they were sharded."""
        super().load_optimizer_state_dict(checkpoint)
        for optimizer in self.optimizers:
            for part in getattr(optimizer, "parts", (optimizer,)):
                for parameter, state in part.state.items():
                    state.update({name: _share_of(value, parameter) for name, value in state.items()})


def _share_of(value: Any, parameter: Tensor) -> Any:
    """This process's share of what a parameter has an entry for, laid out as the parameter is."""
    if not isinstance(value, Tensor) or not isinstance(parameter, DTensor) or value.shape != parameter.shape:
        return value  # the number of steps
    return distribute_tensor(value, parameter.device_mesh, parameter.placements, src_data_rank=None)


def strategy_of(compute: ComputeConfig) -> str | ShardedStrategy:
    """What Lightning's trainer takes as its strategy."""
    return ShardedStrategy() if compute.strategy == "fsdp" else compute.strategy


def check_launch(compute: ComputeConfig, world_size: int) -> None:
    """Make sure that a run has the processes that were started for it; else each would train alone, or wait forever.

    Raises:
        InputError: if torchrun or srun started another number.
    """
    started = launch()
    if started is not None and started.num != world_size:
        raise InputError(
            f"{started.by} started {started.num} processes, but compute.devices={compute.devices} x "
            f"compute.num_nodes={compute.num_nodes} make {world_size}; set them to the devices of a node and the nodes"
        )


class StepMeans:
    """Means of what a step measures over its parts and over all processes, in one exchange."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._sum: Tensor | None = None
        self._num = 0

    def add(self, values: Mapping[str, Tensor]) -> None:
        """Note the scalars of a part, the same ones in every part of a step."""
        row = torch.stack([value.detach().float() for value in values.values()])
        self._names, self._num = list(values), self._num + 1
        self._sum = row if self._sum is None else self._sum + row

    def take(self, reduce: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
        """The means, and begin anew; `reduce` gives a tensor's mean over the processes."""
        assert self._sum is not None
        means = reduce(self._sum / self._num)
        self._sum, self._num = None, 0
        return dict(zip(self._names, means.unbind(), strict=True))
