"""A look at the representation while it is pre-trained: nearest neighbours among some labelled clips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.distributed.fsdp import FSDPModule

from mv2mae.config import EvalConfig, PretrainConfig
from mv2mae.data.clips import EvalDataset
from mv2mae.data.manifest import read_manifest
from mv2mae.data.protocols import select
from mv2mae.data.stream import STREAM
from mv2mae.data.videos import Videos
from mv2mae.data.windows import ClipSpec
from mv2mae.errors import InputError
from mv2mae.model.encoder import Encoder
from mv2mae.model.knn import knn_scores
from mv2mae.train.callbacks import Measurement, in_eval_mode
from mv2mae.train.validation import middle_clips
from mv2mae.weights import whole_state

_SHARE = 3
"""One in so many clips is a query, the others are the gallery."""
_FEW_PEOPLE = 4
"""With fewer people the clips are divided by performances."""


@dataclass(frozen=True)
class LabelledClips:
    """Middle clips [n, 3, t, h, w] (uint8), their classes from 0, and which are queries."""

    clips: Tensor
    labels: Tensor
    is_query: Tensor


def draw_rows(config: PretrainConfig) -> pd.DataFrame:
    """The videos to look at, with a column `is_query`; the same ones whenever the run goes on.

    From `log.probe_manifest`, or else the training part of the run's own manifest, whose labels are used for nothing
    but this. Queries and gallery are of different people, or of different performances where there are few people.

    Raises:
        InputError: there are no labels, or nothing to divide.
    """
    log, data = config.log, config.data
    if log.probe_manifest:
        frame = read_manifest(log.probe_manifest)
    elif data.manifest == STREAM:
        raise InputError("a synthetic stream is not a manifest with labels; give one as log.probe_manifest")
    else:
        frame = select(read_manifest(data.manifest), split=data.split, part="train", query=data.train_query)
    frame = frame[frame["label"].notna()]
    if frame["label"].nunique() < 2:
        raise InputError(
            f"log.probe_every={log.probe_every} needs labels of two classes at least, and "
            f"{log.probe_manifest or data.manifest} has {frame['label'].nunique()}; give a labelled manifest as "
            "log.probe_manifest, or 0"
        )
    by_people = frame["subject"].notna().all() and frame["subject"].nunique() >= _FEW_PEOPLE
    units = frame["subject" if by_people else "group"]
    rng = np.random.default_rng(config.seed)
    names = rng.permutation(np.sort(units.unique()))
    is_query = units.isin(names[: max(1, len(names) // _SHARE)])
    if is_query.all():
        raise InputError(f"log.probe_every={log.probe_every} needs two performances at least; give 0, or more videos")
    num_queries = max(1, log.probe_clips // _SHARE)
    parts = [(frame[is_query], num_queries), (frame[~is_query], max(1, log.probe_clips - num_queries))]
    chosen = [part.iloc[np.sort(rng.permutation(len(part))[:num])] for part, num in parts]
    return pd.concat([part.assign(is_query=query) for part, query in zip(chosen, (True, False), strict=True)])


def read_clips(rows: pd.DataFrame, config: PretrainConfig) -> LabelledClips:
    """The middle clip of each video, centre crop; what cannot be read is left out with a warning.

    Such a video is not noted in the run's list: the training would set it aside, although its own clips may be whole.
    """
    dataset = EvalDataset(
        rows.drop(columns="is_query"),
        ClipSpec.of(config.data, config.model.num_frames, config.model.image_size),
        test=EvalConfig(num_clips=1, num_crops=1),
        videos=Videos(),
    )
    clips, labels, good = middle_clips(dataset, config.compute.num_workers)
    return LabelledClips(clips, labels, torch.tensor(rows["is_query"].to_numpy()[good], dtype=torch.bool))


@torch.no_grad()
def knn_top1(encoder: Encoder, seen: LabelledClips, chunk: int = 32) -> float:
    """Share of the queries that the nearest neighbours in the gallery tell right; features are clips' mean tokens."""
    device = encoder.embed.weight.device
    features = torch.cat([encoder(part.to(device)).mean(dim=1) for part in seen.clips.split(chunk)]).float().cpu()
    known = ~seen.is_query
    num_classes = int(seen.labels.max()) + 1
    scores = knn_scores(features[seen.is_query], features[known], seen.labels[known], num_classes)
    return float((scores.argmax(dim=1) == seen.labels[seen.is_query]).float().mean())


class OnlineKNN(Measurement):
    """Logs `probe/knn_top1` before the first step, every so many steps, and at the end.

    Works on the first process only. The clips stay in memory.
    """

    def __init__(self, config: PretrainConfig) -> None:
        """Choose the clips; they are read when the training starts.

        Raises:
            InputError: as `draw_rows`.
        """
        super().__init__(config.log.probe_every)
        self.config, self.rows = config, draw_rows(config)
        self._seen: LabelledClips | None = None

    def describe(self) -> str:
        """What is looked at, in a line."""
        queries = int(self.rows["is_query"].sum())
        chance = 1 / self.rows.loc[~self.rows["is_query"], "label"].nunique()
        others = len(self.rows) - queries
        return f"probe   {queries} clips told by their neighbours among {others} others; chance {chance:.3f}"

    def prepare(self, trainer: pl.Trainer) -> None:
        """Read the clips."""
        if trainer.is_global_zero:
            seen = read_clips(self.rows, self.config)
            if seen.is_query.any() and not seen.is_query.all():
                self._seen = seen

    def measure(self, trainer: pl.Trainer, module: Any) -> dict[str, float]:
        """The share of right answers; nothing where there are no clips."""
        encoder = module.model.encoder
        if isinstance(module.model, FSDPModule):
            encoder = self._in_one_piece(encoder).to(module.device)  # with the help of all processes
        if self._seen is None:
            return {}
        with in_eval_mode(encoder):
            top1 = knn_top1(encoder, self._seen, chunk=self.config.compute.device_batch_size or 32)
        return {"probe/knn_top1": top1}

    def _in_one_piece(self, shards: Encoder) -> Encoder:
        with torch.random.fork_rng(devices=[]):
            whole = Encoder(self.config.model, position_grid=shards.position_grid)
        whole.load_state_dict(whole_state(shards))
        return whole
