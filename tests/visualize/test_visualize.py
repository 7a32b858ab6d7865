from pathlib import Path

import av
import matplotlib.image
import numpy as np
import pytest
import torch

from mv2mae.config import ModelConfig
from mv2mae.errors import InputError
from mv2mae.model.classifier import Classifier
from mv2mae.model.motion import effective_number, motion_weights
from mv2mae.model.pretraining import MV2MAE
from mv2mae.visualize.visualize import read_views, shown_temperatures, visualize
from mv2mae.weights import CLASSIFIER, PRETRAINING, save_weights


def write_video(path: Path, *, width: int = 64, height: int = 48, frames: int = 24, speed: int = 2) -> Path:
    """A bright square that crosses a dark frame; 12 frames a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=12)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for i in range(frames):
            pixels = np.full((height, width, 3), 30, dtype=np.uint8)
            pixels[16:32, (speed * i) % (width - 16) :][:, :16] = (250, 200, 60)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture
def videos(tmp_path: Path) -> list[Path]:
    return [write_video(tmp_path / f"cam{i}.mp4", width=64 + 16 * i, speed=1 + i) for i in range(3)]


def save_model(path: Path, config: ModelConfig) -> Path:
    torch.manual_seed(0)
    save_weights(path, MV2MAE(config), PRETRAINING, config)
    return path


def test_two_videos_give_three_pictures(tmp_path: Path, tiny: ModelConfig, videos: list[Path]):
    weights = save_model(tmp_path / "run" / "model.safetensors", tiny)
    paths = visualize(weights.parent, videos[:2], tmp_path / "out", frame_stride=2, seed=1)
    assert [path.name for path in paths] == ["motion.png", "reconstruction.png", "cross_attention.png"]
    for path in paths:
        assert matplotlib.image.imread(path).shape[1] > 500
    again = visualize(weights, videos[:2], tmp_path / "again", frame_stride=2, seed=1)
    assert [path.read_bytes() for path in paths] == [path.read_bytes() for path in again]


def test_each_further_video_is_another_source(tmp_path: Path, tiny: ModelConfig, videos: list[Path]):
    weights = save_model(tmp_path / "model.safetensors", tiny)
    names = {path.name for path in visualize(weights, videos, tmp_path / "out", frame_stride=2)}
    assert {"reconstruction.png", "cross_attention.png", "reconstruction-3.png", "cross_attention-3.png"} < names


def test_a_single_view_model_has_no_cross_view_pictures(tmp_path, tiny: ModelConfig, videos: list[Path], capsys):
    config = ModelConfig(**{**vars(tiny), "cross_view_weight": 0.0})
    weights = save_model(tmp_path / "model.safetensors", config)
    paths = visualize(weights, videos, tmp_path / "out", frame_stride=2)
    assert [path.name for path in paths] == ["motion.png", "reconstruction.png"]
    assert "no cross-view pictures" in " ".join(capsys.readouterr().out.split())


def test_views_are_read_at_the_same_moments(tiny: ModelConfig, videos: list[Path]):
    clips, seconds = read_views(videos[:2], tiny, frame_stride=3)
    assert clips.shape == (2, 3, 4, 32, 32)
    assert clips.dtype == torch.uint8
    assert seconds == pytest.approx(3 / 12)
    same, _ = read_views([videos[0], videos[0]], tiny, frame_stride=3)
    assert torch.equal(same[0], same[1])


def test_shown_temperatures_lie_around_the_models_own(tiny: ModelConfig, videos: list[Path]):
    clip = read_views(videos[:2], tiny, frame_stride=3)[0][0]
    assert shown_temperatures(tiny, clip) == [5.0, 15.0, 60.0, 240.0]
    config = ModelConfig(**{**vars(tiny), "effective_tokens": 0.5})
    own = shown_temperatures(config, clip)[2]
    assert float(effective_number(motion_weights(clip[None], tiny.tubelet_size, own))) == pytest.approx(16, rel=1e-3)


def test_bad_input_is_one_clear_line(tmp_path: Path, tiny: ModelConfig, videos: list[Path]):
    weights, out = save_model(tmp_path / "model.safetensors", tiny), tmp_path / "out"
    with pytest.raises(InputError, match="two or more synchronised videos"):
        visualize(weights, videos[:1], out)
    with pytest.raises(InputError, match=r"gone\.mp4: no such video file"):
        visualize(weights, [videos[0], tmp_path / "gone.mp4"], out)
    with pytest.raises(InputError, match="given twice"):
        visualize(weights, [videos[0], videos[0]], out)
    with pytest.raises(InputError, match="is a file; give a folder"):
        visualize(weights, videos[:2], weights)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video at all")
    with pytest.raises(InputError, match=r"broken\.mp4"):
        visualize(weights, [videos[0], broken], out)
    with pytest.raises(InputError, match="no such run folder"):
        visualize(tmp_path / "nowhere", videos[:2], out)
    assert not out.exists()


def test_a_classifier_has_no_decoders(tmp_path: Path, tiny: ModelConfig, videos: list[Path]):
    save_weights(tmp_path / "c.safetensors", Classifier(tiny, 3), CLASSIFIER, tiny, classes=["a", "b", "c"])
    with pytest.raises(InputError, match="without decoders; give a pre-training run"):
        visualize(tmp_path / "c.safetensors", videos[:2], tmp_path / "out")


def test_real_portrait_videos_of_mixed_codecs_are_drawn(tmp_path: Path, tiny: ModelConfig, footage: Path):
    weights = save_model(tmp_path / "model.safetensors", tiny)
    paths = visualize(weights, [footage / "cam01.mp4", footage / "cam02.mp4"], tmp_path / "out")
    assert all(path.stat().st_size > 10_000 for path in paths)
