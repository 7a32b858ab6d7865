"""Settings of frozen features: how they are taken, and what the probes make of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mv2mae.config.check import require

Level = Literal["clip", "frame", "token"]
Probe = Literal["linear", "knn", "attentive"]


@dataclass(frozen=True, kw_only=True)
class FeatureConfig:
    """Features of a frozen encoder: its tokens after the last norm, of centre crops."""

    level: Level = "clip"
    """`clip`: the mean of all tokens; `frame`: the mean over each tubelet's moment; `token`: the tokens themselves."""
    layer: int | None = None
    """Take the tokens as they leave this block (1 = the first), not normalised; null = after the last norm."""
    num_clips: int = 1
    """Clips of each video, spread evenly over it; one lies in the middle."""
    batch_size: int = 32
    """Clips that the encoder sees at a time (speed only)."""
    num_workers: int | None = None
    """Processes that read and decode videos; 0 = the process itself; null = one a core beside a GPU, else 0."""

    def __post_init__(self) -> None:
        require(self.num_clips >= 1, f"num_clips={self.num_clips} must be at least 1")
        require(self.layer is None or self.layer >= 1, f"layer={self.layer} must be at least 1, or null")
        require(self.batch_size >= 1, f"batch_size={self.batch_size} must be at least 1")
        require((self.num_workers or 0) >= 0, f"num_workers={self.num_workers} must not be negative")


@dataclass(frozen=True, kw_only=True)
class ProbeConfig:
    """Small classifiers on features that stay as they are."""

    probes: tuple[Probe, ...] = ("linear", "knn", "attentive")
    """Which ones: logistic regression; votes of the nearest neighbours; a head that attends to the tokens."""
    k: int = 20
    """Neighbours that vote (fewer if there are not so many training videos)."""
    temperature: float = 0.07
    """A vote weighs exp(cosine / temperature), as in DINO."""
    weight_decays: tuple[float, ...] = (1.0, 0.1, 0.01, 1e-3, 1e-4, 1e-5)
    """What the linear probe chooses from, on training groups that are held out for it."""
    epochs: int = 40
    """Most passes of the attentive probe; how many are best is found on held-out training groups."""
    min_steps: int = 400
    """A small training set gets more passes, so that they come to that many steps."""
    lr: float = 1e-3
    """Peak rate of the attentive probe (AdamW)."""
    batch_size: int = 64
    """Videos a step of the attentive probe."""
    token_gigabytes: float = 4.0
    """The attentive probe is left out if the tokens of all videos would take more than that, on disk and in memory."""
    seed: int = 0
    """Of the held-out groups, of the attentive probe and of the untrained encoder."""

    def __post_init__(self) -> None:
        require(len(self.probes) > 0, "probes is empty; give some of linear, knn, attentive")
        for name in ("k", "epochs", "min_steps", "batch_size"):
            require(getattr(self, name) >= 1, f"{name}={getattr(self, name)} must be at least 1")
        require(self.temperature > 0, f"temperature={self.temperature} must be positive")
        require(self.lr > 0, f"lr={self.lr} must be positive")
        good = len(self.weight_decays) > 0 and all(decay > 0 for decay in self.weight_decays)
        require(good, f"weight_decays={list(self.weight_decays)} must be positive numbers, one at least")
