"""Manifests: what goes in comes out, and one clear line for what cannot be right."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_videos import even_times, write_video

from mv2mae.data.manifest import (
    COLUMNS,
    REQUIRED,
    check_synchronised,
    make_frame,
    read_manifest,
    sample_manifest,
    with_media_info,
    write_manifest,
)
from mv2mae.data.protocols import select
from mv2mae.errors import InputError

ROWS = [
    {"path": "g1/1.mp4", "group": "g1", "view": 1, "label": 3, "start": 0.5},
    {"path": "g1/2.mp4", "group": "g1", "view": 2, "label": 3},
    {"path": "/elsewhere/3.mp4", "group": "007", "view": 3, "subject": 12},
]


def rows_below(folder: Path) -> list[dict[str, object]]:
    return [{**row, "path": str(folder / str(row["path"]))} for row in ROWS]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_what_is_written_is_read(tmp_path: Path, ending: str) -> None:
    frame = make_frame(rows_below(tmp_path))
    file = write_manifest(frame, tmp_path / f"m.{ending}")
    again = read_manifest(file)
    pd.testing.assert_frame_equal(again, frame)
    assert tuple(again.columns) == COLUMNS
    assert again["synchronised"].all()
    assert again["group"].tolist() == ["g1", "g1", "007"]
    assert again["label"].isna().tolist() == [False, False, True]
    assert str(again["label"].dtype) == str(again["view"].dtype) == "Int64"
    assert again.query("view in [2, 3] and label == 3", engine="python")["path"].tolist() == [frame["path"][1]]


def test_paths_below_the_manifest_move_with_it(tmp_path: Path) -> None:
    write_manifest(make_frame(rows_below(tmp_path / "old")), tmp_path / "old" / "m.csv")
    os.rename(tmp_path / "old", tmp_path / "new")
    paths = read_manifest(tmp_path / "new" / "m.csv")["path"].tolist()
    assert paths == [str(tmp_path / "new/g1/1.mp4"), str(tmp_path / "new/g1/2.mp4"), "/elsewhere/3.mp4"]


def test_manifests_named_by_way_of_another_folder_move_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    write_manifest(make_frame(rows_below(tmp_path / "old")), "../old/m.csv")
    os.rename(tmp_path / "old", tmp_path / "new")
    paths = read_manifest("../new/m.csv")["path"].tolist()
    assert paths == [str(tmp_path / "new/g1/1.mp4"), str(tmp_path / "new/g1/2.mp4"), "/elsewhere/3.mp4"]


def test_writing_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_manifest(make_frame(rows_below(tmp_path)), tmp_path / "m.csv")
    before = file.read_bytes()

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_manifest(make_frame(rows_below(tmp_path)[:1]), file)
    assert file.read_bytes() == before
    assert os.listdir(tmp_path) == ["m.csv"]


@pytest.mark.parametrize(
    ("views", "expected"),
    [
        ([1, 2, 3], [1, 2, 3]),
        (["cam1", "cam2", 3], ["cam1", "cam2", "3"]),
        (["01", "02", "03"], ["01", "02", "03"]),
        (["--1", "2", "9" * 30], ["--1", "2", "9" * 30]),
    ],
)
def test_views_are_numbers_only_if_all_are(tmp_path: Path, views: list[object], expected: list[object]) -> None:
    rows = [{**row, "view": view} for row, view in zip(rows_below(tmp_path), views, strict=True)]
    file = write_manifest(make_frame(rows), tmp_path / "m.csv")
    assert read_manifest(file)["view"].tolist() == expected


def test_a_hand_written_table_needs_three_columns(tmp_path: Path) -> None:
    file = tmp_path / "m.csv"
    file.write_text("view,path,group\n1,a.mp4,NA\n2,b.mp4,NA\n")
    frame = read_manifest(file)
    assert frame["group"].tolist() == ["NA", "NA"]
    assert frame["fps"].isna().all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,group,view\n", "has no rows"),
        ("", "cannot be read as a table"),
        ("path,group\na.mp4,g\n", "lacks the column view"),
        ("path,group,view,lable\na.mp4,g,1,red\n", "unknown column lable; rename it: did you mean label"),
        ("path,group,view\na.mp4,g,1\na.mp4,g,2\n", "a.mp4 is listed twice"),
        ("path,group,view\na.mp4,g,1\nb.mp4,g,1\n", "view 1 stands for two videos .*a.mp4 and .*b.mp4"),
        ("path,group,view\na.mp4,,1\n", "column group is empty in 1 rows"),
        ("path,group,view,label\na.mp4,g,1,walk\n", "column label must hold whole numbers"),
        ("path,group,view,label\na.mp4,g,1,1.5\n", "column label must hold whole numbers"),
        ("path,group,view,label\na.mp4,g,1,1e30\n", "column label must hold whole numbers"),
        ("path,group,view,label\na.mp4,g,1,inf\n", "column label must hold whole numbers"),
        ("path,group,view,label\na.mp4,g,1,0\nb.mp4,g,2,-1\n", "b.mp4 has the label -1 .*leave the label .* empty"),
        (
            "path,group,view,part\na.mp4,g,1,valid\n",
            "column part must hold one of train, val, test or nothing, not 'valid'",
        ),
        ("path,group,view,synchronised\na.mp4,g,1,2\n", "column synchronised must hold one of true, yes, false, no"),
        ("path,group,view,start,end\na.mp4,g,1,2,4\na.mp4,h,1,2,4\n", "a.mp4, start 2.0, end 4.0 is listed twice"),
        ("path,group,view,view\na.mp4,g,1,2\n", "has two columns view"),
        ("path,group,view,fps\na.mp4,g,1,fast\n", "column fps must hold numbers"),
        ("path,group,view,start,end\na.mp4,g,1,2,1.5\n", "a.mp4 ends at 1.5 s, before it starts"),
        ("path,group,view\na.mp4,g,1,2,3,4\nb,c,d,e,f,g,h,i\n", "m.csv"),
    ],
)
def test_bad_tables_give_one_clear_line(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "m.csv"
    file.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_manifest(file)
    assert "\n" not in str(caught.value)
    assert str(file) in str(caught.value)


def test_missing_files_and_other_endings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no manifest at"):
        read_manifest(tmp_path / "none.csv")
    (tmp_path / "m.txt").write_text("path,group,view\n")
    with pytest.raises(InputError, match=r"a \.csv or a \.parquet"):
        read_manifest(tmp_path / "m.txt")
    (tmp_path / "m.parquet").write_text("not parquet")
    with pytest.raises(InputError, match="cannot be read as a table"):
        read_manifest(tmp_path / "m.parquet")
    with pytest.raises(InputError, match=r"a \.csv or a \.parquet"):
        write_manifest(make_frame(ROWS), tmp_path / "m.json")


def test_columns_that_say_nothing_are_not_written(tmp_path: Path) -> None:
    write_manifest(make_frame(ROWS), tmp_path / "m.csv")
    assert (tmp_path / "m.csv").read_text().splitlines()[0].endswith("width,height")
    marked = make_frame([{**ROWS[0], "part": "train"}, {**ROWS[1], "synchronised": False}])
    again = read_manifest(write_manifest(marked, tmp_path / "m.csv"))
    assert again["part"].fillna("").tolist() == ["train", ""]
    assert again["synchronised"].tolist() == [True, False]


def test_the_mark_survives_queries_and_merging(tmp_path: Path) -> None:
    one = make_frame([{"path": f"/a{v}.mp4", "group": "a", "view": v, "synchronised": "No"} for v in (1, 2)])
    two = make_frame([{"path": f"/b{v}.mp4", "group": "b", "view": v} for v in (1, 2)])
    files = [write_manifest(frame, tmp_path / name) for frame, name in ((one, "1.parquet"), (two, "2.csv"))]
    merged = write_manifest(pd.concat([read_manifest(file) for file in files]), tmp_path / "3.parquet")
    frame = read_manifest(merged)
    with pytest.raises(
        InputError, match=r"1 of 2 groups are not synchronised .*first: a\).*data.train_query=synchronised"
    ):
        check_synchronised(frame)
    check_synchronised(select(frame, query="synchronised"))
    check_synchronised(select(frame, query="view == 1"))  # alone in its group, it makes no pair that could be wrong


def test_parts_of_one_video_may_begin_together(tmp_path: Path) -> None:
    file = tmp_path / "m.csv"
    file.write_text("path,group,view,start,end\na.mp4,g,1,2,4\na.mp4,h,1,2,5\n")
    assert read_manifest(file)["end"].tolist() == [4, 5]


@settings(deadline=None, max_examples=60, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    columns=st.lists(st.sampled_from(COLUMNS), unique=True, max_size=6),
    text=st.text(alphabet='path,group,view\n\n,,,"1;\x00é NA-.e9', max_size=80),
)
def test_any_text_is_a_manifest_or_an_input_error(tmp_path: Path, columns: list[str], text: str) -> None:
    file = tmp_path / "m.csv"
    head = ["path", "group", "view", *(column for column in columns if column not in REQUIRED)]
    file.write_text(",".join(head) + "\n" + text, encoding="utf-8")
    try:
        assert len(read_manifest(file)) >= 1
    except InputError as error:
        assert str(file) in str(error)  # noqa: PT017
        assert "\n" not in str(error)  # noqa: PT017


@settings(deadline=None, max_examples=60, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cells=st.lists(st.tuples(st.sampled_from(COLUMNS[3:]), st.text(max_size=6) | st.floats().map(str)), max_size=4))
def test_any_cell_is_read_or_refused(tmp_path: Path, cells: list[tuple[str, str]]) -> None:
    file = tmp_path / "m.csv"
    row = {"path": "a.mp4", "group": "g", "view": "1", **dict(cells)}
    pd.DataFrame([row]).to_csv(file, index=False)
    try:
        assert len(read_manifest(file)) == 1
    except InputError as error:
        assert str(file) in str(error)  # noqa: PT017


def test_the_sample_lies_in_the_package() -> None:
    assert sample_manifest().parent.name == "sample"
    assert sample_manifest().name == "manifest.csv"


def test_media_info_is_filled_and_broken_videos_are_listed(tmp_path: Path) -> None:
    good = write_video(tmp_path / "1.mp4", even_times(20, 25))
    bad = tmp_path / "2.mp4"
    bad.write_text("no video")
    rows = [{"path": str(p), "group": "g", "view": v} for v, p in enumerate((bad, good, tmp_path / "3.mp4"))]
    frame, problems = with_media_info(make_frame(rows), progress=False)
    assert frame[["view", "fps", "frames", "width", "height"]].to_numpy().tolist() == [[1, 25.0, 20, 64, 48]]
    assert [path for path, _ in problems] == [str(bad), str(tmp_path / "3.mp4")]
    assert problems[1][1] == "no such file"


def test_bytes_of_zero_are_no_text(tmp_path):
    (tmp_path / "m.csv").write_bytes(b"path,group,view\na.mp4,a\0\0,1\n")
    with pytest.raises(InputError, match="cannot be read as a table .*bytes of zero"):
        read_manifest(tmp_path / "m.csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,group,view\na.mp4,g,1,5\n", "data row 1 has 4 values for 3 columns"),
        ("path,group,view,label\na.mp4,g,1,0\nb.mp4,g,2", "last row has 3 of 4 values: the file was cut off"),
        ('path,group,view\n"a.mp4,g,1\n', "cannot be read as a table"),
        ("path,group,view,label\na.mp4,g,1,wave\n", "makes numbers of names"),
        ("path,group,view,rate\na.mp4,g,1,1e-300\n", "has the rate 1e-300; give frames a second"),
        ("path,group,view,frames\na.mp4,g,1,-3\n", "has the frames -3"),
        ("", "it is empty"),
    ],
)
def test_rows_that_are_not_what_they_look_like_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        read_manifest(tmp_path / "m.csv")


@pytest.mark.parametrize(
    "text",
    [
        "path,group,view,start\na.mp4,g,1,0.5\n",
        "path,group,view,start,\na.mp4,g,1,0.5,\n",
        "path,group,view,start\na.mp4,g,1,0.5,,\n",
        " path , group , view , start \n a.mp4 , g , 1 , 0.5 \n\n",
        "path;group;view;start;end\na.mp4;g;1;0,5\n",
        'path,group,view,start,end\n"a.mp4", "g", "1", "0.5", NA\n',
    ],
)
def test_one_table_in_many_hands(tmp_path: Path, text: str) -> None:
    (tmp_path / "m.csv").write_text(text)
    row = read_manifest(tmp_path / "m.csv").iloc[0]
    assert (row["path"], row["group"], row["view"], row["start"]) == (str(tmp_path / "a.mp4"), "g", 1, 0.5)
