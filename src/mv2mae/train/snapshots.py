"""What a pre-training makes of a few held-out clips as it goes on: small pictures in the run's folder.

snapshots/clips.webp          what it is shown: rows target, visible tubelets of it, source, visible tubelets of it
snapshots/step=00000250.webp  what it makes of the target: rows self-view and cross-view decoder
snapshots.json                which frames these are, and the errors at every step

A picture has the rows of the first pair above those of the second; its columns are frames.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from mv2mae.errors import InputError
from mv2mae.files import atomic_write
from mv2mae.model.calling import reconstruct
from mv2mae.model.losses import token_errors
from mv2mae.model.masking import Masks
from mv2mae.model.pictures import filled, greyed
from mv2mae.model.pretraining import MV2MAE
from mv2mae.records import read_record, write_record
from mv2mae.runs import SNAPSHOTS_FOLDER, SNAPSHOTS_NAME
from mv2mae.train.callbacks import Measurement, in_eval_mode
from mv2mae.train.held_out import INPUTS

NUM_PAIRS, NUM_FRAMES = 2, 2
_QUALITY = 90
_log = logging.getLogger(__name__)


def snapshot_steps(total_steps: int) -> list[int]:
    """Steps at which to look: the beginning, seven more at doubling distances and three quarters; at most 9.

    Most of what can be seen changes early.
    """
    shares = (0, 1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 3 / 4, 1)
    return sorted({round(total_steps * share) for share in shares})


class Snapshots(Measurement):
    """Writes the pictures, at the steps of `snapshot_steps`.

    Args:
        run: the run's folder.
        batch: held-out pairs: sources [b, s, 3, t, h, w], target [b, 3, t, h, w], seed [b] and group [b];
            cameras [b, 1 + s, 16] where the model wants them.
    """

    def __init__(self, run: Path, batch: dict[str, Any]) -> None:
        super().__init__()
        self.run = run
        groups = batch["group"].tolist()
        chosen = [groups.index(group) for group in dict.fromkeys(groups)][:NUM_PAIRS]
        self.batch = {name: batch[name][chosen] for name in INPUTS if name in batch}
        self.sources, self.target = self.batch["sources"], self.batch["target"]

    def is_due(self, step: int, last: int) -> bool:
        """Often at first, then seldom."""
        return step in snapshot_steps(last)

    @torch.no_grad()
    def look(self, trainer: pl.Trainer, module: Any) -> None:
        """Make the pictures; the first process writes them."""
        model: MV2MAE = module.model
        with in_eval_mode(module):
            batch = {name: values.to(module.device) for name, values in self.batch.items()}
            out = reconstruct(model, batch, with_reconstructions=True)
        assert out.reconstructions is not None
        self_view, cross_view, masks = out.reconstructions
        made = {"self-view": self_view[:, 0].float().cpu()}
        if cross_view is not None:
            made["cross-view"] = cross_view[:, 0].float().cpu()
        if trainer.is_global_zero:
            try:
                self._write(model, made, masks, trainer.global_step)
            except OSError as error:  # pictures are not worth a run
                _log.warning("no snapshot of step %d: %s", trainer.global_step, error)

    def _write(self, model: MV2MAE, made: dict[str, Tensor], masks: Masks, step: int) -> None:
        size, pairs = model.config.tubelet_size, range(len(self.target))
        masked_idx = masks.masked_idx.cpu()
        visible = masks.visible_idx[:, 0].cpu(), masks.shown_idx[:, 1].cpu()  # of the target, of the source
        floor = model.config.target_floor
        truth = model.target(self.target, masked_idx[:, 0])
        # the first frame of the tubelets in the middle of equal parts of the clip
        columns = [model.config.grid[0] * (2 * k + 1) // (2 * NUM_FRAMES) * size[0] for k in range(NUM_FRAMES)]
        folder = self.run / SNAPSHOTS_FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        shown = [
            clip
            for i in pairs
            for view, whole in enumerate((self.target[i], self.sources[i, 0]))
            for clip in (whole, greyed(whole, visible[view][i], size))
        ]
        _save_sheet(folder / "clips.webp", shown, columns)
        rows = [
            filled(self.target[i], masked_idx[i, 0], values[i], size, floor=floor)
            for i in pairs
            for values in made.values()
        ]
        _save_sheet(folder / f"step={step:08d}.webp", rows, columns)
        self._note(step, columns, {name: _errors(values, truth) for name, values in made.items()}, truth)

    def _note(self, step: int, frames: list[int], errors: dict[str, list[float]], truth: Tensor) -> None:
        file = self.run / SNAPSHOTS_NAME
        before = _steps_in(file)
        write_record(
            file,
            {
                "frames": frames,
                "pairs": len(self.target),
                "decoders": list(errors),
                "baseline": [round(float(value), 4) for value in truth.square().mean(dim=(1, 2))],
                "steps": {**before, str(step): errors},
            },
        )


def _steps_in(file: Path) -> dict[str, Any]:
    """What an earlier part of the run noted; a damaged note is no reason to end a training."""
    try:
        return dict(read_record(file)["steps"]) if file.exists() else {}
    except (InputError, OSError, KeyError, TypeError, ValueError) as error:
        _log.warning("%s; the pictures before this step are left out of it", error)
        return {}


def _errors(prediction: Float[Tensor, "b m d"], truth: Float[Tensor, "b m d"]) -> list[float]:
    """Mean squared error of each pair over its masked tokens."""
    return [round(float(value), 4) for value in token_errors(prediction, truth).mean(dim=1)]


def _save_sheet(path: Path, rows: list[UInt8[Tensor, "c t h w"]], frames: list[int]) -> None:
    """Frames of clips as one picture, a row a clip."""
    strips = [row[:, frames].permute(2, 1, 3, 0).flatten(1, 2) for row in rows]  # h (k w) c
    with atomic_write(path) as temporary:
        Image.fromarray(torch.cat(strips).numpy()).save(temporary, format="webp", quality=_QUALITY, method=4)
