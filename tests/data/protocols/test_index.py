"""`mv2mae index`: what it writes and says; and the page on adding a data set, executed."""

from __future__ import annotations

import json
import re
import types
from pathlib import Path

import pytest
from public_names import touch

from mv2mae.cli import main
from mv2mae.config import PairConfig
from mv2mae.data.calibration import cameras_of
from mv2mae.data.datamodule import pretrain_data
from mv2mae.data.indexing import index
from mv2mae.data.labels import class_names
from mv2mae.data.manifest import read_manifest
from mv2mae.data.protocols import PROTOCOLS, select
from mv2mae.errors import InputError

DOCS = Path(__file__).parents[3] / "docs" / "protocols.md"


def report(manifest: Path) -> dict[str, list[object]]:
    return json.loads(manifest.with_name(f"{manifest.stem}.report.json").read_text())


def test_missing_skeletons_are_left_out_only_when_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"S001C00{c}P001R001A00{a}" for c in (1, 2, 3) for a in (1, 2)]
    touch(tmp_path / "ntu", *(f"{name}_rgb.avi" for name in names))
    out = tmp_path / "m.csv"
    index("ntu60", tmp_path / "ntu", out, media_info=False)
    assert len(read_manifest(out)) == 6
    (tmp_path / "missing.txt").write_text(f"The samples without skeletons:\n\n{names[1]}\r\nS099C001P001R001A001\n")
    index("ntu60", tmp_path / "ntu", out, drop=str(tmp_path / "missing.txt"), media_info=False)
    assert len(read_manifest(out)) == 5
    assert report(out)["dropped"] == [str(tmp_path / "ntu" / f"{names[1]}_rgb.avi")]
    assert "1 were left out as asked, listed in m.report.json" in capsys.readouterr().out


def test_a_list_may_name_paths(tmp_path: Path) -> None:
    touch(tmp_path, "a01/v01_s01_e00.avi", "a02/v01_s01_e00.avi")
    (tmp_path / "list.txt").write_text("a02/v01_s01_e00\n")
    index("nucla", tmp_path, tmp_path / "m.csv", drop=str(tmp_path / "list.txt"), media_info=False)
    assert read_manifest(tmp_path / "m.csv")["label"].tolist() == [0]


@pytest.mark.parametrize(
    ("text", "message"),
    [("S001\n", "names one of the 1 videos"), ("S001C001P001R001A001", "names all of the 1"), (None, "no list at")],
)
def test_lists_that_drop_nothing_or_all_are_refused(tmp_path: Path, text: str | None, message: str) -> None:
    touch(tmp_path, "S001C001P001R001A001_rgb.avi")
    if text is not None:
        (tmp_path / "list.txt").write_text(text)
    with pytest.raises(InputError, match=message):
        index("ntu60", tmp_path, tmp_path / "m.csv", drop=str(tmp_path / "list.txt"), media_info=False)
    assert not (tmp_path / "m.csv").exists()


def test_a_list_may_name_paths_below_a_folder_with_dots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "set/g/1.mp4", "set/g/2.mp4", "here/list.txt")
    monkeypatch.chdir(tmp_path / "here")
    Path("table.csv").write_text("path,group,view\ng/1.mp4,g,1\ng/2.mp4,g,2\n")
    Path("list.txt").write_text("g/2\n")
    index("folder", "../set", Path("../set/m.csv"), table="table.csv", drop="list.txt", media_info=False)
    assert read_manifest("../set/m.csv")["path"].tolist() == [str(tmp_path / "set" / "g" / "1.mp4")]
    assert Path("../set/m.csv").read_text().splitlines()[1].startswith("g/1.mp4,")


@pytest.mark.parametrize(
    ("out", "table", "message"),
    [
        ("m.txt", "path,group,view\n1.mp4,g,1\n", "m.txt ends in .txt; give a .csv or a .parquet file"),
        ("m.csv", "path,group,view\n1.mp4,g,1\n2.mp4,g,1\n", "group g, view 1 stands for two videos"),
        ("m.csv", "path,group,view\n1.mp4,g,1\n1.mp4,g,2\n", "1.mp4 is listed twice"),
    ],
)
def test_bad_input_is_refused_before_a_video_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str, table: str, message: str
) -> None:
    touch(tmp_path, "1.mp4", "2.mp4")
    (tmp_path / "table.csv").write_text(table)
    monkeypatch.setattr("mv2mae.data.indexing.with_media_info", lambda frame: pytest.fail("videos were opened"))
    with pytest.raises(InputError, match=message):
        index("folder", tmp_path, tmp_path / out, table=str(tmp_path / "table.csv"))


def test_what_was_set_aside_is_said_and_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    touch(tmp_path, "videos/A01N01-L.avi", "videos/A01N01-R.avi", "other.mp4")
    touch(tmp_path, "label/A01N01-L.txt", "label/A01N01-R.txt")
    (tmp_path / "label" / "A01N01-L.txt").write_text("1,30,90\nnonsense\n2,120,300,2\n")
    out = tmp_path / "m.parquet"
    assert main(["index", "pkummd2", str(tmp_path), "--out", str(out), "--media_info", "false"]) == 0
    said = capsys.readouterr().out
    assert "1 video cut into 2 parts in 2 groups" in said
    assert "1 do not fit the names" in said
    assert "2 were set aside" in said
    assert [reason for _, reason in report(out)["set_aside"]] == [  # type: ignore[misc]
        "expected label,start,end[,confidence], not 'nonsense'",
        "no action: its label file is missing or empty",
    ]
    assert json.loads((tmp_path / "m.classes.json").read_text()) == list(PROTOCOLS["pkummd2"].class_names)


def test_the_mark_of_unsynchronised_sets_is_said_and_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    touch(tmp_path, *(f"a01/v0{v}_s01_e0{e}.avi" for v in (1, 2, 3) for e in (0, 1)))
    out = tmp_path / "m.csv"
    assert main(["index", "nucla", str(tmp_path), "--out", str(out), "--media_info", "false"]) == 0
    assert "not synchronised" in capsys.readouterr().out
    assert not read_manifest(out)["synchronised"].any()
    with pytest.raises(InputError, match="2 of 2 groups are not synchronised"):
        pretrain_data(PairConfig(manifest=str(out), split="nucla/xview"), num_frames=4, size=16, seed=0)


def test_names_of_classes_are_found_beside_the_manifest(tmp_path: Path) -> None:
    manifest = tmp_path / "m.csv"
    assert class_names(str(manifest), [0, 1]) == ["0", "1"]
    (tmp_path / "m.classes.json").write_text('["walk"]')
    assert class_names(str(manifest), [0, 1]) == ["walk", "1"]
    (tmp_path / "m.classes.json").write_text('{"1": "run"}')
    assert class_names(str(manifest), [0, 1]) == ["0", "run"]
    assert class_names(str(manifest), [1, 7]) == ["run", "7"]
    (tmp_path / "m.classes.json").write_text("walk, run")
    with pytest.raises(InputError, match=r"m\.classes\.json must hold the classes' names"):
        class_names(str(manifest), [0, 1])


def test_names_of_an_earlier_index_do_not_stay(tmp_path: Path) -> None:
    touch(tmp_path, "a/walk/g_1.mp4", "b/0/g_1.mp4")
    for folder, names in (("a", ["walk"]), ("b", ["0"])):
        index("folder", tmp_path / folder, tmp_path / "m.csv", pattern="{label}/{group}_{view}.mp4", media_info=False)
        assert class_names(tmp_path / "m.csv", [0]) == names


@pytest.mark.parametrize("scheme", ["memory", "file"])
@pytest.mark.parametrize("name", ["m.classes.json", "classes.json"])
def test_names_of_classes_are_found_beside_a_manifest_behind_a_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str, name: str
) -> None:
    fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed")
    monkeypatch.setenv("MV2MAE_CACHE", str(tmp_path / "cache"))
    url = f"{scheme}://{tmp_path}/set"
    assert class_names(f"{url}/m.parquet", [0]) == ["0"]
    with fsspec.open(f"{url}/{name}", "w", auto_mkdir=True) as file:
        file.write('["walk"]')
    assert class_names(f"{url}/m.parquet", [0, 1]) == ["walk", "1"]


def test_the_page_on_adding_a_data_set_is_true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    module = types.ModuleType("kitchen")
    exec(compile(code, "kitchen.py", "exec"), module.__dict__)
    monkeypatch.setitem(PROTOCOLS, "kitchen", module.PROTOCOL)
    people = (1, 7, 8)
    touch(tmp_path, *(f"set/person{p:02}/{a}_1_cam{c}.mp4" for p in people for a in ("boil", "cut") for c in "AB"))
    touch(tmp_path, "set/person11/boil_1_camA.mp4")
    out = tmp_path / "m.csv"
    assert main(["index", "kitchen", str(tmp_path / "set"), "--out", str(out), "--media_info", "false"]) == 0
    frame = read_manifest(out)
    assert (len(frame), frame["group"].nunique()) == (12, 6)
    assert frame.iloc[0][["group", "view", "label", "subject"]].tolist() == ["p01_boil_1", "A", 0, 1]
    assert report(out)["unmatched"] == ["person11/boil_1_camA.mp4"]
    assert len(select(frame, split="kitchen/xsub", part="test")) == 4
    assert set(select(frame, split="kitchen/xview")["view"]) == {"A"}


def test_the_page_tells_of_every_data_set_and_split() -> None:
    text = DOCS.read_text(encoding="utf-8")
    for name, protocol in PROTOCOLS.items():
        (row,) = [line for line in text.splitlines() if line.startswith(f"| `{name}` |")]
        assert all(f"`{split}`" in row for split in protocol.splits), name


def test_known_cameras_beside_the_videos_are_told_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    takes = tmp_path / "my takes"
    touch(takes, "lunge/1.mp4", "lunge/2.mp4", "rig/1.mp4", "rig/2.mp4")
    camera = {"camera_matrix": [[60, 0, 32], [0, 60, 24], [0, 0, 1]], "rvec": [0, 0, 0], "t": [0, 0, 4]}
    text = json.dumps({"1": camera, "2": {**camera, "t": [1, 0, 4]}})
    (takes / "cameras.json").write_text(text)
    (takes / "calib.yml").write_text("no: cameras")
    index("folder", takes, takes / "m.csv", pattern="{group}/{view}.mp4", media_info=False)
    said = capsys.readouterr().out
    assert f"2 known cameras in {takes}/cameras.json, beside the manifest, where training looks" in said
    assert "calib.yml cannot be used as known cameras: " in said
    assert "rig " not in said
    assert len(cameras_of(str(takes / "m.csv")).rig) == 2

    index("folder", takes, tmp_path / "m.csv", pattern="{group}/{view}.mp4", media_info=False)
    told = re.search(
        r"2 known cameras in .*; for model.cameras=rays add --data.cameras '(.*)'", capsys.readouterr().out
    )
    assert told
    config = PairConfig(manifest=str(tmp_path / "m.csv"), cameras=told[1])
    assert len(cameras_of(config.manifest, config.cameras).rig) == 2
    assert not cameras_of(str(tmp_path / "m.csv")).rig


def test_classes_that_differ_in_case_alone_are_told(tmp_path, capsys):
    touch(tmp_path, "jump/a_1.mp4", "Jump/b_1.mp4", "wave/c_1.mp4")
    index("folder", tmp_path, tmp_path / "m.csv", pattern="{label}/{group}_{view}.mp4", media_info=False)
    assert "the classes Jump and jump are two here, told apart by case alone" in capsys.readouterr().out
