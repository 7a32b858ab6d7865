"""Our weights as a folder that transformers loads: `VideoMAEModel` and its two kinds with a decoder or a head."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from mv2mae.config import ModelConfig
from mv2mae.data.augment import eval_short_side
from mv2mae.errors import InputError
from mv2mae.files import atomic_write, write_json
from mv2mae.interop.foreign import CONFIG_NAME
from mv2mae.interop.names import TRANSFORMERS, to_dialect
from mv2mae.model.tubelets import IMAGENET_MEAN, IMAGENET_STD
from mv2mae.weights import CLASSIFIER, ENCODER, PRETRAINING, WEIGHTS_NAME, StoredWeights

ARCHITECTURES = {
    ENCODER: "VideoMAEModel",
    PRETRAINING: "VideoMAEForPreTraining",
    CLASSIFIER: "VideoMAEForVideoClassification",
}
_HEAD_EPS = 1e-5
"""Of the last norm, which transformers' configuration cannot set."""


def write_transformers(stored: StoredWeights, out: str | Path) -> list[str]:
    """Write `config.json`, `model.safetensors` and `preprocessor_config.json`; returns what a user has to know.

    Of a multi-view model the cross-view decoder stays behind: transformers has none.

    Raises:
        InputError: the model has what VideoMAE of transformers cannot have.
    """
    out, config = Path(out), stored.config
    _check(stored)
    if stored.kind == PRETRAINING:
        _check_decoder(config, stored.path)
    if "pool.query" in stored.tensors:
        raise InputError(
            f"{stored.path} pools by attention, transformers' VideoMAE by the mean; export as onnx or torch"
        )
    tensors = stored.tensors
    if stored.kind == ENCODER:
        tensors = {f"encoder.{name}": tensor for name, tensor in tensors.items()}
    named = to_dialect(tensors, TRANSFORMERS, config.tubelet_size)
    if stored.kind == ENCODER:
        named = {name.removeprefix("videomae."): tensor for name, tensor in named.items()}
    out.mkdir(parents=True, exist_ok=True)
    with atomic_write(out / WEIGHTS_NAME, durable=True) as temporary:
        temporary.write_bytes(safetensors.torch.save(named, metadata={"format": "pt"}))
    write_json(out / CONFIG_NAME, _configuration(stored, tensors))
    write_json(out / "preprocessor_config.json", _preprocessor(config))
    notes = []
    if any(name.startswith("cross_decoder.") for name in stored.tensors):
        notes.append("the cross-view decoder stays behind, transformers has none")
    if stored.kind != ENCODER and config.head_norm_eps != _HEAD_EPS:
        notes.append(
            f"transformers' last norm adds {_HEAD_EPS:g} to the variance, this model's {config.head_norm_eps:g}: "
            "scores differ in their fifth digit"
        )
    return notes


def _check(stored: StoredWeights) -> None:
    config, path = stored.config, stored.path
    if config.positions != "sinusoid-1d" or stored.position_grid not in (None, config.grid):
        what = config.positions if config.positions != "sinusoid-1d" else "interpolated positions"
        raise InputError(
            f"{path} has {what}, but transformers' VideoMAE knows the 1-D sinusoid of its own clip size alone; "
            "export as onnx or torch"
        )
    _, rows, columns = config.tubelet_size
    if rows != columns:
        raise InputError(f"{path} has tubelets of {rows} x {columns} pixels; transformers' VideoMAE has square ones")


def _check_decoder(config: ModelConfig, path: Path) -> None:
    given = {name: getattr(config, name) for name in ("self_view_attention", "decoder_positions")}
    if given != {"self_view_attention": "joint", "decoder_positions": "added"}:
        what = " and ".join(f"{name}={value}" for name, value in given.items())
        raise InputError(
            f"{path} has {what}, but transformers' decoder has self-attention and added positions alone; "
            "export a fine-tuned model, or its encoder as onnx or torch"
        )


def _configuration(stored: StoredWeights, tensors: dict[str, Tensor]) -> dict[str, Any]:
    config = stored.config
    values: dict[str, Any] = {
        "architectures": [ARCHITECTURES[stored.kind]],
        "model_type": "videomae",
        "image_size": config.image_size,
        "patch_size": config.tubelet_size[1],
        "num_channels": 3,
        "num_frames": config.num_frames,
        "tubelet_size": config.tubelet_size[0],
        "hidden_size": config.encoder_width,
        "num_hidden_layers": config.encoder_depth,
        "num_attention_heads": config.encoder_heads,
        "intermediate_size": 4 * config.encoder_width,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "layer_norm_eps": config.norm_eps,
        "qkv_bias": True,
        "use_mean_pooling": "encoder.norm.weight" not in tensors,
        "decoder_hidden_size": config.decoder_width,
        "decoder_num_hidden_layers": config.decoder_depth,
        "decoder_num_attention_heads": config.decoder_heads,
        "decoder_intermediate_size": 4 * config.decoder_width,
        "norm_pix_loss": True,
        "dtype": "float32",
        "torch_dtype": "float32",
    }
    if stored.kind == CLASSIFIER:
        classes = [str(name) for name in stored.about["classes"]]
        values["id2label"] = {str(number): name for number, name in enumerate(classes)}
        values["label2id"] = {name: number for number, name in enumerate(classes)}
    return values


def _preprocessor(config: ModelConfig) -> dict[str, Any]:
    """Frames as in our tests: short side resized, centre crop, ImageNet's mean and deviation."""
    size = config.image_size
    return {
        "image_processor_type": "VideoMAEImageProcessor",
        "video_processor_type": "VideoMAEVideoProcessor",
        "do_resize": True,
        "size": {"shortest_edge": eval_short_side(size)},
        "resample": 2,
        "do_center_crop": True,
        "crop_size": {"height": size, "width": size},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(IMAGENET_MEAN),
        "image_std": list(IMAGENET_STD),
    }
