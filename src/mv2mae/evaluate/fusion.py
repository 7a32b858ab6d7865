"""Learned fusion of views, instead of the mean of their probabilities: attention over the views' tokens.

A small module on top of a fine-tuned classifier that stays as it is. It is trained on the training groups, saved beside
the run, and used by `mv2mae evaluate RUN --fusion attention`. (Not in the paper, which fuses late: Section D.)
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from mv2mae.config import EvalConfig, ModelConfig, VideosConfig
from mv2mae.data.clips import EvalDataset
from mv2mae.errors import InputError
from mv2mae.model.classifier import Classifier
from mv2mae.weights import fill, find_weights, read_weights, save_weights
from mv2mae.weights_check import FUSION

FUSION_NAME = "fusion.safetensors"
TRAINING_CROPS = EvalConfig(num_clips=3, num_crops=2)
"""What is taken of each training video."""
_EPOCHS, _LEAST_STEPS, _BATCH, _RATE, _DECAY = 30, 300, 64, 1e-3, 0.05
"""Few groups are seen more often, until there were that many steps."""
_DROP_VIEW = 0.3
"""Chance that a training step does without a view, so that ragged groups are nothing new."""
_HELD_OUT = 5
"""One training group in so many is held out to choose the epoch."""


class ViewAttention(nn.Module):
    """Class scores of groups from any number of views in any order.

    A learned query attends to the tokens of all views at once (their encoder's tokens, averaged over space); what it
    finds is added to the logarithm of the views' mean probabilities. Untrained, it is late fusion.
    """

    def __init__(self, config: ModelConfig, num_classes: int) -> None:
        super().__init__()
        width = config.encoder_width
        self.query = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.norm_in, self.norm_out = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attend = nn.MultiheadAttention(width, config.encoder_heads, batch_first=True)
        self.head = nn.Linear(width, num_classes)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(
        self, logits: Float[Tensor, "b v k"], tokens: Float[Tensor, "b v t d"], is_missing: Bool[Tensor, "b v"]
    ) -> Float[Tensor, "b k"]:
        """Class scores (log-probabilities and what attention adds); at least one view of each group must be there."""
        there = (~is_missing).unsqueeze(-1).to(logits.dtype)
        late = (logits.softmax(dim=-1) * there).sum(dim=1) / there.sum(dim=1)
        memory = self.norm_in(tokens).flatten(1, 2)
        ignored = is_missing.repeat_interleave(tokens.shape[2], dim=1)
        query = self.query.expand(len(tokens), -1, -1)
        found, _ = self.attend(query, memory, memory, key_padding_mask=ignored, need_weights=False)
        return late.clamp_min(1e-8).log() + self.head(self.norm_out(found[:, 0]))


class WithTokens(nn.Module):
    """A classifier that gives its class scores and, behind them, its tokens averaged over space: [b, k + t d]."""

    def __init__(self, model: Classifier) -> None:
        super().__init__()
        self.model, self.num_classes = model, model.num_classes

    def forward(self, clip: Shaped[Tensor, "b c t h w"]) -> Float[Tensor, "b n"]:
        """Class scores and tokens of clips with pixels in [0, 1], or uint8."""
        tokens = self.model.encoder(clip)
        logits = self.model.head(self.model.norm(tokens.mean(dim=1)))
        times = tokens.unflatten(1, (self.model.config.grid[0], -1)).mean(dim=2)
        return torch.cat([logits, times.flatten(1)], dim=1)


@dataclass
class GroupTokens:
    """What fusion sees of groups: for each the views that could be read, crop by crop."""

    labels: Sequence[int]
    """The number in the data set of each class."""
    width: int
    dtype: torch.dtype = torch.float32
    """In which outputs are kept."""
    abouts: list[dict[str, Any]] = field(default_factory=list)
    """Of each group, with `num_views` and `num_fused`."""
    views: list[list[Tensor]] = field(default_factory=list)
    """Of each group its views, [crops, k + t d] each."""

    def add(self, about: Mapping[str, Any], outputs: Tensor | None) -> None:
        """Note a video (None = broken); the videos of a group come one after another."""
        if not self.abouts or self.abouts[-1]["group"] != about["group"]:
            self.abouts.append({**about, "path": about["group"], "view": "fused", "num_views": 0, "num_fused": 0})
            self.views.append([])
        self.abouts[-1]["num_views"] += 1
        if outputs is not None:
            self.abouts[-1]["num_fused"] += 1
            self.views[-1].append(outputs.to(self.dtype))

    def batch(self, groups: list[int]) -> tuple[Tensor, Tensor, Tensor]:
        """Class scores [b, v, crops, k], tokens [b, v, crops, t, d] and `is_missing` [b, v] of groups with a view."""
        most = max(len(self.views[g]) for g in groups)
        shape = self.views[groups[0]][0].shape
        outputs = torch.zeros(len(groups), most, *shape)
        is_missing = torch.ones(len(groups), most, dtype=torch.bool)
        for row, group in enumerate(groups):
            for view, values in enumerate(self.views[group]):
                outputs[row, view], is_missing[row, view] = values.float(), False
        num_classes = len(self.labels)
        logits, tokens = outputs[..., :num_classes], outputs[..., num_classes:]
        return logits, tokens.unflatten(-1, (-1, self.width)), is_missing


class GroupFuser:
    """Fuses one group after the other while a test goes on, so that tokens need no room."""

    def __init__(self, attention: ViewAttention, labels: Sequence[int], width: int) -> None:
        self.attention, self.labels, self.width = attention, labels, width
        self._waiting = self._nothing()
        self._rows: list[dict[str, Any]] = []

    def _nothing(self) -> GroupTokens:
        return GroupTokens(self.labels, self.width)

    def add(self, about: Mapping[str, Any], outputs: Tensor | None) -> None:
        """Note a video (None = broken); the videos of a group come one after another."""
        if self._waiting.abouts and self._waiting.abouts[0]["group"] != about["group"]:
            self._finish()
        self._waiting.add(about, outputs)

    @torch.inference_mode()
    def _finish(self) -> None:
        row = self._waiting.abouts[0]
        probabilities = [float("nan")] * len(self.labels)
        if row["num_fused"]:
            logits, tokens, is_missing = self._waiting.batch([0])
            # each crop's place is fused over the views, then the places are averaged, as single views are
            each = self.attention(
                logits[0].transpose(0, 1), tokens[0].transpose(0, 1), is_missing.expand(logits.shape[2], -1)
            )
            probabilities = each.softmax(dim=1).mean(dim=0).tolist()
        error = "" if row["num_fused"] else "none of its views can be read"
        columns = {f"p{label}": p for label, p in zip(self.labels, probabilities, strict=True)}
        self._rows.append({**row, "error": error, **columns})
        self._waiting = self._nothing()

    def table(self) -> pd.DataFrame:
        """A row a group, as `fuse_views` makes it."""
        if self._waiting.abouts:
            self._finish()
        return pd.DataFrame(self._rows).sort_values("group", ignore_index=True)


def fit_view_attention(
    groups: GroupTokens, config: ModelConfig, *, seed: int = 0, epochs: int | None = None
) -> tuple[ViewAttention, dict[str, Any]]:
    """Train on groups with labels; the epoch is chosen on held-out groups, and may be none at all (late fusion).

    Groups of a class that the classifier was not trained on are left out.

    Returns:
        the module, and what came out: `groups`, `held_out`, `epoch`, `nll_late` and `nll` (of the held-out groups).

    Raises:
        InputError: fewer than two groups can be read.
    """
    place = {label: k for k, label in enumerate(groups.labels)}
    labels = torch.tensor([place.get(int(about["label"]), -1) for about in groups.abouts])
    good = [g for g, views in enumerate(groups.views) if views and labels[g] >= 0]
    if len(good) < 2:
        raise InputError(f"{len(good)} readable training groups are too few to learn a fusion; use --fusion late")
    rng = np.random.default_rng(seed)
    order = rng.permutation(good)
    num_held_out = max(1, len(good) // _HELD_OUT)
    held_out, train = order[:num_held_out].tolist(), order[num_held_out:]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = ViewAttention(config, len(groups.labels))
    optimizer = torch.optim.AdamW(module.parameters(), lr=_RATE, weight_decay=_DECAY)
    late = _held_out_nll(module, groups, held_out, labels)
    best, best_epoch, best_state = late, 0, {k: v.clone() for k, v in module.state_dict().items()}
    num_batches = -(-len(train) // _BATCH)
    for epoch in range(1, (epochs or max(_EPOCHS, _LEAST_STEPS // num_batches)) + 1):
        module.train()
        for batch in np.array_split(rng.permutation(train), num_batches):
            logits, tokens, is_missing = groups.batch(batch.tolist())
            crop = int(rng.integers(logits.shape[2]))
            out = module(logits[:, :, crop], tokens[:, :, crop], _without_some(is_missing, rng))
            optimizer.zero_grad()
            F.cross_entropy(out, labels[batch]).backward()
            optimizer.step()
        nll = _held_out_nll(module, groups, held_out, labels)
        if nll < best:
            best, best_epoch, best_state = nll, epoch, {k: v.clone() for k, v in module.state_dict().items()}
    module.load_state_dict(best_state)
    found = {"groups": len(train), "held_out": len(held_out), "epoch": best_epoch, "nll_late": late, "nll": best}
    return module.eval(), found


def _without_some(is_missing: Tensor, rng: np.random.Generator) -> Tensor:
    """Views dropped by chance; one of each group stays."""
    draws = torch.from_numpy(rng.random(is_missing.shape))
    kept = (~is_missing * (1 + draws)).argmax(dim=1)
    dropped = is_missing | (draws < _DROP_VIEW)
    dropped[torch.arange(len(dropped)), kept] = False
    return dropped


@torch.inference_mode()
def _held_out_nll(module: ViewAttention, groups: GroupTokens, held_out: list[int], labels: Tensor) -> float:
    """Mean negative log-likelihood over groups and crops."""
    module.eval()
    total = 0.0
    for begin in range(0, len(held_out), _BATCH):
        part = held_out[begin : begin + _BATCH]
        logits, tokens, is_missing = groups.batch(part)
        for crop in range(logits.shape[2]):
            out = module(logits[:, :, crop], tokens[:, :, crop], is_missing)
            total += float(F.cross_entropy(out, labels[part], reduction="sum")) / logits.shape[2]
    return total / len(held_out)


def digest_of(frame: pd.DataFrame, data: VideosConfig) -> str:
    """A name for the labelled clips of a table's videos, whatever their order: what a fusion was learned from."""
    rows = frame[["path", "group", "view", "label"]].astype(str).itertuples(index=False, name=None)
    lines = [f"{data.frame_stride} {data.fps}", *sorted("\t".join(row) for row in rows)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def save_fusion(
    run: str | Path, module: ViewAttention, config: ModelConfig, found: dict[str, Any], learned_from: str
) -> Path:
    """Write the module beside the run's weights, with the digest of its training videos; returns the file."""
    weights = find_weights(run)
    path = weights.with_name(FUSION_NAME)
    about = {
        "num_classes": module.head.out_features,
        "trained_on": _digest(weights),
        "learned_from": learned_from,
        **found,
    }
    save_weights(path, module, FUSION, config, **about)
    return path


def load_fusion(run: str | Path, learned_from: str) -> ViewAttention | None:
    """The module saved beside a run; None if there is none, or one that does not serve.

    That is one for other weights than the run's present ones, or one that learned from other videos, which may be among
    those of this test, or from clips of another stride. (Older files do not say from which, and do not serve either.)

    Args:
        run: its folder or weights.
        learned_from: `digest_of` the clips that it must have learned from.

    Raises:
        InputError: the file is damaged, or something else.
    """
    weights = find_weights(run)
    path = weights.with_name(FUSION_NAME)
    if not path.exists():
        return None
    stored = read_weights(path)
    if stored.kind != FUSION:
        raise InputError(f"{path} holds a {stored.kind}, no fusion; remove it")
    if stored.about["trained_on"] != _digest(weights) or stored.about.get("learned_from") != learned_from:
        return None
    module = ViewAttention(stored.config, stored.about["num_classes"])
    fill(module, stored.tensors, path)
    return module.eval()


def by_group(dataset: EvalDataset) -> list[int]:
    """The order in which the videos of a group come one after another."""
    return np.argsort(dataset.frame["group"].astype(str).to_numpy(), kind="stable").tolist()


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
