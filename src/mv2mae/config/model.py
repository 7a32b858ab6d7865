"""Settings of the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from mv2mae.config.check import require
from mv2mae.errors import InputError

Positions = Literal["sinusoid-1d", "sincos-3d"]
Pooling = Literal["mean", "attention"]
Masking = Literal["random", "tube", "frame"]
MotionScale = Literal["normalised", "0-255"]
DecoderPositions = Literal["added", "rope"]
DecoderOrder = Literal["cross-first", "self-first"]
SelfViewAttention = Literal["joint", "cross"]
Directions = Literal["both", "one"]
Cameras = Literal["none", "rays"]

ENCODER_SIZES = {  # name -> width, depth, heads
    "tiny": (192, 12, 3),
    "small": (384, 12, 6),
    "base": (768, 12, 12),
    "large": (1024, 24, 16),
}
"""ViT sizes of Table 8 and L; the paper's default is small (ViT-S/16, Section 4.2)."""


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
    decoder_positions: DecoderPositions = "added"
    """`rope`: in both decoders queries and keys are turned by their places in time, row and column too (rotary
    positions, beside the added ones), so that attention sees distances. The encoder stays the paper's ViT."""
    decoder_order: DecoderOrder = "cross-first"
    """Of each block of the cross-view decoder: cross-attention before self-attention, as in the paper, or after it."""
    self_view_attention: SelfViewAttention = "joint"
    """In the self-view decoder all tokens attend to all (joint, the paper), or mask tokens to the visible ones alone,
    not to one another (cross, as in CrossMAE): less work, and a token's prediction is the same whichever others are
    decoded. The cross-view decoder stays as it is."""
    norm_eps: float = 1e-6
    """What LayerNorms add to the variance (VideoMAE: 1e-6; its weights in transformers: 1e-12)."""
    head_norm_eps: float = 1e-6
    """The same in the norm before an output layer (transformers: 1e-5)."""
    mask_ratio: float = 0.7
    """Share of tokens that is removed and predicted, rho (Table 7)."""
    masking: Masking = "random"
    """Masked tokens drawn over all of a clip, or the same places in every frame (tube), or whole moments (frame)."""
    source_mask_ratio: float | None = None
    """Share of a source's tokens that is hidden from the cross-view decoder, drawn at random: 0 shows it whole. Each
    view is then encoded once more, for this role. Null = the paper's: a source shows what it keeps as a target."""
    directions: Directions = "both"
    """Both: every view is a target, with all others as its sources (Equation 3). One: only the item's target is."""
    cameras: Cameras = "none"
    """`rays`: in the cross-view decoder each token knows its ray in the target camera's frame, where cameras are
    known (`model.cameras`); without them the model works all the same."""
    camera_drop: float = 0.5
    """With rays: chance that an item's cameras are withheld in training, so that one model serves both cases."""
    decoded_share: float = 1.0
    """Share (0-1] of the masked tokens that the decoders are given and predict in training, others in each step (the
    paper: all). Less work, and fewer errors to learn from; what is looked at is decoded whole."""
    num_masks: int = 1
    """Masks of a target that are trained with one encoding of its sources, where that is an encoding of its own
    (`source_mask_ratio`, `directions=one`). The paper: 1."""
    target_floor: float = 0.0
    """Least deviation by which a tubelet's colours are divided to make what is predicted, in grey levels of 0 to 1;
    above 0 faint patterns (noise, traces of compression) count for less. The paper: 0."""
    cross_view_weight: float = 1.0
    """Weight of the cross-view losses, lambda (Equation 3); 0 is a single-view VideoMAE."""
    effective_tokens: float | None = 0.5
    """Share (0-1] of the tokens that the motion weights shall be worth; each clip's temperature follows from it.
    Null = `motion_temperature` to the letter, which on normalised frames is all but uniform (the paper names no scale).
    """
    motion_temperature: float | None = 60.0
    """Temperature tau of the motion weights (Figure 4), if effective_tokens is null; null too = uniform weights."""
    motion_scale: MotionScale = "normalised"
    """Frames on whose differences motion_temperature stands: ImageNet-normalised, or in 0-255."""
    literal_loss_scale: bool = False
    """Equation 2 to the letter: weights sum to 1 over a clip. Default: they have mean 1 (N times that)."""

    def __post_init__(self) -> None:
        sizes = (self.num_frames, self.image_size, self.image_size)
        names = ("num_frames", "image_size", "image_size")
        for name, size, step in zip(names, sizes, self.tubelet_size, strict=True):
            require(step > 0, f"tubelet_size={list(self.tubelet_size)} must be positive")
            require(size >= step, f"{name}={size} is smaller than the tubelet's {step}; enlarge it")
            require(
                size % step == 0,
                f"{name}={size} is not a multiple of the tubelet's {step}; try {round(size / step) * step}",
            )
        require(self.num_frames >= 2, f"num_frames={self.num_frames}: motion needs at least 2 frames")
        for who, width, heads in (
            ("encoder", self.encoder_width, self.encoder_heads),
            ("decoder", self.decoder_width, self.decoder_heads),
        ):
            require(
                width > 0 and heads > 0 and width % heads == 0,
                f"{who}_width={width} does not divide by {who}_heads={heads}",
            )
        depths = (self.encoder_depth, self.decoder_depth)
        require(min(depths) >= 1, f"encoder_depth={depths[0]}, decoder_depth={depths[1]}: both must be at least 1")
        for name in ("norm_eps", "head_norm_eps"):
            require(getattr(self, name) > 0, f"{name}={getattr(self, name)} must be positive")
        require(0 < self.mask_ratio < 1, f"mask_ratio={self.mask_ratio} must lie between 0 and 1")
        what = {"tube": "places", "frame": "moments"}.get(self.masking, "tokens")
        count = {"tube": self.grid[1] * self.grid[2], "frame": self.grid[0]}.get(self.masking, self.num_tokens)
        require(self.num_masked >= 1, f"mask_ratio={self.mask_ratio} masks none of {count} {what}; raise it")
        source = self.source_mask_ratio
        require(source is None or source >= 0, f"source_mask_ratio={source} must lie in [0, 1), or be null")
        require(
            source is None or source < 1,
            f"source_mask_ratio={source} leaves none of a source's {self.num_tokens} tokens to decode from; "
            "lower it (0 shows the whole source)",
        )
        share, masks = self.decoded_share, self.num_masks
        require(0 < share <= 1, f"decoded_share={share} must lie in (0, 1], a share of the masked tokens")
        require(masks >= 1, f"num_masks={masks} must be at least 1")
        require(
            masks == 1 or (source is not None and self.directions == "one" and self.cross_view_weight > 0),
            f"num_masks={masks} shares an encoding of the sources that is theirs alone; set source_mask_ratio (0 shows "
            "them whole) and directions=one, with a cross-view decoder",
        )
        head = self.decoder_width // self.decoder_heads
        require(
            self.decoder_positions == "added" or (head % 2 == 0 and head >= 6),
            f"decoder_positions=rope wants heads of an even width of 6 or more, for three axes; decoder_width="
            f"{self.decoder_width} over decoder_heads={self.decoder_heads} gives {head}",
        )
        require(0 <= self.camera_drop <= 1, f"camera_drop={self.camera_drop} must lie in [0, 1]")
        require(
            0 <= self.target_floor < 1, f"target_floor={self.target_floor} must lie in [0, 1), in grey levels of 0 to 1"
        )
        require(self.cross_view_weight >= 0, f"cross_view_weight={self.cross_view_weight} must not be negative")
        require(
            self.motion_temperature is None or self.motion_temperature > 0,
            f"motion_temperature={self.motion_temperature} must be positive, or null for uniform weights",
        )
        require(
            self.effective_tokens is None or (self.motion_temperature in (None, 60.0) and self.motion_scale != "0-255"),
            f"motion_temperature={self.motion_temperature} on {self.motion_scale} frames has no effect while "
            f"effective_tokens={self.effective_tokens} decides; set effective_tokens to null",
        )
        require(
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
        """Tokens of a clip that are masked: int(rho N), for tubes int(rho h w) places in each of t frames, for frames
        int(rho t) moments of h w places."""
        t, h, w = self.grid
        whole = {"tube": t, "frame": h * w}.get(self.masking, 1)
        return whole * int(self.mask_ratio * (t * h * w // whole))

    @property
    def num_decoded(self) -> int:
        """Masked tokens of a target that are decoded in training."""
        return max(1, round(self.decoded_share * self.num_masked))

    @property
    def num_shown(self) -> int:
        """Tokens of a source that the cross-view decoder is given."""
        if self.source_mask_ratio is None:
            return self.num_tokens - self.num_masked
        return self.num_tokens - int(self.source_mask_ratio * self.num_tokens)

    @property
    def tubelet_dim(self) -> int:
        """Values in a tubelet: 3 colours of t x h x w pixels."""
        t, h, w = self.tubelet_size
        return 3 * t * h * w


@dataclass(frozen=True, kw_only=True)
class HeadConfig:
    """The classifier on top of the encoder (Section 3.4, Table 16)."""

    pooling: Pooling = "mean"
    """How tokens become one vector: their mean, or by a learnt query that attends to them (the paper: mean)."""
    drop_path: float = 0.1
    """Chance that a branch of the last block is skipped; falls linearly to 0 at the first (Table 16)."""
    init_scale: float = 1.0
    """Factor of the classifier's first weights, whose standard deviation is 0.02 (VideoMAE: 0.001; the paper: none)."""
    label_smoothing: float = 0.1
    """Share of the label's weight that is spread over all classes (Table 16)."""
    class_weights: Literal["none", "balanced"] = "none"
    """`balanced`: a clip's loss counts by the inverse of its class's frequency, on average 1 (the paper: none)."""

    def __post_init__(self) -> None:
        require(0 <= self.drop_path < 1, f"drop_path={self.drop_path} must lie in [0, 1)")
        require(self.init_scale > 0, f"init_scale={self.init_scale} must be positive")
        require(0 <= self.label_smoothing < 1, f"label_smoothing={self.label_smoothing} must lie in [0, 1)")
