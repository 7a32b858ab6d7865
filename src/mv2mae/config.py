"""Every setting of the project: its meaning, its unit and where the paper gives it.

Frozen, keyword-only dataclasses, one a topic. A recipe (``mv2mae recipes``) is a YAML file that fills
`PretrainConfig` or `FinetuneConfig`; an unknown key is an error. What changes results (`ModelConfig`,
`DataConfig`, `OptimConfig`, ...) stands apart from what changes speed alone (`ComputeConfig`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from mv2mae.errors import InputError

Positions = Literal["sinusoid-1d", "sincos-3d"]
Masking = Literal["random", "tube"]
Optimizer = Literal["adamw", "muon"]
Crop = Literal["multi-scale", "random-resized", "centre"]

ENCODER_SIZES = {  # name -> width, depth, heads
    "tiny": (192, 12, 3),
    "small": (384, 12, 6),
    "base": (768, 12, 12),
    "large": (1024, 24, 16),
}
"""ViT sizes of Table 8 and L; the paper's default is small (ViT-S/16, Section 4.2)."""


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise InputError(message)


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The pre-training model of Figure 1; the defaults are the paper's (Tables 12-14)."""

    num_frames: int = 16
    """Frames in a clip, T (Table 12)."""
    image_size: int = 128
    """Height and width of a clip in pixels (Section 4.2)."""
    tubelet_size: tuple[int, int, int] = (2, 16, 16)
    """Frames, rows and columns of pixels that make one token (Section 4.2)."""
    encoder_width: int = 384
    """Width d of a token in the encoder (Table 12)."""
    encoder_depth: int = 12
    """Blocks of the encoder (Table 12)."""
    encoder_heads: int = 6
    """Attention heads of the encoder."""
    decoder_width: int = 192
    """Width of a token in both decoders (Tables 13, 14)."""
    decoder_depth: int = 4
    """Blocks of each decoder (Tables 13, 14)."""
    decoder_heads: int = 3
    """Attention heads of each decoder."""
    positions: Positions = "sinusoid-1d"
    """Fixed position table: VideoMAE's over the flattened tokens, or a separable one over (t, h, w)."""
    position_grid: tuple[int, int, int] | None = None
    """Token grid for which the encoder's table is made, then interpolated to the clip's; null = the clip's own."""
    mask_ratio: float = 0.7
    """Share of tokens that is removed and predicted, rho (Table 7)."""
    masking: Masking = "random"
    """Masked tokens drawn over all of a clip, or the same places in every frame (tube)."""
    cross_view_weight: float = 1.0
    """Weight of the cross-view losses, lambda (Equation 3); 0 is a single-view VideoMAE."""
    motion_temperature: float | None = 60.0
    """Temperature tau of the motion weights, on ImageNet-normalised frames (Figure 4); null = uniform weights."""
    effective_tokens: float | None = None
    """Instead of a temperature: the share (0-1] of tokens that the weights shall be worth, per clip."""
    literal_loss_scale: bool = False
    """Equation 2 to the letter: weights sum to 1 over a clip. Default: they have mean 1 (N times that)."""

    def __post_init__(self) -> None:
        sizes = (self.num_frames, self.image_size, self.image_size)
        names = ("num_frames", "image_size", "image_size")
        for name, size, step in zip(names, sizes, self.tubelet_size, strict=True):
            _require(step > 0, f"tubelet_size={list(self.tubelet_size)} must be positive")
            _require(size >= step, f"{name}={size} is smaller than the tubelet's {step}; enlarge it")
            _require(
                size % step == 0,
                f"{name}={size} is not a multiple of the tubelet's {step}; try {round(size / step) * step}",
            )
        _require(self.num_frames >= 2, f"num_frames={self.num_frames}: motion needs at least 2 frames")
        for who, width, heads in (
            ("encoder", self.encoder_width, self.encoder_heads),
            ("decoder", self.decoder_width, self.decoder_heads),
        ):
            _require(
                width > 0 and heads > 0 and width % heads == 0,
                f"{who}_width={width} does not divide by {who}_heads={heads}",
            )
        depths = (self.encoder_depth, self.decoder_depth)
        _require(min(depths) >= 1, f"encoder_depth={depths[0]}, decoder_depth={depths[1]}: both must be at least 1")
        _require(0 < self.mask_ratio < 1, f"mask_ratio={self.mask_ratio} must lie between 0 and 1")
        _require(self.num_masked >= 1, f"mask_ratio={self.mask_ratio} masks none of {self.num_tokens} tokens")
        _require(self.cross_view_weight >= 0, f"cross_view_weight={self.cross_view_weight} must not be negative")
        _require(
            self.motion_temperature is None or self.motion_temperature > 0,
            f"motion_temperature={self.motion_temperature} must be positive, or null for uniform weights",
        )
        _require(
            self.effective_tokens is None or 0 < self.effective_tokens <= 1,
            f"effective_tokens={self.effective_tokens} must lie in (0, 1], a share of the tokens",
        )

    @classmethod
    def of_size(cls, size: str, **settings: Any) -> ModelConfig:
        """A model whose encoder is ViT-T, S, B or L (Table 8): `tiny`, `small`, `base`, `large`.

        Raises:
            InputError: for another name.
        """
        if size not in ENCODER_SIZES:
            raise InputError(f"size={size!r} is unknown; choose one of {', '.join(ENCODER_SIZES)}")
        width, depth, heads = ENCODER_SIZES[size]
        return cls(encoder_width=width, encoder_depth=depth, encoder_heads=heads, **settings)

    @property
    def grid(self) -> tuple[int, int, int]:
        """Tokens along time, height and width."""
        t, h, w = self.tubelet_size
        return self.num_frames // t, self.image_size // h, self.image_size // w

    @property
    def num_tokens(self) -> int:
        """Tokens of a clip, N."""
        t, h, w = self.grid
        return t * h * w

    @property
    def num_masked(self) -> int:
        """Tokens of a clip that are masked: int(rho N), for tubes int(rho h w) places in each of t frames."""
        t, h, w = self.grid
        return t * int(self.mask_ratio * h * w) if self.masking == "tube" else int(self.mask_ratio * t * h * w)

    @property
    def tubelet_dim(self) -> int:
        """Values in a tubelet: 3 colours of t x h x w pixels."""
        t, h, w = self.tubelet_size
        return 3 * t * h * w


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which videos, and how a clip is drawn from one."""

    manifest: str = "sample"
    """Path of a manifest (CSV or Parquet), or `sample` for the set that comes with the package."""
    split: str = ""
    """`PROTOCOL/SPLIT`, for instance `ntu60/xsub`: train on its training part, test on its test part."""
    train_query: str = ""
    """Instead of a split: a pandas query over the manifest's columns that picks the training videos."""
    test_query: str = ""
    """Instead of a split: the query that picks the test videos."""
    frame_stride: float = 4
    """Distance between the frames of a clip, in frames of a video at `fps` frames a second (Section 4.2)."""
    fps: float | None = None
    """Rate at which frame_stride counts; null = the target video's own rate."""
    crop: Crop = "multi-scale"
    """How training clips are cropped (Table 15: multi-scale; scales 1, .875, .75, .66)."""
    min_crop: float = 0.66
    """Smallest side of a crop as a share of the frame's short side."""
    flip: bool = False
    """Mirror half of the training clips (Table 16; fine-tuning only)."""
    num_sources: int = 1
    """Source views of a pair, 1 to 3 (Table 10; pre-training only)."""
    held_out_groups: int = 0
    """Groups kept out of pre-training to look at; 0 = one in twenty, 2 at least and 32 at most."""
    cache: Literal["none", "memory"] = "none"
    """`memory`: decode each video once, scale it to `cache_size` and keep it (small data sets)."""
    cache_size: int = 0
    """Short side in pixels at which the cache keeps frames; 0 = the clip size / 0.875."""

    def __post_init__(self) -> None:
        _require(self.held_out_groups >= 0, f"held_out_groups={self.held_out_groups} must not be negative")
        _require(self.cache_size >= 0, f"cache_size={self.cache_size} must not be negative")
        _require(self.frame_stride > 0, f"frame_stride={self.frame_stride} must be positive")
        _require(self.fps is None or self.fps > 0, f"fps={self.fps} must be positive, or null for the video's own")
        _require(0 < self.min_crop <= 1, f"min_crop={self.min_crop} must lie in (0, 1]")
        _require(1 <= self.num_sources <= 3, f"num_sources={self.num_sources} must be 1, 2 or 3")
        _require(
            not (self.split and (self.train_query or self.test_query)),
            "data.split and data.train_query / data.test_query exclude each other; give one",
        )


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """AdamW with warm-up and cosine decay, counted in steps (Tables 15, 16)."""

    optimizer: Optimizer = "adamw"
    """The paper's AdamW; or Muon for the matrices of the blocks and AdamW for the rest (small models learn sooner)."""
    muon_lr: float = 0.02
    """Muon's peak rate, in its own scale; the schedule is the same."""
    lr: float | None = None
    """Peak learning rate of a step as it is; exclusive with base_lr."""
    base_lr: float | None = None
    """Peak learning rate at 256 items a step: lr = base_lr x batch / 256 (1e-3 in Tables 15, 16)."""
    batch_size: int = 1024
    """Items a step over all devices and accumulated parts: pairs, or augmented clips in fine-tuning."""
    epochs: float | None = None
    """Passes over the data; exclusive with steps."""
    steps: int | None = None
    """Optimiser steps; exclusive with epochs."""
    warmup_epochs: float | None = None
    """Passes during which the rate rises linearly."""
    warmup_steps: int | None = None
    """The same in steps."""
    min_lr_share: float = 0.0
    """The rate at the end as a share of the peak."""
    weight_decay: float = 0.05
    """Decoupled weight decay, not applied to biases, norms and the mask token."""
    betas: tuple[float, float] = (0.9, 0.95)
    """AdamW's momenta."""
    clip_grad_norm: float | None = None
    """Largest gradient norm; null = no clipping (the paper names none)."""
    layer_decay: float = 1.0
    """Rate of an encoder block over that of the block after it (0.9 in Table 16; 1 = none)."""

    def __post_init__(self) -> None:
        for a, b in (("lr", "base_lr"), ("epochs", "steps"), ("warmup_epochs", "warmup_steps")):
            both = getattr(self, a) is not None and getattr(self, b) is not None
            _require(not both, f"optim.{a} and optim.{b} exclude each other; set one of them to null")
        _require(self.muon_lr > 0, f"muon_lr={self.muon_lr} must be positive")
        _require(self.batch_size >= 1, f"batch_size={self.batch_size} must be at least 1")
        _require(self.steps is None or self.steps >= 1, f"steps={self.steps} must be at least 1")
        _require(self.epochs is None or self.epochs > 0, f"epochs={self.epochs} must be positive")
        _require((self.peak_lr_or_none() or 1) > 0, "the learning rate must be positive")
        _require(0 < self.layer_decay <= 1, f"layer_decay={self.layer_decay} must lie in (0, 1]")

    def peak_lr_or_none(self) -> float | None:
        """`peak_lr`, or None where neither rate is set."""
        return self.lr if self.lr is not None else self.base_lr

    def peak_lr(self) -> float:
        """The learning rate that the steps really reach."""
        if self.lr is not None:
            return self.lr
        if self.base_lr is None:
            raise InputError("neither optim.lr nor optim.base_lr is set; give one of them")
        return self.base_lr * self.batch_size / 256

    def describe(self) -> str:
        """The rates in words."""
        rate = f"{self.peak_lr():.3g} at its peak"
        return rate if self.optimizer == "adamw" else f"{self.muon_lr:.3g} (Muon) and {rate} (AdamW)"

    def total_steps(self, num_items: int) -> int:
        """Optimiser steps for a training set of `num_items` items."""
        if self.steps is not None:
            return self.steps
        if self.epochs is None:
            raise InputError("neither optim.steps nor optim.epochs is set; give one of them")
        return max(1, round(self.epochs * num_items / self.batch_size))

    def num_warmup_steps(self, num_items: int) -> int:
        """Steps during which the learning rate rises."""
        if self.warmup_steps is not None:
            return self.warmup_steps
        return round((self.warmup_epochs or 0) * num_items / self.batch_size)


@dataclass(frozen=True, kw_only=True)
class ComputeConfig:
    """What changes speed and memory, not results (but for rounding)."""

    accelerator: str = "auto"
    """Lightning's: auto, cpu, gpu."""
    devices: int | str = "auto"
    """Devices a node, or auto."""
    num_nodes: int = 1
    """Machines."""
    strategy: Literal["auto", "ddp"] = "auto"
    """Lightning's: auto, or ddp for several processes."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    """Lightning's."""
    device_batch_size: int | None = None
    """Items a device holds at a time; the rest of the batch is accumulated. Null = all of it at once."""
    num_workers: int = 2
    """Processes a device that read and decode videos; 0 = the training process itself."""
    num_threads: int | None = None
    """Threads of the training process on a CPU; null = torch's own choice, one a core."""
    compile: bool = False
    """torch.compile the model: faster steps after a slow first one."""

    def __post_init__(self) -> None:
        size, threads = self.device_batch_size, self.num_threads
        _require(size is None or size >= 1, f"device_batch_size={size} must be at least 1, or null")
        _require(threads is None or threads >= 1, f"num_threads={threads} must be at least 1, or null")
        _require(self.num_workers >= 0, f"num_workers={self.num_workers} must not be negative")


@dataclass(frozen=True, kw_only=True)
class LogConfig:
    """How often a run reports and saves, in steps."""

    log_every: int = 10
    """Steps between two lines of the log."""
    check_every: int = 200
    """Steps between two looks at the held-out batch (losses, source gain; pre-training only)."""
    save_every: int = 500
    """Steps between two checkpoints."""
    held_out_pairs: int = 32
    """Pairs in the held-out batch."""

    def __post_init__(self) -> None:
        for name in ("log_every", "check_every", "save_every", "held_out_pairs"):
            _require(getattr(self, name) >= 1, f"{name}={getattr(self, name)} must be at least 1")


@dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """Self-supervised pre-training (Section 3.4, Table 15)."""

    init: str | None = None
    """Pre-training run or weights file of the same size to go on from; null = from scratch."""
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optim: OptimConfig = field(default_factory=lambda: OptimConfig(base_lr=1e-3, epochs=1600, warmup_epochs=160))
    compute: ComputeConfig = field(default_factory=ComputeConfig)
    log: LogConfig = field(default_factory=LogConfig)
    seed: int = 0
    """Every draw (order, views, windows, crops, masks, first weights) follows from it."""


@dataclass(frozen=True, kw_only=True)
class HeadConfig:
    """The classifier on top of the encoder (Section 3.4, Table 16)."""

    drop_path: float = 0.1
    """Chance that a branch of the last block is skipped; falls linearly to 0 at the first (Table 16)."""
    label_smoothing: float = 0.1
    """Share of the label's weight that is spread over all classes (Table 16)."""
    num_classes: int | None = None
    """Classes; null = one more than the largest label of the manifest."""

    def __post_init__(self) -> None:
        _require(0 <= self.drop_path < 1, f"drop_path={self.drop_path} must lie in [0, 1)")
        _require(0 <= self.label_smoothing < 1, f"label_smoothing={self.label_smoothing} must lie in [0, 1)")


@dataclass(frozen=True, kw_only=True)
class EvalConfig:
    """Testing (Section 3.4): 5 clips of 10 crops of each video, averaged."""

    num_clips: int = 5
    """Clips spread evenly over the video."""
    num_crops: int = 10
    """Crops a clip: 10 = four corners, centre and their mirror images; 5; 2 = centre and mirror; 1 = centre."""
    batch_size: int = 50
    """Crops the model sees at a time (speed only)."""

    def __post_init__(self) -> None:
        _require(self.num_clips >= 1, f"num_clips={self.num_clips} must be at least 1")
        _require(self.num_crops in (1, 2, 5, 10), f"num_crops={self.num_crops} must be 1, 2, 5 or 10")


def _finetune_optim() -> OptimConfig:
    return OptimConfig(
        batch_size=1020,  # the paper's 1,024, made divisible by its 6 augmentations
        base_lr=1e-3,
        epochs=35,
        warmup_epochs=5,
        weight_decay=0.1,
        betas=(0.9, 0.999),
        layer_decay=0.9,
    )


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig:
    """Supervised fine-tuning of an encoder (Section 3.4, Table 16)."""

    init: str | None = None
    """Run folder or safetensors file whose encoder is the start; null = from scratch."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """The model from scratch, its decoders left out; with `init` the stored model takes its place."""
    num_frames: int | None = None
    """With `init`: frames in a clip, if other than the stored model's; positions are interpolated."""
    image_size: int | None = None
    """With `init`: pixels of a clip's side, if other than the stored model's; positions are interpolated."""
    data: DataConfig = field(default_factory=lambda: DataConfig(flip=True))
    num_repeats: int = 6
    """Augmented copies of each decoded clip in a batch (repeated augmentation, Table 16)."""
    head: HeadConfig = field(default_factory=HeadConfig)
    optim: OptimConfig = field(default_factory=_finetune_optim)
    test: EvalConfig = field(default_factory=EvalConfig)
    compute: ComputeConfig = field(default_factory=ComputeConfig)
    log: LogConfig = field(default_factory=LogConfig)
    seed: int = 0
    """Every draw follows from it."""

    def __post_init__(self) -> None:
        _require(self.num_repeats >= 1, f"num_repeats={self.num_repeats} must be at least 1")
        _require(
            self.optim.batch_size % max(1, self.num_repeats) == 0,
            f"optim.batch_size={self.optim.batch_size} counts augmented clips and must be a multiple of "
            f"num_repeats={self.num_repeats}",
        )
