"""Groups whose views do not run on one clock: no pairs, but tests and fusion as any other."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from mv2mae.config import EvalConfig, PairConfig
from mv2mae.data.datamodule import eval_data, pretrain_data
from mv2mae.data.manifest import write_manifest
from mv2mae.data.videos import Videos
from mv2mae.data.views import PairDataset
from mv2mae.errors import InputError


def test_pairs_are_refused_in_one_line(takes: pd.DataFrame) -> None:
    frame = takes.assign(synchronised=takes["group"] != "b")
    config = PairConfig(frame_stride=3)
    with pytest.raises(InputError, match="1 of 3 groups are not synchronised") as caught:
        PairDataset(frame, config, num_frames=8, size=32, seed=0, videos=Videos())
    assert "\n" not in str(caught.value)
    rest = frame[frame["synchronised"]]
    assert PairDataset(rest, config, num_frames=8, size=32, seed=0, videos=Videos()).num_groups == 1


def test_nothing_is_decoded_before_the_refusal(
    takes: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_manifest(takes.assign(synchronised=False), tmp_path / "m.parquet")
    monkeypatch.setattr(Videos, "preload", lambda *_, **__: pytest.fail("videos were decoded"))
    config = PairConfig(manifest=str(file), cache="memory", frame_stride=3)
    with pytest.raises(InputError, match="2 of 3 groups are not synchronised"):
        pretrain_data(config, num_frames=8, size=32, seed=0)


def test_tests_keep_the_groups(takes: pd.DataFrame, tmp_path: Path) -> None:
    file = write_manifest(takes.assign(synchronised=False), tmp_path / "m.csv")
    config = PairConfig(manifest=str(file), frame_stride=3)
    dataset = eval_data(config, num_frames=8, size=32, test=EvalConfig(num_clips=1, num_crops=1))
    assert dataset.frame["group"].tolist() == takes["group"].tolist()
    assert dataset[0]["clips"].shape == (1, 3, 8, 32, 32)
