"""Models on the Hugging Face hub by its own mixin: `save_pretrained`, `push_to_hub`, `from_pretrained`."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import yaml
from torch import nn

from mv2mae.errors import InputError
from mv2mae.files import write_json, write_text
from mv2mae.interop.card import model_card
from mv2mae.runs import CONFIG_NAME, read_config
from mv2mae.weights import (
    CLASSIFIER,
    PRETRAINING,
    WEIGHTS_NAME,
    StoredWeights,
    load_classifier_model,
    load_encoder,
    load_pretrained,
    read_weights,
    save_weights,
)

try:
    from huggingface_hub import ModelCard, PyTorchModelHubMixin, hf_hub_download
except ImportError as error:
    raise InputError("models on the hub need huggingface_hub; pip install 'mv2mae[hub]'") from error

_LOCAL = ("init", "notes")
"""What of a run's weights is said of the machine on which they were made, and stays there."""


class HubModel(nn.Module, PyTorchModelHubMixin):
    """A model of a run, a weights file or the hub, with the hub's methods.

    `HubModel("runs/finetune").push_to_hub("OWNER/NAME")`, `HubModel.from_pretrained("OWNER/NAME")`; `.model` is the
    `Classifier`, `Encoder` or `MV2MAE`, and calling this calls that.

    Args:
        source: whatever `mv2mae.weights.read_weights` takes.

    Raises:
        InputError: if there are no such weights.
    """

    def __init__(self, source: str) -> None:
        super().__init__()
        self.stored: StoredWeights = read_weights(source)
        load: dict[str, Any] = {CLASSIFIER: lambda path: load_classifier_model(path)[0], PRETRAINING: load_pretrained}
        self.model: nn.Module = load.get(self.stored.kind, load_encoder)(self.stored.path)
        self.run = self.stored.path.parent if (self.stored.path.parent / CONFIG_NAME).is_file() else None

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the model itself makes of it."""
        return self.model(*args, **kwargs)

    def generate_model_card(self, *args: Any, name: str = "", **kwargs: Any) -> ModelCard:
        """The card, made from the run."""
        return ModelCard(model_card(self.stored, self.run, name))

    def _save_pretrained(self, save_directory: Path) -> None:
        stored = self.stored
        about = {key: value for key, value in stored.about.items() if key not in _LOCAL}
        save_weights(save_directory / WEIGHTS_NAME, self.model, stored.kind, stored.config, **about)
        # in place of the mixin's, which would tell where the weights were
        model = {"library_name": "mv2mae", "kind": stored.kind, "model": dataclasses.asdict(stored.config)}
        write_json(save_directory / "config.json", model)
        if self.run is not None:
            settings = yaml.safe_dump(_without_folders(read_config(self.run)), sort_keys=False)
            write_text(save_directory / CONFIG_NAME, settings)
        write_text(save_directory / "README.md", str(self.generate_model_card(name=save_directory.name)))

    @classmethod
    def _from_pretrained(cls, *, model_id: str, **options: Any) -> HubModel:
        if os.path.isdir(model_id):
            return cls(model_id)
        names = ("revision", "cache_dir", "force_download", "local_files_only", "token")
        chosen: dict[str, Any] = {name: options[name] for name in names if options.get(name) is not None}
        return cls(hf_hub_download(model_id, WEIGHTS_NAME, **chosen))


def _without_folders(settings: Any) -> Any:
    """Settings whose paths are names alone: what lies where on a machine is nobody's business."""
    if isinstance(settings, dict):
        return {key: _without_folders(value) for key, value in settings.items()}
    return Path(settings).name if isinstance(settings, str) and os.path.isabs(settings) else settings
