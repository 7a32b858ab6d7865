"""The study from beginning to end: `mv2mae robustness`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mv2mae.config import FeatureConfig, ProbeConfig, VideosConfig
from mv2mae.files import make_writable
from mv2mae.studies.view_robustness.figure import robustness_figure
from mv2mae.studies.view_robustness.measure import view_robustness
from mv2mae.studies.view_robustness.tables import print_robustness, write_robustness


def run_robustness(
    weights: str, data: VideosConfig, features: FeatureConfig, config: ProbeConfig, out: str | Path, **options: Any
) -> None:
    """Measure, print, and write `robustness.json`, `.csv` and `.png`.

    Args:
        options: those of `view_robustness`.

    Raises:
        InputError: as `view_robustness`.
    """
    out = Path(out)
    make_writable(out)
    result = view_robustness(weights, data, features, config, **options)
    print_robustness(result)
    for path in write_robustness(result, out):
        print(f"  wrote {path}")
    robustness_figure(result).savefig(out / "robustness.png", dpi=150)
    print(f"  wrote {out / 'robustness.png'}")
