from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mv2mae.data.calibration import read_calibration
from mv2mae.data.cameras import line_of_sight
from mv2mae.data.manifest import read_manifest
from mv2mae.data.video import decode_video
from mv2mae.synthetic import SyntheticSet, generate
from mv2mae.visualize.truth import Filmed, filmed_again, true_place

GRID = (2, 8, 8)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A performance as `mv2mae synth` writes it, before two cameras."""
    out = tmp_path_factory.mktemp("synth")
    config = SyntheticSet(
        actions=("wave",), subjects=(3,), cameras="free", azimuths=(0.0, 20.0), num_frames=4, size=64, difficulty="easy"
    )
    generate(out, config, progress=False)
    return out / "manifest.csv"


@pytest.fixture(scope="module")
def filmed(made: Path) -> Filmed:
    found = filmed_again(made, str(read_manifest(made)["group"][0]))
    assert found is not None
    return found


def test_what_is_drawn_again_is_what_the_videos_show(made: Path, filmed: Filmed):
    for row in read_manifest(made).itertuples():
        clip = decode_video(row.path, short_side=64).frames.permute(3, 0, 1, 2)
        view = filmed.at(str(row.view), np.arange(4) / filmed.fps, clip)
        assert view is not None
        assert filmed.at(str(row.view), np.arange(4) / filmed.fps, 255 - clip) is None
        assert filmed.at("17", np.arange(4) / filmed.fps, clip) is None
    assert filmed_again(made, "no such group") is None
    assert filmed_again("sample-of-nobody/manifest.csv", "g") is None


def test_a_token_lies_at_its_own_place_in_its_own_view(filmed: Filmed):
    view = filmed.views["1"]
    for token in (0, 27, 100):
        true = true_place(view, view, token, GRID)
        assert true.places == [token % 64]
        assert true.seen == pytest.approx(1)
        assert true.shares.sum() == pytest.approx(1)


def test_hidden_and_outside_are_told_apart(filmed: Filmed):
    one, other = filmed.views["1"], filmed.views["2"]
    blocked = other._replace(depth=np.full_like(other.depth, 0.1))
    seen = [true_place(one, view, 27, GRID) for view in (other, blocked)]
    assert seen[1].seen == 0
    np.testing.assert_array_equal(seen[0].shares, seen[1].shares)
    away = replace(other.camera, rotation=np.diag([-1.0, 1.0, -1.0]) @ other.camera.rotation)
    assert true_place(one, other._replace(camera=away), 27, GRID).places == []


def test_true_places_lie_on_the_line_of_sight(made: Path, filmed: Filmed):
    rows = read_manifest(made).sort_values("view")
    cameras = read_calibration(made.with_name("cameras.json")).vectors(rows)
    for token in (18, 27, 36, 45):
        row, column = divmod(token, 8)
        line = line_of_sight(cameras[0], cameras[1], ((column + 0.5) / 8, (row + 0.5) / 8))
        for place in true_place(filmed.views["1"], filmed.views["2"], token, GRID).places:
            middle = np.array([place % 8 + 0.5, place // 8 + 0.5]) / 8
            assert np.linalg.norm(line - middle, axis=1).min() < 0.15
    assert len(line_of_sight(cameras[0], cameras[0], (0.3, 0.6))) == 64
    np.testing.assert_allclose(line_of_sight(cameras[0], cameras[0], (0.3, 0.6)), [[0.3, 0.6]] * 64, atol=1e-5)
