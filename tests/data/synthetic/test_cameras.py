"""Cameras stand where they should."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mv2mae.data.synthetic import SynthConfig
from mv2mae.data.synthetic.generate import build_setup

SMALL = SynthConfig(
    actions=("wave", "squat"), subjects=(3, 17), setups=(1, 4), num_frames=6, fps=5, size=48, num_groups=5, seed=3
)


@pytest.mark.parametrize("cameras", ["ntu", "free"])
def test_cameras_have_the_whole_standing_person_in_the_frame(cameras: str) -> None:
    config = replace(SMALL, cameras=cameras, num_cameras=4, azimuth_ranges=((-70, 25), (150, 180)))
    for setup in (1, 2, 3):
        stages = build_setup(config, setup)
        assert list(stages) == list(config.views)
        for stage in stages.values():
            pixels, depth = stage.camera.project(np.array([[0, 0, 0.0], [0, 0, 0.9], [0, 0, 1.7]]), 100)
            assert (depth > 1).all()
            assert ((pixels > 0) & (pixels < 100)).all()
            assert 62 < pixels[0, 1] - pixels[2, 1] < 82
            assert stage.camera.rotation @ stage.camera.rotation.T == pytest.approx(np.eye(3))


def test_ntu_cameras_stand_at_plus_45_0_and_minus_45_degrees() -> None:
    for view, stage in build_setup(SMALL, 1).items():
        x, y, _ = stage.camera.position  # the subject's left is -x, the front +y
        assert np.degrees(np.arctan2(-x, y)) == pytest.approx({1: 45, 2: 0, 3: -45}[view], abs=10)


def test_free_cameras_keep_to_their_ranges() -> None:
    config = replace(SMALL, cameras="free", num_cameras=3, azimuth_ranges=((-70, -30), (60, 80)))
    for setup in range(1, 6):
        for stage in build_setup(replace(config, size=32), setup).values():
            assert -70 <= stage.camera.azimuth <= -30 or 60 <= stage.camera.azimuth <= 80
