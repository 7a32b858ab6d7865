"""The packaged sample set."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest

from mv2mae.synthetic import SyntheticSet
from mv2mae.synthetic.generate import make_group
from mv2mae.synthetic.sample import sample_config

SAMPLE = Path(str(resources.files("mv2mae.data"))) / "sample"


def test_the_sample_set_is_complete_and_small() -> None:
    config, recorded = sample_config(), json.loads((SAMPLE / "synth.json").read_text())
    assert recorded["config"].pop("motions_digest") == ""
    assert SyntheticSet(**recorded["config"]) == config
    table = pd.read_csv(SAMPLE / "manifest.csv")
    expected = {f"videos/{g.file_name(v)}" for g in config.groups() for v in config.views}
    assert set(table.path) == expected
    assert {f"videos/{p.name}" for p in (SAMPLE / "videos").iterdir()} == expected
    assert len(expected) == 600
    assert sum(p.stat().st_size for p in (SAMPLE / "videos").iterdir()) < 5_000_000
    assert (table.groupby("label").size() == 60).all()
    assert set(table.subject) == set(range(1, 11))


@pytest.mark.parametrize("number", [0, 137])
def test_the_sample_set_is_what_the_generator_makes(number: int, tmp_path: Path) -> None:
    config = sample_config()
    group = config.groups()[number]
    make_group((tmp_path, config, group))
    for view in config.views:
        mine, shipped = (folder / "videos" / group.file_name(view) for folder in (tmp_path, SAMPLE))
        # another processor or library rounds otherwise here and there; another scene differs by tens of grey levels
        assert np.abs(decode(mine) - decode(shipped)).mean() < 1.0


def decode(path: Path) -> np.ndarray:
    with av.open(str(path)) as video:
        return np.stack([frame.to_ndarray(format="rgb24").astype(float) for frame in video.decode(video=0)])
