"""Settings of a training: optimiser, machine, log; and those of the whole."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from mv2mae.config.check import require
from mv2mae.config.data import ClipConfig, EvalConfig, PairConfig
from mv2mae.config.model import HeadConfig, ModelConfig
from mv2mae.errors import InputError

Optimizer = Literal["adamw", "muon"]
Objective = Literal["masked", "contrastive"]


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
    """Items a step over all devices and accumulated parts: pairs, in fine-tuning what `batch_counts` says."""
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
            require(not both, f"optim.{a} and optim.{b} exclude each other; set one of them to null")
        require(self.muon_lr > 0, f"muon_lr={self.muon_lr} must be positive")
        require(self.batch_size >= 1, f"batch_size={self.batch_size} must be at least 1")
        require(self.steps is None or self.steps >= 1, f"steps={self.steps} must be at least 1")
        require(self.epochs is None or self.epochs > 0, f"epochs={self.epochs} must be positive")
        require((self.lr or self.base_lr or 1) > 0, "the learning rate must be positive")
        require(0 < self.layer_decay <= 1, f"layer_decay={self.layer_decay} must lie in (0, 1]")

    def peak_lr(self) -> float:
        """The learning rate that the steps really reach."""
        if self.lr is not None:
            return self.lr
        if self.base_lr is None:
            raise InputError("neither optim.lr nor optim.base_lr is set; give one of them")
        return self.base_lr * self.batch_size / 256

    def describe(self, counts: str) -> str:
        """The rates as text; `counts` names what the batch size counts."""
        rate = f"{self.peak_lr():.3g} at its peak"
        if self.lr is None:
            rate += f" ({self.base_lr:g} x {self.batch_size} {counts} / 256)"
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
    """auto, cpu, or gpu (also called cuda; NVIDIA's). auto = gpu where there is one."""
    devices: int | str = "auto"
    """Devices a node, or auto."""
    num_nodes: int = 1
    """Machines."""
    strategy: Literal["auto", "ddp", "fsdp"] = "auto"
    """Of several processes: ddp, each with the whole model; fsdp, each with its share of it, for models that do not
    fit on a device. auto = ddp where there are several devices."""
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] | None = None
    """Lightning's; null = bf16-mixed on a GPU that multiplies bfloat16 by itself (NVIDIA's from 8.0 on), else 32-true.
    auto = so on CPUs too, those with AVX-512 BF16 or AMX."""
    device_batch_size: int | None = None
    """Items a device holds at a time; the rest of the batch is accumulated. Null = all of it at once."""
    num_workers: int = 2
    """Processes a device that read and decode videos; 0 = the training process itself."""
    num_threads: int | None = None
    """Threads of the training process on a CPU; null = torch's own choice, one a core."""
    draw_on: Literal["auto", "loader", "device"] = "auto"
    """Where a synthetic stream is drawn: by the loader, or on the training device; auto = there if it is a GPU."""
    compile: bool = False
    """torch.compile the model: faster steps after a slow first one."""
    graphs: bool = False
    """With compile, on one GPU: record a step's kernels as CUDA graphs and replay them (torch's mode reduce-overhead),
    for small models, whose kernels take less time than to start them. On a CPU without effect."""
    checkpoint_activations: bool = False
    """Make what blocks compute again on the backward pass instead of keeping it: larger batches or models in the same
    memory, for about a fifth more time (in bfloat16 on a CPU a third)."""
    profile_steps: int = 0
    """Steps of which torch's profiler writes a trace into the run's folder; 0 = none."""

    def __post_init__(self) -> None:
        size, threads = self.device_batch_size, self.num_threads
        known = ("auto", "cpu", "gpu", "cuda")
        require(self.accelerator in known, f"accelerator={self.accelerator} is unknown; choose auto, cpu or gpu")
        require(size is None or size >= 1, f"device_batch_size={size} must be at least 1, or null")
        require(threads is None or threads >= 1, f"num_threads={threads} must be at least 1, or null")
        for name in ("num_workers", "profile_steps"):
            require(getattr(self, name) >= 0, f"{name}={getattr(self, name)} must not be negative")
        require(self.compile or not self.graphs, "compute.graphs are made of compiled code; set compile to true too")
        if self.strategy == "fsdp":
            require(self.precision != "16-mixed", "strategy=fsdp does not go with precision=16-mixed; take bf16-mixed")
            require(not self.compile, "strategy=fsdp does not go with compile=true; set one of them otherwise")


@dataclass(frozen=True, kw_only=True)
class LogConfig:
    """How often a run reports and saves, in steps."""

    log_every: int = 10
    """Steps between two lines of the log."""
    check_every: int = 200
    """Steps between two looks at the held-out pairs (losses, source gain), in fine-tuning at validation videos."""
    save_every: int = 500
    """Steps between two checkpoints."""
    keep: int = 2
    """Newest checkpoints that are kept; if the last one is damaged, the run goes on from the one before."""
    keep_every: int = 0
    """Keep those of every so many steps for good, too; 0 = none. (That of the lowest held-out loss is always kept.)"""
    max_skipped: int = 5
    """Steps in a row whose loss or gradient is not finite, after which the run stops; such steps are skipped."""
    held_out_pairs: int = 32
    """Pairs in the held-out batch."""
    probe_every: int = 0
    """Steps between two looks at the features' nearest neighbours (`probe/knn_top1`; pre-training only); 0 = none."""
    probe_manifest: str = ""
    """Labelled manifest for that; empty = the training videos, if they have labels (used for nothing else)."""
    probe_clips: int = 300
    """Clips for that, kept in memory; one in three is told by its neighbours among the others."""
    trackers: tuple[Literal["wandb", "mlflow"], ...] = ()
    """Where the log goes too, beside log.csv and TensorBoard: Weights & Biases, MLflow."""
    project: str = "mv2mae"
    """Its project there (MLflow: experiment)."""

    def __post_init__(self) -> None:
        for name in ("log_every", "check_every", "save_every", "keep", "max_skipped", "held_out_pairs"):
            require(getattr(self, name) >= 1, f"{name}={getattr(self, name)} must be at least 1")
        for name in ("keep_every", "probe_every"):
            require(getattr(self, name) >= 0, f"{name}={getattr(self, name)} must not be negative")
        require(self.probe_clips >= 3, f"probe_clips={self.probe_clips} must be at least 3")


@dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """Self-supervised pre-training (Section 3.4, Table 15)."""

    init: str | None = None
    """Pre-training run or weights file of the same model to go on from (its clips may have been shorter or smaller);
    null = from scratch."""
    objective: Objective = "masked"
    """The paper's masked reconstruction; or, as a baseline, InfoNCE between views (`model/contrastive.py`)."""
    contrastive_temperature: float = 0.1
    """Of the contrastive objective: what cosines are divided by."""
    model: ModelConfig = field(default_factory=ModelConfig)
    data: PairConfig = field(default_factory=PairConfig)
    optim: OptimConfig = field(default_factory=lambda: OptimConfig(base_lr=1e-3, epochs=1600, warmup_epochs=160))
    compute: ComputeConfig = field(default_factory=ComputeConfig)
    log: LogConfig = field(default_factory=LogConfig)
    seed: int = 0
    """Every draw (order, views, windows, crops, masks, first weights) follows from it."""

    def __post_init__(self) -> None:
        require(
            isinstance(self.data, PairConfig), f"data of pre-training is a PairConfig, not {type(self.data).__name__}"
        )
        temperature = self.contrastive_temperature
        require(temperature > 0, f"contrastive_temperature={temperature} must be positive")
        require(
            self.objective == "masked" or self.init is None,
            f"objective={self.objective} starts from scratch; set init to null",
        )
        alone = self.objective == "masked" and self.model.cross_view_weight == 0
        require(
            self.data.synchronised or alone,
            "data.synchronised=false is for a model of single views: what one view is to say of another must be of the "
            "same moment; set model.cross_view_weight to 0",
        )
        repeats = self.data.num_repeats
        require(
            self.optim.batch_size % repeats == 0,
            f"optim.batch_size={self.optim.batch_size} counts pairs and must be a multiple of "
            f"data.num_repeats={repeats}",
        )


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """What is done to a clip after crop and flip, in fine-tuning (Table 16); one draw for all frames of a clip."""

    rand_augment_ops: int = 4
    """Operations that RandAugment draws for a clip; 0 = no RandAugment. (VideoMAE's rand-m7-n4-mstd0.5-inc1.)"""
    rand_augment_prob: float = 0.5
    """Chance that a drawn operation is carried out."""
    magnitude: float = 7.0
    """Mean magnitude of an operation, 0 to 10 (Table 16)."""
    magnitude_std: float = 0.5
    """Standard deviation of the magnitude, drawn for each operation (Table 16)."""
    background_motion: float = 0.0
    """How far the picture moves within a clip, as if the camera were held by hand, as a share of its side, up to 0.2;
    0 = none (the paper: none; its Section 5 names it for moving cameras and backgrounds)."""
    erase_prob: float = 0.0
    """Chance that a box of a clip is erased, the same box in every frame (the paper: none)."""
    mixup: float = 0.0
    """Alpha of mixup, the blend with another video's clip; 0 = none (the paper: none; VideoMAE: 0.8)."""
    cutmix: float = 0.0
    """Alpha of cutmix, a box out of another video's clip; with mixup, half of the clips each (VideoMAE: 1)."""

    def __post_init__(self) -> None:
        for name in ("rand_augment_prob", "erase_prob"):
            require(0 <= getattr(self, name) <= 1, f"augment.{name}={getattr(self, name)} must lie in [0, 1]")
        for name in ("rand_augment_ops", "magnitude_std", "mixup", "cutmix"):
            require(getattr(self, name) >= 0, f"augment.{name}={getattr(self, name)} must not be negative")
        motion = self.background_motion
        require(0 <= motion <= 0.2, f"augment.background_motion={motion} must lie in [0, 0.2], a share of the side")
        require(0 <= self.magnitude <= 10, f"augment.magnitude={self.magnitude} must lie in [0, 10]")


def _finetune_optim() -> OptimConfig:
    return OptimConfig(
        batch_size=1008,  # the paper's 1,024, made divisible by its 6 augmentations and by 8 devices
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
    """What holds the encoder to start from: run, safetensors file, VideoMAE of transformers (folder or hf:OWNER/NAME)
    or an official .pth; null = from scratch."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """The model from scratch, its decoders left out; with `init` the stored model takes its place."""
    num_frames: int | None = None
    """With `init`: frames in a clip, if other than the stored model's; positions are interpolated."""
    image_size: int | None = None
    """With `init`: pixels of a clip's side, if other than the stored model's; positions are interpolated."""
    data: ClipConfig = field(default_factory=lambda: ClipConfig(flip=True))
    num_repeats: int = 6
    """Augmented copies of each decoded clip in a batch (repeated augmentation, Table 16)."""
    batch_counts: Literal["clips", "videos"] = "clips"
    """What optim.batch_size counts, and so its learning rate and steps: augmented clips; or videos, with num_repeats
    clips of each on top, as VideoMAE's code does (the paper does not say)."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    head: HeadConfig = field(default_factory=HeadConfig)
    train_blocks: int | None = None
    """Blocks of the encoder that learn, counted from the last; 0 = the head alone, null = all and the embedding."""
    lora_rank: int = 0
    """Rank of low-rank adapters that learn in place of the encoder (LoRA, by peft); 0 = none (the paper: none)."""
    lora_scale: float = 2.0
    """What the adapters' product is multiplied by (alpha / rank)."""
    ema_decay: float = 0.0
    """Decay of a running mean of the weights, which is kept as the result, 0.9999 say; 0 = none (the paper: none)."""
    optim: OptimConfig = field(default_factory=_finetune_optim)
    test: EvalConfig = field(default_factory=EvalConfig)
    compute: ComputeConfig = field(default_factory=ComputeConfig)
    log: LogConfig = field(default_factory=LogConfig)
    seed: int = 0
    """Every draw follows from it."""

    def __post_init__(self) -> None:
        require(
            isinstance(self.data, ClipConfig), f"data of fine-tuning is a ClipConfig, not {type(self.data).__name__}"
        )
        require(self.num_repeats >= 1, f"num_repeats={self.num_repeats} must be at least 1")
        require(
            self.init is not None or (self.image_size is None and self.num_frames is None),
            "image_size and num_frames go with --from; from scratch set model.image_size, model.num_frames",
        )
        blocks = self.train_blocks
        require(blocks is None or blocks >= 0, f"train_blocks={blocks} must be at least 0, or null for all")
        require(self.lora_rank >= 0, f"lora_rank={self.lora_rank} must be at least 0")
        if self.lora_rank:
            require(blocks is None, f"lora_rank and train_blocks={blocks} exclude each other; set one of them")
            require(self.init is not None, "lora_rank adapts weights that are there: give --from")
            require(self.optim.optimizer == "adamw", "lora_rank goes with optim.optimizer=adamw")
            require(self.compute.strategy != "fsdp", "lora_rank does not go with compute.strategy=fsdp")
        require(0 <= self.ema_decay < 1, f"ema_decay={self.ema_decay} must lie in [0, 1)")
        require(
            self.batch_counts == "videos" or self.optim.batch_size % max(1, self.num_repeats) == 0,
            f"optim.batch_size={self.optim.batch_size} counts augmented clips and must be a multiple of "
            f"num_repeats={self.num_repeats}",
        )

    @property
    def videos_per_step(self) -> int:
        """Videos of a step, over all devices; each brings `num_repeats` clips."""
        return self.optim.batch_size // (1 if self.batch_counts == "videos" else self.num_repeats)

    @property
    def mixes(self) -> bool:
        """Whether clips and labels of neighbouring videos are mixed."""
        return self.augment.mixup > 0 or self.augment.cutmix > 0
