"""Steps whose loss or gradient is not finite: skipped on all processes alike, counted, and their items noted."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from mv2mae.errors import InputError
from mv2mae.files import write_text
from mv2mae.ranks import first_only
from mv2mae.runs import NON_FINITE_NAME, spared
from mv2mae.train.callbacks import StepCallback
from mv2mae.train.checkpoints import Checkpoints
from mv2mae.train.lightning import is_logged, scaler_of
from mv2mae.train.optim import skip_if, skips_on_device
from mv2mae.train.stopping import StopSignals
from mv2mae.train.transfer import Arriving


@dataclass(frozen=True)
class _Part:
    """What is left of a part of a batch until its step is decided upon."""

    loss: Tensor
    index: Tensor
    seeds: Any


@dataclass(frozen=True)
class _Step:
    """A step that was taken, or skipped, on a device which nobody has asked yet."""

    number: int
    flags: Arriving
    parts: list[_Part]


class FiniteGuard(StepCallback):
    """Skips a step whose loss or gradient is not finite: weights and optimiser stay, schedule and data go on.

    With the fp16 scaler only the loss counts: gradients that overflow are its own business, and it skips such steps
    itself. They count only once its scale, lowered with each of them, is below 1, where nothing overflows that would
    not without it. What processes have to agree upon is exchanged once a step, the wish to stop among it.

    On a GPU the device decides for itself, so that the host does not wait for it: the optimiser is given a number to
    read there (`optim.skip_if`), and what came of a step is counted and told after the next one, or when a checkpoint
    is written. So it is where the optimiser can (`optim.skips_on_device`) and there is no fp16 scaler.

    Has to come before `Checkpoints`, which keep its counts.

    Args:
        run: the run's folder; items of skipped steps are appended to `non_finite.jsonl`.
        limit: skipped steps in a row that end the run.
        checkpoints: what saves before that.
        signals: whose request to stop is exchanged.
        late: whether a step is told of after the next one; None = on a GPU.
    """

    def __init__(
        self, run: Path, limit: int, checkpoints: Checkpoints, signals: StopSignals, late: bool | None = None
    ) -> None:
        self.late, self._taken = late, list[_Step]()
        self.file, self.limit, self.checkpoints, self.signals = run / NON_FINITE_NAME, limit, checkpoints, signals
        self.num_skipped, self.in_a_row, self.skipping, self._by_loss = 0, 0, False, False
        self._scale = 1.0
        self._parts: list[_Part] = []
        self._batch: dict[str, Any] = {}

    def state_dict(self) -> dict[str, Any]:
        """The counts, those of the step at hand among them."""
        self._settle(keep=0)
        return {"num_skipped": self.num_skipped, "in_a_row": self.in_a_row}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The reverse."""
        self.num_skipped, self.in_a_row = state_dict["num_skipped"], state_dict["in_a_row"]

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Remember which items these are, not their pixels."""
        self._batch = {"index": batch["index"], "seeds": batch.get("seed", batch.get("seeds"))}

    def on_before_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Tensor) -> None:
        """Remember what they cost."""
        self._parts.append(_Part(loss.detach().clone(), **self._batch))  # a replayed graph writes into its own loss

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Decide; a step without gradients changes nothing, momenta and weight decay included."""
        scaled = scaler_of(trainer) is not None
        flags = self._flags(trainer, pl_module, scaled)
        if self._is_late(flags, optimizer, scaled):
            pl_module.skip = flags[:2].amax()
            skip_if(optimizer, pl_module.skip)
            self._trainer, self._module = trainer, pl_module
            self._taken.append(_Step(trainer.global_step + 1, Arriving(flags), self._parts))
            self._parts = []
            return
        self._decide(flags.tolist())
        pl_module.step_skipped = self.skipping  # type: ignore[assignment]
        if self.skipping and not scaled:
            optimizer.zero_grad(set_to_none=True)

    def _decide(self, flags: list[float]) -> None:
        """Whether the step counts, by what all processes found (`_flags`)."""
        bad_loss, bad_gradient, signal = flags
        self.signals.exchange(int(signal))
        self._by_loss = bool(bad_loss)
        self.skipping = self._by_loss or bool(bad_gradient)

    def _is_late(self, flags: Tensor, optimizer: torch.optim.Optimizer, scaled: bool) -> bool:
        late = flags.is_cuda if self.late is None else self.late
        return late and not scaled and skips_on_device(optimizer)

    def _flags(self, trainer: pl.Trainer, module: pl.LightningModule, scaled: bool) -> Tensor:
        """On the device, over all processes: whether losses are bad, gradients are, and the number of a signal."""
        bad_loss = ~torch.stack([part.loss for part in self._parts]).isfinite().all()
        bad_gradient = torch.zeros_like(bad_loss) if scaled else ~gradients_are_finite(module.parameters())
        signal = torch.full_like(bad_loss, self.signals.requested, dtype=torch.float)
        flags = torch.stack([bad_loss.float(), bad_gradient.to(bad_loss.device).float(), signal])
        if trainer.world_size > 1:  # Lightning's way would wait at a barrier first
            torch.distributed.all_reduce(flags, torch.distributed.ReduceOp.MAX)
        return flags

    def after_step(self, trainer: pl.Trainer, module: Any) -> None:
        """Count.

        Raises:
            InputError: too many in a row.
        """
        if self._taken:
            self._settle(keep=1)
        else:
            self.skipping = self.skipping or self._scale_fell(scaler_of(trainer))
            self._count(trainer, module, trainer.global_step, self._parts)
            self._parts.clear()
        if self.num_skipped and is_logged(trainer, trainer.global_step):
            module.log("train/skipped_steps", float(self.num_skipped))
        if self.in_a_row >= self.limit:
            self.checkpoints.save(trainer, must=True)
            raise InputError(
                f"loss or gradient were not finite in {self.in_a_row} steps in a row, up to step "
                f"{trainer.global_step}; the weights of before these steps are saved. {self.file} names the items; "
                "a lower learning rate or optim.clip_grad_norm (in a new run), or compute.precision=32-true, may help"
            )

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Count the last step too."""
        self._settle(keep=0)

    def _settle(self, keep: int) -> None:
        """Count and tell the steps that were taken, but for the last `keep` of them."""
        while len(self._taken) > keep:
            step = self._taken.pop(0)
            self._decide(step.flags.values())
            self._count(self._trainer, self._module, step.number, step.parts)

    def _count(self, trainer: pl.Trainer, module: Any, step: int, parts: list[_Part]) -> None:
        self.in_a_row = self.in_a_row + 1 if self.skipping else 0
        if self.skipping:
            self.num_skipped += 1
            self._note(trainer, module, step, parts)

    def _scale_fell(self, scaler: Any) -> bool:
        """Whether the fp16 scaler has skipped this step though its scale cannot have been the reason."""
        if scaler is None:
            return False
        before, self._scale = self._scale, min(1.0, scaler.get_scale())
        return self._scale < before

    def _note(self, trainer: pl.Trainer, module: Any, step: int, all_parts: list[_Part]) -> None:
        """Name the items of this process: those of parts whose loss is not finite, or all if only gradients are not."""
        rank, what = trainer.global_rank, "loss" if self._by_loss else "gradient"
        parts = [(i, part) for i, part in enumerate(all_parts) if not (self._by_loss and bool(part.loss.isfinite()))]
        if trainer.is_global_zero:
            print(f"  step {step} is skipped, its {what} is not finite; {self.file} names its items", flush=True)
        if not parts:
            return
        items = [item for i, part in parts for item in module.items_of(step - 1, i, part.index, part.seeds)]
        entry = {"step": step, "rank": rank, "not_finite": what, "seed": module.seed, "items": items}
        with spared(self.file), self.file.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(entry) + "\n")


def gradients_are_finite(parameters: Iterable[nn.Parameter]) -> Tensor:
    """Whether all gradients are [], without waiting for the device; of shards, this process's own.

    A norm beyond the range of its numbers counts as not finite too.
    """
    grads = [parameter.grad for parameter in parameters if parameter.grad is not None]
    shares = (grad.to_local() if hasattr(grad, "to_local") else grad for grad in grads)
    grads = [share for share in shares if share.numel()]  # of more processes than rows some have none
    # the norm is read in one go (6 ms for 30 million gradients on a core; `isfinite` or the largest one take 70)
    return torch.nn.utils.get_total_norm(grads).isfinite()


@first_only
def forget_steps_after(file: Path, step: int) -> None:
    """Drop the lines of steps that a run which goes on from `step` will take again."""
    if not file.exists():
        return
    kept = []
    for line in file.read_text(encoding="utf-8").splitlines(keepends=True):
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line)
        except json.JSONDecodeError:
            continue  # a process was killed while it wrote this line
    write_text(file, "".join(kept))
