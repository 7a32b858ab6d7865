"""Action classification on top of the encoder (Section 3.4)."""

from __future__ import annotations

from jaxtyping import Float, Shaped
from torch import Tensor, nn

from mv2mae.config import ModelConfig, Pooling
from mv2mae.model.encoder import Encoder
from mv2mae.model.pooling import AttentivePooling
from mv2mae.model.tubelets import Size3


class Classifier(nn.Module):
    """Encoder, mean over the tokens, LayerNorm, linear.

    As in VideoMAE the encoder's last norm is left out: the norm after the mean takes its place.

    Args:
        config: its encoder part.
        num_classes: outputs.
        position_grid, drop_path: of the encoder.
        pooling: `attention` in place of the mean: a learnt query attends to the tokens, which are normalised first (a
            departure from the paper).
    """

    def __init__(
        self,
        config: ModelConfig,
        num_classes: int,
        *,
        position_grid: Size3 | None = None,
        drop_path: float = 0.0,
        pooling: Pooling = "mean",
    ) -> None:
        super().__init__()
        self.config = config
        self.num_classes = num_classes
        self.encoder = Encoder(
            config, position_grid=position_grid, final_norm=pooling == "attention", drop_path=drop_path
        )
        self.pool = AttentivePooling(config.encoder_width) if pooling == "attention" else None
        self.norm = nn.LayerNorm(config.encoder_width, eps=config.head_norm_eps)
        self.head = nn.Linear(config.encoder_width, num_classes)
        nn.init.trunc_normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def features(self, clip: Shaped[Tensor, "b c t h w"]) -> Float[Tensor, "b d"]:
        """Mean token of each clip, or what attention takes from the tokens; normalised."""
        tokens = self.encoder(clip)
        return self.norm(tokens.mean(dim=1) if self.pool is None else self.pool(tokens))

    def forward(self, clip: Shaped[Tensor, "b c t h w"]) -> Float[Tensor, "b k"]:
        """Class scores (logits) of clips with pixels in [0, 1], or uint8."""
        return self.head(self.features(clip))
