"""Tensors out of files that other software wrote: safetensors, several of them with an index, and torch's own.

Of torch's files tensors and plain values are read. Nothing that could be executed is ever loaded.
"""

from __future__ import annotations

import argparse
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import torch
from torch import Tensor

from mv2mae.errors import InputError
from mv2mae.files import read_values
from mv2mae.text import first_line

INDEX_NAME = "model.safetensors.index.json"
"""Of weights that lie in several files."""
PICKLED = (".pth", ".pt", ".bin", ".ckpt")
_HOLDERS = ("model", "module", "state_dict", "model_state_dict")
"""Keys of a checkpoint under which its model may lie."""
_WRAPPINGS = ("module.", "_orig_mod.", "backbone.")
"""What training code puts in front of all names."""


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors by name, and the settings of the training, where a checkpoint has kept them (`args`).

    Raises:
        InputError: the file is damaged, has no tensors by name, or holds what would have to be executed.
    """
    arguments: Any = None
    if path.name == INDEX_NAME:
        found = {name: tensor for part in _parts(path) for name, tensor in _safetensors(part).items()}
    elif path.suffix in PICKLED:
        content = _unpickled(path)
        if isinstance(content, Mapping):
            arguments = content.get("args")
            content = next((content[key] for key in _HOLDERS if isinstance(content.get(key), Mapping)), content)
        named = content.items() if isinstance(content, Mapping) else ()
        found = {str(name): tensor for name, tensor in named if isinstance(tensor, Tensor)}
        if not found:
            raise InputError(f"{path}: no tensors by name in it; save model.state_dict() alone")
    else:
        found = _safetensors(path)
    for prefix in _WRAPPINGS:
        if found and all(name.startswith(prefix) for name in found):
            found = {name[len(prefix) :]: tensor for name, tensor in found.items()}
    return found, vars(arguments) if isinstance(arguments, argparse.Namespace) else {}


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        InputError: it cannot be read, or is something else.
    """
    try:
        return read_values(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {first_sentence(error)}") from error


def first_sentence(error: Exception) -> str:
    """What an error says, on one line; of a long one its first sentence."""
    line = first_line(error)
    return line if len(line) <= 200 else line.partition(". ")[0]


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (OSError, safetensors.SafetensorError) as error:
        raise InputError(f"{path}: not a readable safetensors file ({error})") from error


def part_names(path: Path) -> list[str]:
    """The files that an index names, all of them beside it.

    Raises:
        InputError: the index is damaged.
    """
    table = read_json(path).get("weight_map")
    names = sorted({str(name) for name in table.values()}) if isinstance(table, dict) else []
    if not names or any(Path(name).name != name for name in names):
        raise InputError(f"{path}: damaged, it does not name the files beside it")
    return names


def _parts(path: Path) -> list[Path]:
    names = part_names(path)
    for name in names:
        if not path.with_name(name).is_file():
            raise InputError(f"{path.with_name(name)} is missing, a part of the weights that {path.name} names")
    return [path.with_name(name) for name in names]


def _unpickled(path: Path) -> Any:
    """What torch saved, if it is tensors and plain values; a training's arguments are such."""
    try:
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of other pickle protocols; if it cannot be read, that is said below
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        culprit = str(error).partition("GLOBAL ")[2].split()
        if not culprit:
            raise InputError(f"{path}: not a file of torch's, or a damaged one") from error
        raise InputError(
            f"{path}: more than tensors is in it ({culprit[0]}), which is never loaded since it would be executed; "
            "save model.state_dict() alone"
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError, LookupError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: not a file of torch's, or a damaged one ({first_sentence(error)})") from error
