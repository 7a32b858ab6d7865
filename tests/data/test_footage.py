"""The real take: four cameras, two codecs, two portrait sizes, 100 frames each."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mv2mae.config import PairConfig
from mv2mae.data.datamodule import pretrain_data
from mv2mae.data.manifest import with_media_info, write_manifest
from mv2mae.data.protocols import build_index


@pytest.fixture(scope="module")
def manifest(footage: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("footage")
    (root / "take").mkdir()
    for file in footage.glob("*.mp4"):
        shutil.copy(file, root / "take")
    frame, problems = with_media_info(build_index("folder", root).frame, progress=False)
    assert problems == []
    return write_manifest(frame, root / "m.csv")


def test_four_views_make_aligned_pairs(manifest: Path) -> None:
    data = pretrain_data(PairConfig(manifest=str(manifest)), num_frames=16, size=64, seed=0)
    frame = data.train.frame
    assert frame["view"].tolist() == ["cam01", "cam02", "cam03", "cam04"]
    assert frame["frames"].tolist() == [100] * 4
    assert frame["width"].tolist() == [1080, 1080, 1088, 1088]
    item = data.train[(0, 1)]
    assert item is not None
    assert item["target"].shape == (3, 16, 64, 64)
    assert item["sources"].shape == (1, 3, 16, 64, 64)
    assert item["target"].float().std() > 10
    windows = data.train.window([0, 1, 2, 3], offset=0.5)
    for times in windows:
        np.testing.assert_allclose(times, windows[0])
        np.testing.assert_allclose(np.diff(times), 4 / 60)


@pytest.mark.parametrize("index", [0, 1])
def test_memory_and_files_give_the_same_clips(manifest: Path, index: int) -> None:
    def target(**cache: Any) -> torch.Tensor:
        query = "view in ['cam01', 'cam02']"
        config = PairConfig(manifest=str(manifest), train_query=query, crop="centre", **cache)
        item = pretrain_data(config, num_frames=4, size=64, seed=0, progress=False).train[(0, index)]
        assert item is not None
        return item["target"]

    assert torch.equal(target(cache="none"), target(cache="memory", cache_size=64))
