"""Every setting of the project: its meaning, its unit and where the paper gives it.

Frozen, keyword-only dataclasses, one a topic. A recipe (``mv2mae recipes``) is a YAML file that fills
`PretrainConfig` or `FinetuneConfig`; an unknown key is an error. What changes results (`ModelConfig`,
`PairConfig`, `ClipConfig`, `OptimConfig`, ...) stands apart from what changes speed alone (`ComputeConfig`).
"""

import warnings
from typing import Any

from mv2mae.config.data import (
    ClipConfig,
    Crop,
    EvalConfig,
    PairConfig,
    StreamConfig,
    TrainingVideosConfig,
    VideosConfig,
)
from mv2mae.config.features import FeatureConfig, Level, Probe, ProbeConfig
from mv2mae.config.model import ENCODER_SIZES, HeadConfig, Masking, ModelConfig, MotionScale, Pooling, Positions
from mv2mae.config.pictures import PictureConfig
from mv2mae.config.rig import FreeRigConfig, RigConfig
from mv2mae.config.store import StoreConfig
from mv2mae.config.studies import GeometryConfig, SecondViewConfig
from mv2mae.config.synthetic import SynthConfig
from mv2mae.config.tables import TableConfig
from mv2mae.config.training import (
    AugmentConfig,
    ComputeConfig,
    FinetuneConfig,
    LogConfig,
    OptimConfig,
    Optimizer,
    PretrainConfig,
)

__all__ = [
    "ENCODER_SIZES",
    "AugmentConfig",
    "ClipConfig",
    "ComputeConfig",
    "Crop",
    "EvalConfig",
    "FeatureConfig",
    "FinetuneConfig",
    "FreeRigConfig",
    "GeometryConfig",
    "HeadConfig",
    "Level",
    "LogConfig",
    "Masking",
    "ModelConfig",
    "MotionScale",
    "OptimConfig",
    "Optimizer",
    "PairConfig",
    "PictureConfig",
    "Pooling",
    "Positions",
    "PretrainConfig",
    "Probe",
    "ProbeConfig",
    "RigConfig",
    "SecondViewConfig",
    "StoreConfig",
    "StreamConfig",
    "SynthConfig",
    "TableConfig",
    "TrainingVideosConfig",
    "VideosConfig",
]


def __getattr__(name: str) -> Any:
    """Settings of videos were one class in 0.1.0, for all tasks; those of pairs are the ones that it had for itself."""
    if name == "DataConfig":
        warnings.warn("DataConfig is PairConfig, ClipConfig or VideosConfig now", DeprecationWarning, stacklevel=2)
        return PairConfig
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
