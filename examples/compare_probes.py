"""What the packaged encoder is worth for telling actions apart, beside the same encoder untrained."""

import tempfile
from pathlib import Path

from mv2mae.config import FeatureConfig, ProbeConfig, VideosConfig
from mv2mae.studies.probes.measure import probe

data = VideosConfig(
    manifest="sample", frame_stride=4, train_query="view == 1 and subject < 4", test_query="view == 2 and subject == 5"
)
with tempfile.TemporaryDirectory() as out:  # probe.json and predictions.parquet
    found = probe("synthetic-small", data, FeatureConfig(), ProbeConfig(probes=("linear",)), Path(out), progress=False)
for encoder, probes in found.encoders.items():
    top1, (low, high) = probes["linear"].top1, probes["linear"].top1_interval
    print(f"{encoder:16} top-1 {top1:.2f} ({low:.2f} to {high:.2f}); chance {found.chance:.2f}")
