import dataclasses
import re
from pathlib import Path

import matplotlib.image
import pytest
import safetensors
import safetensors.torch
import torch
from footage import write_groups, write_video

from mv2mae.cli import main
from mv2mae.config import ModelConfig
from mv2mae.errors import InputError
from mv2mae.model.classifier import Classifier
from mv2mae.model.motion import effective_number, motion_weights
from mv2mae.model.pretraining import MV2MAE
from mv2mae.seals import SEAL, seal
from mv2mae.visualize.figures import motion_figure
from mv2mae.visualize.inputs import read_views
from mv2mae.visualize.pictures import token_number
from mv2mae.visualize.reconstruct import reconstruct
from mv2mae.visualize.visualize import shown_temperatures, visualize
from mv2mae.weights import CLASSIFIER, PRETRAINING, save_weights


@pytest.fixture(autouse=True)
def small_pictures(monkeypatch):
    monkeypatch.setattr("mv2mae.visualize.outputs.DPI", 60)


@pytest.fixture
def videos(tmp_path: Path) -> list[Path]:
    return [write_video(tmp_path / f"cam{i}.mp4", width=64 + 16 * i, speed=1 + i) for i in range(3)]


def save_model(path: Path, config: ModelConfig) -> Path:
    torch.manual_seed(0)
    save_weights(path, MV2MAE(config), PRETRAINING, config)
    return path


def save_single_view(path: Path, config: ModelConfig) -> Path:
    return save_model(path, dataclasses.replace(config, cross_view_weight=0.0))


def save_classifier(path: Path, config: ModelConfig) -> Path:
    torch.manual_seed(0)
    save_weights(path, Classifier(config, 3), CLASSIFIER, config, classes=["a", "b", "c"], frame_stride=2)
    return path


def names_of(paths: list[Path]) -> list[str]:
    return [path.name for path in paths]


ALL = ["motion.png", "reconstruction.png", "reconstruction-visible.png", "cross_attention.png",
       "cross_attention-heads.png", "correspondences.png", "encoder_attention.png", "encoder_attention-heads.png",
       "pca.png"]  # fmt: skip


def test_two_videos_give_all_pictures_of_a_pair(tmp_path: Path, tiny: ModelConfig, videos: list[Path]):
    weights = save_model(tmp_path / "run" / "model.safetensors", tiny)
    paths = visualize(weights.parent, videos[:2], tmp_path / "out", frame_stride=2, seed=1)
    assert names_of(paths) == ALL
    for path in paths:
        assert matplotlib.image.imread(path).shape[1] > 200
    some = {"pictures": ("motion", "attention"), "frame_stride": 2, "seed": 1}
    again = visualize(weights, videos[:2], tmp_path / "again", **some)
    assert names_of(again) == ["motion.png", "cross_attention.png", "cross_attention-heads.png"]
    for path in again:
        assert path.read_bytes() == (tmp_path / "out" / path.name).read_bytes()


def test_each_further_video_is_another_source(tmp_path: Path, tiny: ModelConfig, videos: list[Path]):
    weights = save_model(tmp_path / "model.safetensors", tiny)
    asked = ("reconstruction", "correspondences")
    names = set(names_of(visualize(weights, videos, tmp_path / "out", frame_stride=2, pictures=asked)))
    pair = {name for name in ALL if name.startswith(asked)}
    assert names == pair | {name.replace(".png", "-3.png") for name in pair}


def test_one_video_gives_the_pictures_of_one_view(tmp_path: Path, tiny: ModelConfig, videos: list[Path], capsys):
    weights = save_model(tmp_path / "model.safetensors", tiny)
    paths = visualize(weights, videos[:1], tmp_path / "out", frame_stride=2)
    assert names_of(paths) == [name for name in ALL if not name.startswith(("cross", "corr"))]
    assert "one video alone has no cross-view pictures; add the video of another camera" in capsys.readouterr().out
    with pytest.raises(InputError, match="attention: one video alone has no cross-view pictures"):
        visualize(weights, videos[:1], tmp_path / "out", pictures=("attention",))


def test_a_video_shorter_than_a_clip_is_said(tmp_path: Path, tiny: ModelConfig, capsys):
    weights = save_model(tmp_path / "model.safetensors", tiny)
    short = write_video(tmp_path / "short.mp4", frames=4)
    visualize(weights, [short], tmp_path / "out", frame_stride=2, pictures=("motion",))
    assert "shorter than a clip of 4 frames 0.167 s apart; shown: 0.0833 s apart" in capsys.readouterr().out


def test_a_single_view_model_has_no_cross_view_pictures(tmp_path, tiny: ModelConfig, videos: list[Path], capsys):
    weights = save_single_view(tmp_path / "model.safetensors", tiny)
    paths = visualize(weights, videos, tmp_path / "out", frame_stride=2, pictures=("motion", "reconstruction"))
    assert names_of(paths) == ALL[:3]
    assert capsys.readouterr().out == ""
    with pytest.raises(InputError, match="correspondences: .* was pre-trained on single views"):
        visualize(weights, videos, tmp_path / "out", pictures=("correspondences",))


def test_a_fine_tuned_run_shows_its_encoder(tmp_path: Path, tiny: ModelConfig, videos: list[Path], capsys):
    weights = save_classifier(tmp_path / "c.safetensors", tiny)
    paths = visualize(weights, videos[:2], tmp_path / "out")
    assert names_of(paths) == ["motion.png", "encoder_attention.png", "encoder_attention-heads.png", "pca.png"]
    assert "holds a model without decoders (classifier)" in " ".join(capsys.readouterr().out.split())
    message = r"reconstruction: .*without decoders \(classifier\); what can be drawn: motion, encoder, pca"
    with pytest.raises(InputError, match=message):
        visualize(weights, videos[:2], tmp_path / "out", pictures=("reconstruction",))


def test_weights_that_lack_a_part_are_refused(tmp_path: Path, tiny: ModelConfig, videos: list[Path]):
    weights = save_model(tmp_path / "model.safetensors", tiny)
    with safetensors.safe_open(weights, framework="pt") as file:
        header, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    kept = {name: tensor for name, tensor in tensors.items() if not name.startswith("cross_decoder.blocks.1")}
    unsealed = {key: re.sub(r"mv2mae-sha256:[0-9a-f]{64}", SEAL, text) for key, text in header.items()}
    safetensors.torch.save_file(kept, weights, metadata=unsealed)
    seal(weights)
    with pytest.raises(InputError, match=r"no tensor cross_decoder\.blocks\.1\.\S+, which this model needs"):
        visualize(weights, videos[:2], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_group_of_a_manifest_and_its_wrong_source(tmp_path: Path, tiny: ModelConfig):
    manifest, _ = write_groups(tmp_path)
    weights = save_model(tmp_path / "model.safetensors", tiny)
    paths = visualize(
        weights, [], tmp_path / "out", manifest=str(manifest), group="b", pictures=("reconstruction",), format="svg",
    )  # fmt: skip
    words = paths[0].read_text(encoding="utf-8")
    assert "another performance" in words
    assert "view 2" in words
    alone = visualize(
        weights,
        [],
        tmp_path / "d",
        manifest=str(manifest),
        query="group == 'd'",
        pictures=("reconstruction",),
        format="svg",
    )
    assert "wrong source" not in alone[0].read_text(encoding="utf-8")


def test_moving_pictures(tmp_path: Path, tiny: ModelConfig, videos: list[Path]):
    weights = save_model(tmp_path / "model.safetensors", tiny)
    asked = ("correspondences", "pca")
    paths = visualize(weights, videos[:2], tmp_path / "out", frame_stride=2, pictures=asked, format="gif")
    assert names_of(paths) == ["correspondences.gif", "pca.gif"]


def test_tokens_are_counted_from_one():
    assert [token_number(token, (2, 4, 4)) for token in ((1, 1, 1), (1, 2, 1), (2, 4, 4))] == [0, 4, 31]


def test_token_layer_and_heads_are_chosen(tmp_path: Path, tiny: ModelConfig, videos: list[Path]):
    weights = save_model(tmp_path / "model.safetensors", tiny)
    settings = {"frame_stride": 2, "format": "svg", "pictures": ("attention", "encoder", "correspondences")}
    chosen = {"token": (1, 2, 3), "layer": 1, "encoder_layer": "mean", "heads": "all"}
    paths = visualize(weights, videos[:2], tmp_path / "out", **settings, **chosen)
    words = {path.stem: path.read_text(encoding="utf-8") for path in paths}
    assert {"layer 1", "head 1", "head 2"} <= set(re.findall(r">([^<>]+)</text>", words["cross_attention"]))
    assert "mean of layers" in words["encoder_attention"]
    assert "moment 1, row 2, column 3" in words["encoder_attention-heads"]
    assert "layer 1" in words["correspondences"]


def test_shown_temperatures_lie_around_the_models_own(tiny: ModelConfig, videos: list[Path]):
    clip = read_views(videos[:2], tiny, frame_stride=3)[0][0]
    assert shown_temperatures(tiny, clip) == [5.0, 15.0, 60.0, 240.0]
    config = ModelConfig(**{**vars(tiny), "effective_tokens": 0.5})
    own = shown_temperatures(config, clip)[2]
    assert float(effective_number(motion_weights(clip[None], tiny.tubelet_size, own))) == pytest.approx(16, rel=1e-3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"token": (3, 1, 1)}, r"token=3,1,1 lies outside of the clip's 2 moments x 4 rows x 4 columns .*up to 2,4,4"),
        ({"token": (0, 1, 1)}, "token=.*: give time, row and column, counted from 1"),
        ({"token": (0, 0)}, "token=.*: give time, row and column"),
        ({"layer": 3}, "layer=3: the cross-view decoder has 2 blocks; choose 1 to 2, mean or all"),
        ({"layer": "last"}, "layer=last is unknown; give a number, mean or all"),
        ({"encoder_layer": -3}, "encoder_layer=-3: the encoder has 2 blocks"),
        ({"heads": 0}, "heads=0: the encoder has 2 heads; choose 1 to 2"),
        ({"pictures": ("movement",)}, "pictures=movement is unknown; choose from motion, "),
        ({"pictures": ("embedding",)}, "a map is of features, not of one performance"),
        ({"format": "jpg"}, "format=jpg is unknown; choose one of png, svg, mp4, gif"),
        ({"frame_stride": 0}, "frame_stride=0 must be positive"),
        ({"offset": 1.5}, "offset=1.5 must lie between 0"),
        ({"group": "a"}, "picks from a manifest"),
        ({"manifest": "sample"}, "either videos or a manifest"),
    ],
)
def test_a_choice_that_does_not_exist_is_one_clear_line(
    tmp_path: Path, tiny: ModelConfig, videos: list[Path], settings: dict, message: str
):
    weights = save_model(tmp_path / "model.safetensors", tiny)
    with pytest.raises(InputError, match=message):
        visualize(weights, videos[:2], tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()


def test_bad_input_is_one_clear_line(tmp_path: Path, tiny: ModelConfig, videos: list[Path]):
    weights, out = save_model(tmp_path / "model.safetensors", tiny), tmp_path / "out"
    with pytest.raises(InputError, match="0 videos: give one or more synchronised videos"):
        visualize(weights, [], out)
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


def test_clips_of_another_size_are_refused(tiny: ModelConfig):
    torch.manual_seed(0)
    model = MV2MAE(tiny).eval()
    clip = torch.zeros(3, 4, 40, 40, dtype=torch.uint8)
    with pytest.raises(
        InputError, match=r"a source clip has .* = \[3, 4, 40, 40\], but the model takes \[3, 4, 32, 32\]"
    ):
        reconstruct(model, clip, clip, seed=0)
    with pytest.raises(InputError, match="does not divide into tubelets"):
        motion_figure(clip[..., :39], tiny.tubelet_size, [60.0])


def test_real_portrait_videos_of_mixed_codecs_are_drawn(tmp_path: Path, tiny: ModelConfig, footage: Path):
    weights = save_model(tmp_path / "model.safetensors", tiny)
    asked = ("motion", "reconstruction", "pca")
    paths = visualize(weights, [footage / "cam01.mp4", footage / "cam02.mp4"], tmp_path / "out", pictures=asked)
    assert all(path.stat().st_size > 10_000 for path in paths)


def test_the_command_line_chooses_pictures_and_draws_a_map(tmp_path: Path, tiny: ModelConfig, capsys, monkeypatch):
    monkeypatch.setenv("MV2MAE_CACHE", str(tmp_path / "cache"))
    manifest, _ = write_groups(tmp_path)
    weights, out = save_classifier(tmp_path / "c.safetensors", tiny), tmp_path / "out"
    words = ["visualize", str(weights), "--data", str(manifest), "--out", str(out)]
    assert main([*words, "--pictures", "motion,embedding", "--token", "1,2,3", "--format", "svg"]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["embedding.svg", "motion.svg"]
    assert "7 clips of 4 performances" in (out / "embedding.svg").read_text(encoding="utf-8")
    assert capsys.readouterr().out.count("wrote") == 2
    for bad, message in [
        (["--token", "1,2"], "token=1,2: give time, row and column"),
        (["--layer", "last"], "layer=last is unknown"),
        (["--pictures", "umap"], "pictures=umap is unknown"),
        (["--pictures", "embedding", "--method", "mds"], "--method mds: expected pca, tsne or umap"),
    ]:
        assert main([*words, *bad]) == 1
        assert message in capsys.readouterr().err
    assert main(["visualize", str(weights), "a.mp4", "--pictures", "embedding"]) == 1
    assert "a map wants many clips; give a manifest" in capsys.readouterr().err
