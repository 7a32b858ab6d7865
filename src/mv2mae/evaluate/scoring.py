"""From videos to class scores: crops through the model in few large batches, while others are being decoded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, cast

import pandas as pd
import torch
from jaxtyping import Float, UInt8
from rich.progress import track
from torch import Tensor, nn
from torch.utils.data import Sampler

from mv2mae.data.clips import EvalDataset, EvalItem
from mv2mae.data.loader import make_loader, worker_deaths_told
from mv2mae.data.room import readers_for
from mv2mae.data.video import available_cores
from mv2mae.errors import InputError
from mv2mae.evaluate.fusion import WithTokens
from mv2mae.evaluate.scores import ABOUT, CropWriter
from mv2mae.model.classifier import Classifier

_FEW_VIDEOS = 32
"""Up to here reading processes take longer to start than to read."""
_MOST_WORKERS = 8
_CPU_BATCH = 10
"""Crops that a CPU takes at a time: more fall out of its caches (50 crops of the sample's model, one core: one by one
0.61 s, by tens 0.53 s, all together 0.62 s)."""


@torch.inference_mode()
def crop_logits(model: nn.Module, crops: UInt8[Tensor, "k 3 t h w"], batch_size: int) -> Float[Tensor, "k classes"]:
    """Class scores of crops, on the CPU; the model sees at most `batch_size` of them at a time.

    Raises:
        InputError: they are no numbers, or so many crops do not fit into the device's memory.
    """
    device = next(model.parameters()).device
    batch_size = batch_size if device.type != "cpu" else min(batch_size, _CPU_BATCH)
    parts = crops.split(batch_size)
    try:
        logits = torch.cat([model(part.to(device, non_blocking=True)).float().cpu() for part in parts])
    except torch.OutOfMemoryError:
        raise InputError(
            f"{len(parts[0])} crops at a time do not fit into the memory of {device}; give a smaller test.batch_size, "
            f"such as {max(1, len(parts[0]) // 4)} (the scores stay the same)"
        ) from None
    if not logits.isfinite().all():
        raise InputError("the model's class scores are not finite numbers: its weights are too large or damaged")
    return logits


def item_logits(
    model: nn.Module, items: Iterable[EvalItem], batch_size: int
) -> Iterator[tuple[EvalItem, Float[Tensor, "k classes"] | None]]:
    """Each item with the class scores of its crops, None for a broken one; videos share a batch while they fit."""
    waiting: list[EvalItem] = []
    num = 0
    for item in items:
        size = len(item["clips"]) if "clips" in item else 0
        if waiting and num + size > batch_size:
            yield from _together(model, waiting, batch_size)
            waiting, num = [], 0
        waiting.append(item)
        num += size
    yield from _together(model, waiting, batch_size)


def _together(
    model: nn.Module, items: list[EvalItem], batch_size: int
) -> Iterator[tuple[EvalItem, Float[Tensor, "k classes"] | None]]:
    sizes = [len(item["clips"]) if "clips" in item else 0 for item in items]
    crops = [item["clips"] for item in items if "clips" in item]
    if not crops:
        yield from ((item, None) for item in items)
        return
    parts = crop_logits(model, torch.cat(crops) if len(crops) > 1 else crops[0], batch_size).split(sizes)
    yield from ((item, part if size else None) for item, part, size in zip(items, parts, sizes, strict=True))


def num_workers_for(dataset: EvalDataset, wanted: int | None) -> int:
    """Reading processes: as many as asked for, or what suits the machine and the number of videos."""
    if wanted is not None:
        return wanted
    if dataset.videos.in_memory or len(dataset) <= _FEW_VIDEOS:
        return 0
    return min(_MOST_WORKERS, max(1, available_cores() - 1))


def _readers(dataset: EvalDataset, wanted: int | None) -> tuple[int, str]:
    """How many processes read, and what they will take, as a line; too many that were asked for are refused."""
    test, clip, memory = dataset.test, dataset.clip, dataset.videos.in_memory
    item = test.num_clips * test.num_crops * 3 * clip.num_frames * clip.size**2
    settings = ("test.num_workers", "test.num_clips, test.num_crops")
    most = num_workers_for(dataset, wanted)
    return readers_for(wanted, most, dataset.frame, item, in_memory=memory, settings=settings)


class TakesOutputs(Protocol):
    """Takes what a model gives for each video, class scores and what is behind them; None for a broken one."""

    def add(self, about: Mapping[str, Any], outputs: Tensor | None) -> None:
        """Note a video."""


def score_videos(
    model: Classifier | WithTokens,
    dataset: EvalDataset,
    batch_size: int,
    *,
    num_workers: int | None = None,
    progress: bool = True,
    labels: Sequence[int] | None = None,
    crops: CropWriter | None = None,
    outputs: TakesOutputs | None = None,
    order: Sequence[int] | None = None,
) -> pd.DataFrame:
    """The table of scores (`mv2mae.evaluate.scores`) of a test, in the order of the dataset.

    Args:
        model: in evaluation mode, on the device that shall do the work.
        dataset: the videos.
        batch_size: crops that the model sees at a time (speed only).
        num_workers: processes that decode; None = by the machine.
        progress: show a bar.
        labels: the number in the data set of each class of the model; None = 0, 1, ...
        crops: takes the class scores of every crop.
        outputs: takes all that the model gives.
        order: in which the videos are taken.

    Raises:
        InputError: a process that decodes has died, or there is no memory for as many as asked for.
    """
    workers, line = _readers(dataset, num_workers)
    if progress and line:
        print(f"  {line}")
    loader = make_loader(
        dataset,
        None if order is None else cast(Sampler[int], order),
        device_batch_size=None,
        num_workers=workers,
    )
    found = item_logits(model, loader, batch_size)
    abouts: list[dict[str, Any]] = dataset.frame[list(ABOUT)].to_dict("records")  # type: ignore[assignment]
    rows: dict[int, dict[str, Any]] = {}
    columns = [f"p{label}" for label in (range(model.num_classes) if labels is None else labels)]
    unknown = [float("nan")] * model.num_classes
    with worker_deaths_told():
        for item, given in track(found, "  testing", total=len(dataset), disable=not progress, transient=True):
            about = abouts[item["index"]]
            logits = None if given is None else given[:, : model.num_classes]
            values = unknown if logits is None else logits.softmax(dim=1).mean(dim=0).tolist()
            probabilities = dict(zip(columns, values, strict=True))
            rows[item["index"]] = {**about, "error": item.get("error", ""), **probabilities}
            if crops is not None and logits is not None:
                crops.add(about, logits.numpy())
            if outputs is not None:
                outputs.add(about, given)
    return pd.DataFrame([rows[index] for index in range(len(dataset))])
