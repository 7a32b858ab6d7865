"""VideoMAE's tensors under other names: transformers' and those of the official releases, both ways.

The layers are the same ones. What differs beside names: the embedding is a strided convolution there, query, key and
value are three matrices in transformers, and a mask token has two axes more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mv2mae.model.tubelets import Size3

_QKV = ("query", "key", "value")
_ATTENTION = re.compile(r"\.attention\.(?:[qkv]_bias|(?:qkv|query|key|value)\.weight|proj\.\w+)$")
"""What there may be in a block's attention."""


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """Names in other software, by ours; all are prefixes up to `.weight` or `.bias`."""

    title: str
    """Whose names they are."""
    embed: str
    stacks: Mapping[str, str]
    """Rows of blocks."""
    block: Mapping[str, str]
    """Layers in a block."""
    parts: Mapping[str, str]
    """All other layers."""
    attention: str
    """Where in a block query, key and value are."""
    split: bool
    """Whether these are three matrices."""


OFFICIAL = Dialect(
    title="VideoMAE's own release",
    embed="encoder.patch_embed.proj",
    stacks={"encoder.blocks": "encoder.blocks", "self_decoder.blocks": "decoder.blocks"},
    block={"norm1": "norm1", "norm2": "norm2", "attention.proj": "attn.proj", "mlp.0": "mlp.fc1", "mlp.2": "mlp.fc2"},
    parts={
        "encoder.norm": "encoder.norm",
        "projector": "encoder_to_decoder",
        "self_decoder.norm": "decoder.norm",
        "self_decoder.head": "decoder.head",
        "norm": "fc_norm",
        "head": "head",
    },
    attention="attn",
    split=False,
)
"""MCG-NJU's VideoMAE and OpenGVLab's VideoMAE V2; fine-tuned ones are without the `encoder.` in front."""

TRANSFORMERS = Dialect(
    title="transformers' VideoMAE",
    embed="videomae.embeddings.patch_embeddings.projection",
    stacks={"encoder.blocks": "videomae.encoder.layer", "self_decoder.blocks": "decoder.decoder_layers"},
    block={
        "norm1": "layernorm_before",
        "norm2": "layernorm_after",
        "attention.proj": "attention.output.dense",
        "mlp.0": "intermediate.dense",
        "mlp.2": "output.dense",
    },
    parts={
        "encoder.norm": "videomae.layernorm",
        "projector": "encoder_to_decoder",
        "self_decoder.norm": "decoder.norm",
        "self_decoder.head": "decoder.head",
        "norm": "fc_norm",
        "head": "classifier",
    },
    attention="attention.attention",
    split=True,
)
"""transformers' `VideoMAEForPreTraining`, `VideoMAEForVideoClassification`; `VideoMAEModel` is without `videomae.`."""


def from_dialect(tensors: Mapping[str, Tensor], dialect: Dialect) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors under our names, in float32, and the names of those that have no place with us.

    Biases of keys are left out in silence: they change all scores of a query alike, and attention not at all.
    """
    made: dict[str, Tensor] = {}
    left: list[str] = []
    layers = {theirs: ours for ours, theirs in _layers(dialect).items()}
    for name, tensor in tensors.items():
        ours = _renamed(name, layers)
        if ours is not None and ".attention." in ours:
            # transformers 5 has biases in the Linear, files and earlier versions have them beside it
            ours = re.sub(r"\.([qkv])(?:uery|ey|alue)\.bias$", r".\1_bias", ours)
            ours = ours if _ATTENTION.search(ours) else None
        if ours is None:
            left.append(name)
        elif ours == "encoder.embed.weight":
            made[ours] = tensor.float().permute(0, 2, 3, 4, 1).flatten(1) if tensor.ndim == 5 else tensor.float()
        elif not ours.endswith("k_bias"):
            made[ours] = tensor.float().flatten() if ours == "mask_token" else tensor.float()
    return _joined(made), left


def to_dialect(tensors: Mapping[str, Tensor], dialect: Dialect, tubelet_size: Size3) -> dict[str, Tensor]:
    """Our tensors under their names; those of the cross-view decoder, which nobody else has, are left out."""
    made: dict[str, Tensor] = {}
    layers = _layers(dialect)
    for name, tensor in tensors.items():
        if name.startswith("cross_decoder."):
            continue
        parts = {name: tensor}
        if name == "encoder.embed.weight":
            parts = {name: as_convolution(tensor, tubelet_size)}
        elif name == "mask_token":
            parts = {name: tensor[None, None]}
        elif dialect.split and name.endswith("attention.qkv.weight"):
            stem = name.removesuffix("qkv.weight")
            parts = {f"{stem}{part}.weight": rows for part, rows in zip(_QKV, tensor.chunk(3), strict=True)}
        for ours, part in parts.items():
            theirs = _renamed(ours, layers)
            assert theirs is not None, f"{ours} has a name there"
            made[theirs] = part.contiguous()
    return made


def as_convolution(weight: Float[Tensor, "d n"], tubelet_size: Size3) -> Float[Tensor, "d c t h w"]:
    """The embedding of flat tubelets, colours last, as the kernel of a strided convolution."""
    return weight.unflatten(1, (*tubelet_size, -1)).permute(0, 4, 1, 2, 3)


def _layers(dialect: Dialect) -> dict[str, str]:
    """Their names of all layers by ours, up to `.weight` or `.bias`; a star stands for the number of a block."""
    inside = {**dialect.block, "attention": dialect.attention}
    for part in _QKV if dialect.split else ("qkv",):
        inside[f"attention.{part}"] = f"{dialect.attention}.{part}"
    blocks = {
        f"{ours}.*.{layer}": f"{theirs}.*.{their_layer}"
        for ours, theirs in dialect.stacks.items()
        for layer, their_layer in inside.items()
    }
    return {"encoder.embed": dialect.embed, **dialect.parts, **blocks}


def _renamed(name: str, layers: Mapping[str, str]) -> str | None:
    """A tensor's name after its layer was looked up; None where that is not listed."""
    if name == "mask_token":
        return name
    stem, _, leaf = name.rpartition(".")
    number = re.search(r"\.(\d+)\.", stem)
    layer = layers.get(stem.replace(number[0], ".*.", 1) if number else stem)
    return None if layer is None else f"{layer}.{leaf}".replace("*", number[1] if number else "")


def _joined(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Query, key and value one below the other; biases that are not there are zero."""
    made: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        stem, _, leaf = name.rpartition("attention.")
        if leaf == "query.weight":
            parts = [tensors.get(f"{stem}attention.{part}.weight") for part in _QKV]
            if all(part is not None for part in parts):  # else whoever needs it will say that it is missing
                made[f"{stem}attention.qkv.weight"] = torch.cat([part for part in parts if part is not None])
        elif leaf not in ("key.weight", "value.weight"):
            made[name] = tensor
    for name in [name for name in made if name.endswith("attention.qkv.weight")]:
        for bias in ("q_bias", "v_bias"):
            made.setdefault(name.replace("qkv.weight", bias), torch.zeros(made[name].shape[1]))
    return made
