"""Settings of trainings that take a second: a few videos of the sample set, a model of 32 tokens."""

import dataclasses

from mv2mae.config import (
    ClipConfig,
    ComputeConfig,
    FinetuneConfig,
    LogConfig,
    ModelConfig,
    OptimConfig,
    PairConfig,
    PretrainConfig,
)

_FEW = "subject in [1, 2] and label in [5, 7] and setup == 1"
TINY = ModelConfig(
    num_frames=4,
    image_size=32,
    tubelet_size=(2, 8, 8),
    encoder_width=32,
    encoder_depth=2,
    encoder_heads=2,
    decoder_width=24,
    decoder_depth=2,
    decoder_heads=2,
    effective_tokens=None,
)
_MODEL = dataclasses.replace(TINY, decoder_depth=1, positions="sincos-3d")
_COMPUTE = ComputeConfig(accelerator="cpu", num_workers=0, num_threads=1)
_OPTIM = OptimConfig(lr=1e-3, batch_size=4, steps=12, warmup_steps=2)

PRETRAINING = PretrainConfig(
    model=_MODEL,
    data=PairConfig(train_query=_FEW, cache="memory", frame_stride=8),
    optim=_OPTIM,
    compute=_COMPUTE,
    log=LogConfig(log_every=1, check_every=3, save_every=3, held_out_pairs=2),
)
FINETUNING = FinetuneConfig(  # with drop path and a running mean of the weights
    model=_MODEL,
    data=ClipConfig(train_query=_FEW, cache="memory", frame_stride=8),
    num_repeats=2,
    ema_decay=0.9,
    optim=_OPTIM,
    compute=_COMPUTE,
    log=LogConfig(log_every=1, save_every=3),
)
