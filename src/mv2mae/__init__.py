"""MV2MAE: self-supervised video pre-training from several synchronised cameras.

The names below are the public interface; they load when they are first used, so that ``import mv2mae`` is quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mv2mae.config import FinetuneConfig, ModelConfig, PretrainConfig
    from mv2mae.data.manifest import read_manifest
    from mv2mae.errors import InputError
    from mv2mae.evaluate.predict import load_classifier
    from mv2mae.model.motion import motion_weights
    from mv2mae.model.pretraining import MV2MAE
    from mv2mae.notebook import evaluate_run, finetune, pretrain
    from mv2mae.weights import load_encoder

__version__ = "0.2.0"

__all__ = [
    "MV2MAE",
    "FinetuneConfig",
    "InputError",
    "ModelConfig",
    "PretrainConfig",
    "evaluate_run",
    "finetune",
    "load_classifier",
    "load_encoder",
    "motion_weights",
    "pretrain",
    "read_manifest",
]

_HOME = {
    "FinetuneConfig": "config",
    "InputError": "errors",
    "MV2MAE": "model.pretraining",
    "ModelConfig": "config",
    "PretrainConfig": "config",
    "evaluate_run": "notebook",
    "finetune": "notebook",
    "load_classifier": "evaluate.predict",
    "load_encoder": "weights",
    "motion_weights": "model.motion",
    "pretrain": "notebook",
    "read_manifest": "data.manifest",
}


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"mv2mae.{_HOME[name]}"), name)
    raise AttributeError(f"module 'mv2mae' has no attribute {name!r}")
