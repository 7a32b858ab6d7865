"""The study from beginning to end: `mv2mae geometry`."""

from __future__ import annotations

from pathlib import Path

from mv2mae.config import GeometryConfig
from mv2mae.files import make_writable
from mv2mae.studies.geometry.figure import geometry_figure
from mv2mae.studies.geometry.summary import GEOMETRY_NAME, geometry, print_geometry
from mv2mae.weights import find_weights


def run_geometry(weights: str, config: GeometryConfig, out: str | Path, *, device: str = "cpu") -> None:
    """Measure, print, and write `geometry.json` and `geometry.png`.

    Raises:
        InputError: as `geometry.measure`, or a folder that cannot be written.
    """
    out = Path(out)
    find_weights(weights)  # or a folder would be made for results that cannot be
    make_writable(out)
    result = geometry(weights, config, device=device)
    print_geometry(result)
    result.write(out / GEOMETRY_NAME)
    print(f"  wrote {out / GEOMETRY_NAME}")
    geometry_figure(result).savefig(out / "geometry.png", dpi=150)
    print(f"  wrote {out / 'geometry.png'}")
