"""LeRobotDatasets of both versions: which frames of which file belong to which episode, camera and task."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from lerobot_sets import CAMERAS, FPS, LENGTHS, TASKS, make_v21, make_v30, shown_at
from tiny_runs import FINETUNING, PRETRAINING
from tiny_videos import time_of

from mv2mae.cli import main
from mv2mae.config import ClipConfig, EvalConfig, PairConfig, StoreConfig
from mv2mae.data.clips import EvalDataset
from mv2mae.data.datamodule import pretrain_data
from mv2mae.data.indexing import index
from mv2mae.data.labels import read_class_names
from mv2mae.data.manifest import read_manifest
from mv2mae.data.protocols import select
from mv2mae.data.store.prepare import prepare
from mv2mae.data.video import decode_video, read_frames
from mv2mae.data.videos import Videos
from mv2mae.data.windows import ClipSpec
from mv2mae.errors import InputError
from mv2mae.evaluate.predict import load_classifier
from mv2mae.train.finetune import finetune
from mv2mae.train.pretrain import pretrain

FRONT, WRIST = CAMERAS


@pytest.fixture(scope="module")
def sets(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("robots")
    return {"v3.0": make_v30(folder / "v3" / "cubes"), "v2.1": make_v21(folder / "v2" / "cubes")}


def indexed(root: Path, out: Path) -> pd.DataFrame:
    index("lerobot", root, out)
    return read_manifest(out)


def shown(row: pd.Series) -> np.ndarray:
    """What the frames of a row show, one of every frame that it has."""
    count = round((row["end"] - row["start"]) * FPS)
    return time_of(read_frames(row["path"], row["start"] + np.arange(count) / FPS))


@pytest.mark.parametrize("version", ["v3.0", "v2.1"])
def test_every_row_shows_its_own_episode(version, sets, tmp_path):
    frame = indexed(sets[version], tmp_path / "m.parquet")
    parts = {f"cubes/ep{i:06d}": (i, 0, LENGTHS[i]) for i in range(4)}
    parts |= {"cubes/ep000004/0": (4, 0, 3), "cubes/ep000004/1": (4, 3, LENGTHS[4])}
    assert set(frame["group"]) == set(parts)
    assert frame.groupby("group")["view"].apply(list).map(sorted).tolist() == [sorted(CAMERAS)] * len(parts)
    for _, row in frame.iterrows():
        episode, first, stop = parts[row["group"]]
        wanted = [shown_at(episode, number) for number in range(first, stop)]
        np.testing.assert_allclose(shown(row), wanted, atol=0.012)
    assert frame["fps"].unique() == FPS


def test_cameras_have_files_and_offsets_of_their_own(sets, tmp_path):
    frame = indexed(sets["v3.0"], tmp_path / "m.csv").set_index(["group", "view"])
    third = {view: frame.loc[("cubes/ep000002", view)] for view in CAMERAS}
    assert Path(third[FRONT]["path"]).name == "file-000.mp4"
    assert Path(third[WRIST]["path"]).name == "file-001.mp4"
    assert third[FRONT]["start"] == pytest.approx((LENGTHS[0] + LENGTHS[1]) / FPS, abs=0.02)
    assert third[WRIST]["start"] == 0
    assert third[FRONT]["end"] - third[FRONT]["start"] == pytest.approx(LENGTHS[2] / FPS)


@pytest.mark.parametrize("version", ["v3.0", "v2.1"])
def test_labels_are_tasks(version, sets, tmp_path):
    frame = indexed(sets[version], tmp_path / "m.parquet")
    by_group = frame.groupby("group")["label"].first().to_dict()
    assert by_group == {
        "cubes/ep000000": 0,
        "cubes/ep000001": 1,
        "cubes/ep000002": 0,
        "cubes/ep000003": 1,
        "cubes/ep000004/0": 0,
        "cubes/ep000004/1": 1,
    }
    assert read_class_names(tmp_path / "m.parquet") == dict(enumerate(TASKS))
    assert len(select(frame, split="lerobot/episodes", part="test")) == 4
    assert len(select(frame, split="lerobot/episodes")) == 8


@pytest.mark.parametrize("version", ["v3.0", "v2.1"])
def test_prepared_and_paired_they_show_the_same_moments(version, sets, tmp_path):
    frame = indexed(sets[version], tmp_path / "m.parquet")
    prepare(tmp_path / "m.parquet", tmp_path / "prepared", StoreConfig(short_side=32), processes=1)
    stored = read_manifest(tmp_path / "prepared" / "manifest.parquet")
    for (_, before), (_, after) in zip(frame.iterrows(), stored.iterrows(), strict=True):
        assert before["group"] == after["group"]
        np.testing.assert_allclose(shown(after), shown(before), atol=0.024)  # encoded twice; frames: 0.05
    for manifest in (tmp_path / "m.parquet", tmp_path / "prepared" / "manifest.parquet"):
        config = PairConfig(manifest=str(manifest), frame_stride=1, cache="none", crop="centre")
        data = pretrain_data(config, num_frames=2, size=32, seed=0, problems_file=tmp_path / "p.jsonl")
        for i in range(len(data.train)):
            item = data.train[i]
            np.testing.assert_allclose(time_of(item["target"]), time_of(item["sources"][0]), atol=0.024)


def test_a_test_of_an_episode_takes_no_frame_of_its_neighbours(sets, tmp_path):
    frame = indexed(sets["v3.0"], tmp_path / "m.parquet")
    row = frame[(frame["group"] == "cubes/ep000001") & (frame["view"] == FRONT)]
    config = PairConfig(manifest=str(tmp_path / "m.parquet"), frame_stride=2)
    clips = EvalDataset(row, ClipSpec.of(config, 4, 32), test=EvalConfig(num_clips=2, num_crops=1), videos=Videos())
    times = time_of(clips[0]["clips"][0])
    assert times.min() > shown_at(1, 0) - 0.012
    assert times.max() < shown_at(1, LENGTHS[1] - 1) + 0.012


def test_the_files_are_av1_and_hold_several_episodes(sets):
    file = sets["v3.0"] / "videos" / FRONT / "chunk-000" / "file-000.mp4"
    import av

    with av.open(str(file)) as container:
        assert container.streams.video[0].codec_context.codec.canonical_name == "av1"
    assert len(decode_video(file).times) == sum(LENGTHS[:3])


def copied(root: Path, out: Path) -> Path:
    """The tables, and links to the videos."""
    for file in root.rglob("*"):
        to = out / file.relative_to(root)
        if file.is_file():
            to.parent.mkdir(parents=True, exist_ok=True)
            to.symlink_to(file) if file.suffix == ".mp4" else to.write_bytes(file.read_bytes())
    return out


def change_info(root: Path, **values: object) -> None:
    file = root / "meta" / "info.json"
    info = {**json.loads(file.read_text()), **values}
    file.write_text(json.dumps({key: value for key, value in info.items() if value is not None}))


def test_what_is_missing_is_set_aside_and_the_rest_is_used(sets, tmp_path):
    root = copied(sets["v3.0"], tmp_path / "cubes")
    (root / "videos" / WRIST / "chunk-000" / "file-001.mp4").unlink()
    table = root / "meta/episodes/chunk-000/file-000.parquet"
    rows = pd.read_parquet(table)
    rows.loc[0, "length"] = 0
    rows.at[1, "tasks"] = ["Dance"]
    rows.to_parquet(table, index=False)
    (root / "videos" / "extra.mp4").write_bytes(b"")
    frame = indexed(root, tmp_path / "m.csv")
    report = json.loads((tmp_path / "m.report.json").read_text())
    assert report["set_aside"] == [
        ["cubes/ep000000", "has a length of 0 frames"],
        ["cubes/ep000001", "the task 'Dance' is not among those of meta/tasks"],
        ["cubes/ep000002", f"{WRIST}: no file videos/{WRIST}/chunk-000/file-001.mp4"],
        ["cubes/ep000003", f"{WRIST}: no file videos/{WRIST}/chunk-000/file-001.mp4"],
    ]
    assert "videos/extra.mp4" in report["unmatched"]
    assert set(frame["group"]) == {f"cubes/ep{i}" for i in ("000002", "000003", "000004/0", "000004/1")}


def test_official_parts(sets, tmp_path):
    root = copied(sets["v2.1"], tmp_path / "cubes")
    change_info(root, splits={"train": "0:3", "validation": "3:4", "test": "4:5"}, codebase_version="v2.0")
    frame = indexed(root, tmp_path / "m.csv")
    assert frame.groupby("group")["part"].first().tolist() == ["train"] * 3 + ["val", "test", "test"]
    assert len(select(frame, split="lerobot/official", part="test")) == 4


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"codebase_version": "v1.6"}, "codebase_version is v1.6; v3.0 and v2.1 can be read"),
        ({"codebase_version": None}, "no 'codebase_version'"),
        ({"fps": 0}, "fps is 0"),
        ({"features": {"observation.image": {"dtype": "image"}}}, "observation.image lies as pictures in its tables"),
        ({"features": {"action": {}}}, "no 'dtype'"),
        ({"video_path": "{elsewhere}.mp4"}, "cannot be filled in"),
        ({"video_path": "../../{video_key}.mp4"}, "leads out of the folder"),
    ],
)
def test_descriptions_that_do_not_fit(values, problem, sets, tmp_path):
    root = copied(sets["v3.0"], tmp_path / "cubes")
    change_info(root, **values)
    with pytest.raises(InputError, match=problem) as error:
        index("lerobot", root, tmp_path / "m.csv")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "m.csv").exists()


@pytest.mark.parametrize(
    ("version", "file", "content", "problem"),
    [
        ("v3.0", "meta/info.json", None, "no .*info.json; give the folder of a LeRobotDataset"),
        ("v3.0", "meta/info.json", b"{", "info.json cannot be read"),
        ("v3.0", "meta/info.json", 99_999 * b"[", "info.json cannot be read"),
        ("v3.0", "meta/tasks.parquet", None, "no .*tasks.parquet: this part of the data set is missing"),
        ("v3.0", "meta/tasks.parquet", b"PAR1", "tasks.parquet cannot be read as a table"),
        ("v3.0", "meta/episodes/chunk-000/file-001.parquet", b"x" * 99, "file-001.parquet cannot be read as a table"),
        ("v2.1", "meta/tasks.jsonl", None, "no .*tasks.jsonl"),
        (
            "v2.1",
            "meta/episodes.jsonl",
            b'{"episode_index": 0, "tasks": []}\n',
            "episodes.jsonl, line 1, has no length",
        ),
        ("v2.1", "meta/episodes.jsonl", b'{"episode_index": 0,\n', "episodes.jsonl, line 1, cannot be read"),
        ("v2.1", "meta/episodes.jsonl", b"", "meta lists no episodes"),
    ],
)
def test_tables_that_are_missing_or_damaged(version, file, content, problem, sets, tmp_path):
    root = copied(sets[version], tmp_path / "cubes")
    (root / file).unlink()
    if content is not None:
        (root / file).write_bytes(content)
    with pytest.raises(InputError, match=problem) as error:
        index("lerobot", root, tmp_path / "m.csv")
    assert "\n" not in str(error.value)


def test_renamed_columns_are_named(sets, tmp_path):
    root = copied(sets["v3.0"], tmp_path / "cubes")
    table = root / "meta/episodes/chunk-000/file-000.parquet"
    pd.read_parquet(table).rename(columns={f"videos/{WRIST}/from_timestamp": "from"}).to_parquet(table, index=False)
    with pytest.raises(InputError, match=rf"lacks the column videos/{WRIST}/from_timestamp; is it of another version"):
        index("lerobot", root, tmp_path / "m.csv")
    change_info(root, codebase_version="v2.1")
    assert main(["index", "lerobot", str(root), "--out", str(tmp_path / "m.csv")]) == 1


def test_from_robot_data_to_predicted_tasks(sets, tmp_path):
    indexed(sets["v3.0"], tmp_path / "m.parquet")
    prepare(tmp_path / "m.parquet", tmp_path / "prepared", StoreConfig(short_side=32), processes=1)
    manifest = str(tmp_path / "prepared" / "manifest.parquet")
    videos: dict[str, Any] = {"manifest": manifest, "split": "lerobot/episodes", "frame_stride": 1, "cache": "memory"}
    start = pretrain(dataclasses.replace(PRETRAINING, data=PairConfig(**videos)), tmp_path / "pretrain")
    run = finetune(dataclasses.replace(FINETUNING, data=ClipConfig(**videos), init=str(start)), tmp_path / "finetune")
    rows = select(read_manifest(manifest), split="lerobot/episodes", part="test")
    found, broken = load_classifier(run).predict_each(rows, EvalConfig(num_clips=1, num_crops=1), progress=False)
    assert not broken
    assert [(p.name, p.classes, len(p.files)) for p in found] == [
        ("cubes/ep000004/0", list(TASKS), 2),
        ("cubes/ep000004/1", list(TASKS), 2),
    ]


def test_a_name_on_the_hub_is_fetched_beside_the_manifest(sets, tmp_path, monkeypatch):
    asked = {}

    def snapshot_download(repository, **options):
        asked.update(options, repository=repository)
        copied(sets["v3.0"], options["local_dir"])

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    assert main(["index", "lerobot", "hf:someone/cubes@v3.0", "--out", str(tmp_path / "m.csv")]) == 0
    assert (asked["repository"], asked["revision"], asked["repo_type"]) == ("someone/cubes", "v3.0", "dataset")
    assert read_manifest(tmp_path / "m.csv")["path"].iloc[0].startswith(str(tmp_path / "cubes" / "videos"))
    assert len(read_manifest(tmp_path / "m.csv")) == 12


def test_without_a_network_one_line_says_so(tmp_path, monkeypatch, capsys):
    def snapshot_download(repository, **options):
        raise ConnectionError("Name or service not known\nand a traceback")

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    assert main(["index", "lerobot", "hf:someone/cubes", "--out", str(tmp_path / "m.csv")]) == 1
    assert capsys.readouterr().err == "mv2mae index: error: hf:someone/cubes: Name or service not known\n"
