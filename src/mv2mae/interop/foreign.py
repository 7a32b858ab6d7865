"""Weights of VideoMAE that other software wrote, read as if they were ours.

transformers': `config.json` and the weights beside it. The official VideoMAE's and VideoMAE V2's: one `.pth`. Each may
hold an encoder, a pre-training model or a classifier.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from mv2mae.config import ModelConfig
from mv2mae.errors import InputError
from mv2mae.interop.files import first_sentence, read_json, read_tensors
from mv2mae.interop.names import OFFICIAL, TRANSFORMERS, Dialect, from_dialect
from mv2mae.model.tubelets import Size3
from mv2mae.weights import CLASSIFIER, ENCODER, PRETRAINING, StoredWeights

CONFIG_NAME = "config.json"
_HEADS = {640: 8, 1280: 16, 1408: 16}
"""Attention heads by width, where that is not one for every 64 columns (ViT-H, ViT-g)."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What tensors do not tell about their model."""

    num_frames: int
    image_size: int
    heads: int
    decoder_heads: int
    norm_eps: float
    head_norm_eps: float
    classes: list[str] | None = None
    mean_pooling: bool = True
    assumed: str = ""


def read_foreign(path: Path) -> StoredWeights:
    """An encoder, a classifier or a single-view pre-training model out of VideoMAE's weights.

    `about["notes"]` says in lines what was taken, what was left and what had to be assumed.

    Args:
        path: a `.safetensors` file, the index of several, or a file that torch wrote.

    Raises:
        InputError: it is damaged, unsafe, or holds a model of another build.
    """
    raw, arguments = read_tensors(path)
    dialect, raw = _in_dialect(raw, path)
    tubelet_size = _tubelet_size(raw[f"{dialect.embed}.weight"], path)
    tensors, left = from_dialect(raw, dialect)
    if inside := [name for name in left if any(f"{stack}." in name for stack in dialect.stacks.values())]:
        raise InputError(f"{path}: {inside[0]} (and {len(inside) - 1} more in its blocks) has no place in this model")
    file = path.with_name(CONFIG_NAME)
    described = dialect is TRANSFORMERS and file.is_file()
    facts = _configured(read_json(file), file) if described else _supposed(tensors, arguments, dialect)
    kind = _kind(tensors, facts)
    config = _model_config(tensors, tubelet_size, facts, kind, path)
    taken, dropped = _of_kind(tensors, kind)
    about: dict[str, Any] = {"notes": _notes(dialect, kind, len(taken), left + dropped, facts)}
    if kind == CLASSIFIER:
        about["classes"] = _classes(tensors["head.weight"], facts, path)
    return StoredWeights(path, kind, config, taken, about)


def _in_dialect(raw: dict[str, Tensor], path: Path) -> tuple[Dialect, dict[str, Tensor]]:
    """Whose names they are; the encoder's prefix is put back where it was left out."""
    for dialect, prefix in ((TRANSFORMERS, "videomae."), (OFFICIAL, "encoder.")):
        name = f"{dialect.embed}.weight"
        if name in raw:
            return dialect, raw
        if name.removeprefix(prefix) in raw:
            heads = (f"{dialect.parts['norm']}.", f"{dialect.parts['head']}.")
            return dialect, {name if name.startswith(heads) else prefix + name: raw[name] for name in raw}
    some = ", ".join(sorted(raw)[:3])
    raise InputError(f"{path}: weights of neither mv2mae nor VideoMAE (official or transformers'); it has {some} ...")


def _tubelet_size(kernel: Tensor, path: Path) -> Size3:
    if kernel.ndim != 5 or kernel.shape[1] != 3:
        raise InputError(
            f"{path}: the embedding has shape {list(kernel.shape)}, expected [width, 3, frames, rows, columns] of a "
            "video model with three colours"
        )
    t, h, w = kernel.shape[2:]
    return t, h, w


def _supposed(tensors: dict[str, Tensor], arguments: dict[str, Any], dialect: Dialect) -> Facts:
    """The usual build of a width, and the clip that a checkpoint's arguments name or else VideoMAE's."""
    widths = [len(tensors[name]) if name in tensors else 64 for name in ("encoder.embed.weight", "mask_token")]
    heads, decoder_heads = (_HEADS.get(width, max(1, width // 64)) for width in widths)
    frames, size = arguments.get("num_frames"), arguments.get("input_size")
    known = isinstance(frames, int) and isinstance(size, int)
    frames, size = (frames, size) if known else (16, 224)
    assumed = f"{heads} attention heads{'' if known else f', clips of {frames} x {size} x {size}'}"
    norm_eps, head_norm_eps = (1e-12, 1e-5) if dialect is TRANSFORMERS else (1e-6, 1e-6)
    return Facts(
        num_frames=int(frames or 16),
        image_size=int(size or 224),
        heads=heads,
        decoder_heads=decoder_heads,
        norm_eps=norm_eps,
        head_norm_eps=head_norm_eps,
        assumed=assumed,
    )


def _configured(values: dict[str, Any], path: Path) -> Facts:
    """What transformers' configuration says; it names only what is not as usual."""
    if (model := values.get("model_type", "videomae")) != "videomae":
        raise InputError(f"{path}: model_type is {model}; videomae is what can be read")
    if (activation := values.get("hidden_act", "gelu")) != "gelu":
        raise InputError(f"{path}: hidden_act is {activation}; this model has gelu alone")
    try:
        size = values.get("image_size", 224)
        sizes = {int(side) for side in (size if isinstance(size, list) else [size])}
        names = values.get("id2label")
        facts = Facts(
            num_frames=int(values.get("num_frames", 16)),
            image_size=max(sizes),
            heads=int(values.get("num_attention_heads", 12)),
            decoder_heads=int(values.get("decoder_num_attention_heads", 6)),
            norm_eps=float(values.get("layer_norm_eps", 1e-12)),
            head_norm_eps=1e-5,  # torch's own, which transformers leaves there
            classes=[str(names[key]) for key in sorted(names, key=int)] if isinstance(names, dict) else None,
            mean_pooling=bool(values.get("use_mean_pooling", True)),
        )
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: damaged ({first_sentence(error)})") from error
    if len(sizes) > 1:
        raise InputError(f"{path}: image_size is {size}; this model takes square clips")
    return facts


def _kind(tensors: dict[str, Tensor], facts: Facts) -> str:
    if {"norm.weight", "head.weight"} <= tensors.keys() and facts.mean_pooling:
        return CLASSIFIER
    whole = {"encoder.norm.weight", "projector.weight", "mask_token", "self_decoder.head.weight"}
    return PRETRAINING if whole <= tensors.keys() else ENCODER


def _of_kind(tensors: dict[str, Tensor], kind: str) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors that a model of a kind has, by its names; and the names of the others."""
    own = {
        ENCODER: ("encoder.",),
        CLASSIFIER: ("encoder.embed.", "encoder.blocks.", "norm.", "head."),
        PRETRAINING: ("encoder.", "projector.", "mask_token", "self_decoder."),
    }[kind]
    taken = {name: tensor for name, tensor in tensors.items() if name.startswith(own)}
    dropped = [name for name in tensors if name not in taken]
    return {name.removeprefix("encoder.") if kind == ENCODER else name: taken[name] for name in taken}, dropped


def _model_config(tensors: dict[str, Tensor], tubelet_size: Size3, facts: Facts, kind: str, path: Path) -> ModelConfig:
    width, depth = len(tensors["encoder.embed.weight"]), _depth(tensors, "encoder.blocks.")
    _check_feed_forward(tensors, "encoder", width, path)
    single_view: dict[str, Any] = {}
    if kind == PRETRAINING:
        decoder_width, decoder_depth = len(tensors["mask_token"]), _depth(tensors, "self_decoder.blocks.")
        _check_feed_forward(tensors, "self_decoder", decoder_width, path)
        single_view = {
            "decoder_width": decoder_width,
            "decoder_depth": decoder_depth,
            "decoder_heads": facts.decoder_heads,
            "cross_view_weight": 0.0,
            "motion_temperature": None,
            "effective_tokens": None,
            "mask_ratio": 0.9,
            "masking": "tube",
        }
    try:
        return ModelConfig(
            num_frames=facts.num_frames,
            image_size=facts.image_size,
            tubelet_size=tubelet_size,
            encoder_width=width,
            encoder_depth=depth,
            encoder_heads=facts.heads,
            norm_eps=facts.norm_eps,
            head_norm_eps=facts.head_norm_eps,
            **single_view,
        )
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _depth(tensors: dict[str, Tensor], prefix: str) -> int:
    return len({name[len(prefix) :].partition(".")[0] for name in tensors if name.startswith(prefix)})


def _check_feed_forward(tensors: dict[str, Tensor], part: str, width: int, path: Path) -> None:
    first = tensors.get(f"{part}.blocks.0.mlp.0.weight")
    if first is not None and len(first) != 4 * width:
        raise InputError(f"{path}: the {part}'s feed-forward layers are {len(first)} wide; this model has 4 x {width}")


def _classes(head: Tensor, facts: Facts, path: Path) -> list[str]:
    if facts.classes is None:
        return [f"class {number}" for number in range(len(head))]
    if len(facts.classes) != len(head):
        raise InputError(f"{path}: {len(head)} outputs, but {CONFIG_NAME} beside it names {len(facts.classes)} classes")
    return facts.classes


def _notes(dialect: Dialect, kind: str, count: int, left: list[str], facts: Facts) -> list[str]:
    notes = [f"{dialect.title}: {count} tensors make {'an' if kind == ENCODER else 'a'} {kind}"]
    if left:
        more = f" and {len(left) - 4} more" if len(left) > 4 else ""
        notes.append(f"not taken: {', '.join(left[:4])}{more}")
    if facts.assumed:
        notes.append(f"not in the file, and taken for granted: {facts.assumed}")
    return notes
