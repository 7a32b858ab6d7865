"""Action classification on top of the encoder (Section 3.4)."""

from __future__ import annotations

from jaxtyping import Float, Shaped
from torch import Tensor, nn

from mv2mae.config import ModelConfig
from mv2mae.model.encoder import Encoder


class Classifier(nn.Module):
    """Encoder, mean over the tokens, LayerNorm, linear.

    As in VideoMAE the encoder's last norm is left out: the norm after the mean takes its place.
    """

    def __init__(self, config: ModelConfig, num_classes: int, *, drop_path: float = 0.0) -> None:
        super().__init__()
        self.config = config
        self.num_classes = num_classes
        self.encoder = Encoder(config, final_norm=False, drop_path=drop_path)
        self.norm = nn.LayerNorm(config.encoder_width, eps=config.head_norm_eps)
        self.head = nn.Linear(config.encoder_width, num_classes)
        nn.init.trunc_normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def features(self, clip: Shaped[Tensor, "b c t h w"]) -> Float[Tensor, "b d"]:
        """Mean token of each clip, normalised."""
        return self.norm(self.encoder(clip).mean(dim=1))

    def forward(self, clip: Shaped[Tensor, "b c t h w"]) -> Float[Tensor, "b k"]:
        """Class scores (logits) of clips with pixels in [0, 1], or uint8."""
        return self.head(self.features(clip))
