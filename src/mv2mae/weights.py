"""Weights on disk: one safetensors file that says what it holds, so that nothing is ever unpickled.

The header carries the kind of model, its `ModelConfig` and what a user has to know beside it (class names, the data
it saw). Runs keep theirs in `model.safetensors`.
"""

from __future__ import annotations

import dataclasses
import json
from importlib import resources
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch.distributed as dist
from torch import Tensor, nn

from mv2mae.config import ModelConfig, Pooling
from mv2mae.errors import InputError
from mv2mae.files import atomic_write
from mv2mae.model.classifier import Classifier
from mv2mae.model.encoder import Encoder
from mv2mae.model.pretraining import MV2MAE
from mv2mae.model.tubelets import Size3
from mv2mae.seals import SEAL, check_seal, seal
from mv2mae.weights_check import (
    CLASSIFIER,
    DAMAGED,
    ENCODER,
    POSITION_GRID,
    PRETRAINING,
    check_about,
    check_tensors,
    compare_shapes,
    config_of,
)

WEIGHTS_NAME = "model.safetensors"
WEIGHTS_NAMES = (WEIGHTS_NAME, "model.safetensors.index.json", "pytorch_model.bin")
"""How weights are called in a folder; the last two are transformers' names."""
HUB = "hf:"
"""What a name on the Hugging Face hub begins with."""
HEADER = "mv2mae"
"""Key of the file's metadata under which the description stands, as JSON."""


@dataclasses.dataclass(frozen=True)
class StoredWeights:
    """What a weights file holds."""

    path: Path
    kind: str
    config: ModelConfig
    tensors: dict[str, Tensor]
    about: dict[str, Any]
    position_grid: Size3 | None = None
    """Token grid whose positions the weights know, where that is not the clip's own; see `Encoder`."""

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The tensors below `prefix`, without it."""
        return {name[len(prefix) :]: t for name, t in self.tensors.items() if name.startswith(prefix)}


def packaged_weights() -> dict[str, Path]:
    """Weights that come with the package, by name."""
    folder = Path(str(resources.files("mv2mae") / "weights"))
    return {path.stem: path for path in sorted(folder.glob("*.safetensors"))}


def find_weights(source: str | Path) -> Path:
    """The weights file of a run's or another model's folder, a file's path, or the name of packaged weights.

    What begins with `hf:` is brought from the Hugging Face hub, or from what was brought before.

    Raises:
        InputError: if there is none.
    """
    if str(source).startswith(HUB):
        from mv2mae.interop.hub import fetch

        return fetch(str(source))
    path = Path(source)
    if path.is_dir():
        path = next((path / name for name in WEIGHTS_NAMES if (path / name).is_file()), path)
    if path.is_file():
        return path
    packaged = packaged_weights()
    if str(source) in packaged:
        return packaged[str(source)]
    if Path(source).is_dir():
        raise InputError(f"{source}: no {WEIGHTS_NAME} in this folder; is it the folder of a finished run?")
    names = ", ".join(packaged) or "none"
    raise InputError(f"{source}: no such run folder or weights file (packaged weights: {names})")


def save_weights(path: str | Path, module: nn.Module, kind: str, config: ModelConfig, **about: Any) -> None:
    """Write a module's weights with their description, atomically.

    Where a training keeps the module in shards, every process has to come here; the first one writes.
    """
    path = Path(path)
    tensors = {name: tensor.contiguous() for name, tensor in whole_state(module).items()}
    if dist.is_available() and dist.is_initialized() and dist.get_rank() > 0:
        return
    # one entry: safetensors writes several in any order, and the same weights shall give the same bytes
    position_grid = getattr(getattr(module, "encoder", module), POSITION_GRID, None)
    known = {**dataclasses.asdict(config), POSITION_GRID: position_grid}
    described = {"kind": kind, "config": known, "about": about, "seal": SEAL}
    with atomic_write(path, durable=True) as temporary:
        temporary.write_bytes(safetensors.torch.save(tensors, metadata={HEADER: json.dumps(described)}))
        seal(temporary)


def whole_state(module: nn.Module) -> dict[str, Tensor]:
    """The tensors of a module on the CPU, put together where each process of a training holds a share of them."""
    state = {}
    for name, tensor in module.state_dict().items():
        gather = getattr(tensor, "full_tensor", None)  # of a DTensor, whose class takes half a second to import
        state[name] = (gather() if gather else tensor).detach().cpu()
    return state


def read_weights(source: str | Path) -> StoredWeights:
    """Read a weights file, this project's or one of VideoMAE's (`mv2mae.interop.foreign`).

    Raises:
        InputError: if it is missing, damaged or of another model, if a weight is not finite, or if its description is
            not that of its tensors.
    """
    path = find_weights(source)
    if path.suffix != ".safetensors":
        return _foreign(path)
    try:
        is_sealed = check_seal(path)
        with safetensors.safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (OSError, safetensors.SafetensorError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InputError(f"{path}: not a readable safetensors file ({reason})") from error
    if HEADER not in header:
        return _foreign(path)
    try:
        stored = json.loads(header[HEADER])
        kind, values, about = str(stored["kind"]), dict(stored["config"]), dict(stored["about"])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise InputError(f"{path}: {DAMAGED}") from error
    if "seal" in stored and not is_sealed:
        raise InputError(f"{path}: {DAMAGED}")
    config, position_grid = config_of(values, path)
    check_about(about, kind, path)
    check_tensors(config, tensors, kind, about, path)
    return StoredWeights(path, kind, config, tensors, about, position_grid)


def _foreign(path: Path) -> StoredWeights:
    from mv2mae.interop.foreign import read_foreign  # which makes use of this module

    stored = read_foreign(path)
    check_tensors(stored.config, stored.tensors, stored.kind, stored.about, path)
    return stored


def fill(module: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    """Load all of `tensors` into a module that wants exactly these.

    Raises:
        InputError: naming the first tensor that is missing, left over or of another shape.
    """
    compare_shapes(module.state_dict(), tensors, path)
    module.load_state_dict(tensors)


def encoder_tensors(stored: StoredWeights) -> dict[str, Tensor]:
    """The encoder's own tensors, whatever model they were stored in."""
    return stored.tensors if stored.kind == ENCODER else stored.part("encoder.")


def load_encoder(source: str | Path) -> Encoder:
    """The encoder of a run or weights file, in evaluation mode.

    Args:
        source: run folder, safetensors file, or the name of packaged weights.

    Returns:
        a module that makes tokens [b, n, d] of a clip [b, 3, t, h, w], RGB in [0, 1] or uint8: n tubelets in order of
        time, rows and columns (t / 2 * h / 16 * w / 16 of them where these are 2 x 16 x 16 pixels), d wide.

    Raises:
        InputError: if it cannot be found or does not fit.
    """
    stored = read_weights(source)
    tensors = encoder_tensors(stored)
    encoder = Encoder(stored.config, position_grid=stored.position_grid, final_norm="norm.weight" in tensors)
    fill(encoder, tensors, stored.path)
    return encoder.eval()


def load_pretrained(source: str | Path) -> MV2MAE:
    """The whole pre-training model, decoders included, in evaluation mode.

    Raises:
        InputError: also if the file holds no decoders (a classifier or an encoder alone).
    """
    stored = read_weights(source)
    if stored.kind != PRETRAINING:
        raise InputError(f"{stored.path} holds a {stored.kind} without decoders; give a pre-training run")
    model = MV2MAE(stored.config, stored.position_grid)
    fill(model, stored.tensors, stored.path)
    return model.eval()


def load_classifier_model(source: str | Path) -> tuple[Classifier, dict[str, Any]]:
    """A fine-tuned classifier in evaluation mode, and what is stored beside it.

    That is, among others: `classes`, the names of the classes that it was trained on, one an output; `labels`, their
    numbers in the data set, which may have gaps; `frame_stride` and `fps` of its clips.

    Raises:
        InputError: also if the file holds no classifier.
    """
    stored = read_weights(source)
    if stored.kind != CLASSIFIER or "classes" not in stored.about:
        raise InputError(f"{stored.path} holds a {stored.kind}, no classifier; give a fine-tuning run")
    pooling: Pooling = "attention" if "pool.query" in stored.tensors else "mean"
    model = Classifier(stored.config, len(stored.about["classes"]), position_grid=stored.position_grid, pooling=pooling)
    fill(model, stored.tensors, stored.path)
    return model.eval(), {"labels": list(range(model.num_classes)), **stored.about}
