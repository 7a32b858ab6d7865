"""Your own videos: patterns of paths, and tables."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from public_names import touch

from mv2mae.data.manifest import read_manifest, write_manifest
from mv2mae.data.protocols import PROTOCOLS, Listing, build_index, select
from mv2mae.errors import InputError


def test_groups_and_views_come_from_paths(tmp_path: Path) -> None:
    touch(tmp_path, "take1/cam1.mp4", "take1/cam2.mp4", "take2/cam1.mp4", "extra/deep/cam1.mp4", "notes.txt", "x.mp4")
    found = build_index("folder", tmp_path, "{group}/{view}.mp4")
    assert found.frame[["group", "view"]].to_numpy().tolist() == [
        ["take1", "cam1"],
        ["take1", "cam2"],
        ["take2", "cam1"],
    ]
    assert found.unmatched == ("extra/deep/cam1.mp4", "x.mp4")
    assert found.class_names == ()
    assert build_index("folder", tmp_path).frame.equals(found.frame)


def test_words_become_labels(tmp_path: Path) -> None:
    touch(tmp_path, "walk/p1_t1_1.avi", "walk/p1_t1_2.avi", "run/p2_t1_1.avi")
    found = build_index("folder", tmp_path, "{label}/{subject}_{group}_{view}.avi")
    assert found.class_names == ("run", "walk")
    assert found.frame[["label", "subject", "view"]].to_numpy().tolist() == [[0, "p2", 1], [1, "p1", 1], [1, "p1", 2]]
    numbered = build_index("folder", tmp_path, "{label}/p{subject}_{group}_{view}.avi").frame
    assert numbered["subject"].tolist() == [2, 1, 1]


def test_people_and_rooms_keep_their_names(tmp_path: Path) -> None:
    people = ["P01", "P02", "P09", "P10", "s1", "s2", "s10"]
    touch(tmp_path, *(f"{person}_a/{view}.mp4" for person in people for view in "lr"))
    frame = build_index("folder", tmp_path, "{subject}_{group}/{view}.mp4").frame
    assert sorted(set(frame["subject"])) == sorted(people)
    with pytest.raises(InputError, match="subject holds names: P01, P02, P09, ..., s2; columns"):
        select(frame, query="subject <= 8")
    assert set(select(frame, query="subject in ['P01', 's10']")["subject"]) == {"P01", "s10"}
    numbers = tmp_path / "numbers"
    touch(numbers, "001_a/l.mp4", "012_a/l.mp4")
    frame = build_index("folder", numbers, "{setup}_{group}/{view}.mp4").frame
    assert frame["setup"].tolist() == [1, 12]
    touch(numbers, "1_a/r.mp4")  # two ways of writing one number are two names
    assert sorted(build_index("folder", numbers, "{setup}_{group}/{view}.mp4").frame["setup"]) == ["001", "012", "1"]


def test_codes_of_labels_are_names(tmp_path: Path) -> None:
    touch(tmp_path, "1.1/a_1.mp4", "1.10/b_1.mp4", "2/c_1.mp4")
    found = build_index("folder", tmp_path, "{label}/{group}_{view}.mp4")
    assert found.class_names == ("1.1", "1.10", "2")
    assert found.frame["label"].tolist() == [0, 1, 2]


def test_takes_of_one_name_are_kept_apart(tmp_path: Path) -> None:
    touch(tmp_path, "walk/t1_1.avi", "walk/t1_2.avi", "run/t1_1.avi", "run/t1_2.avi")
    groups = build_index("folder", tmp_path, "{label}/{group}_{view}.avi").frame["group"].tolist()
    assert groups == ["run/t1", "run/t1", "walk/t1", "walk/t1"]


def test_patterns_may_repeat_and_skip(tmp_path: Path) -> None:
    touch(tmp_path, "a/a_cam2_x7.mp4", "a/b_cam2_x7.mp4")
    found = build_index("folder", tmp_path, "{group}/{group}_cam{view}_*.mp4")
    assert found.frame[["group", "view"]].to_numpy().tolist() == [["a", 2]]
    assert found.unmatched == ("a/b_cam2_x7.mp4",)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("{group}/{camera}.mp4", "{camera} is unknown; use {group}, {view}, {label}"),
        ("{group}/{view}}.mp4", "has an unpaired brace"),
        ("{group}.mp4", "must hold {group} and {view}"),
        ("{group}-{view}.mp4", "fits the pattern '{group}-{view}.mp4'; found for instance a/1.mp4"),
    ],
)
def test_what_is_wrong_with_a_pattern_is_said(tmp_path: Path, pattern: str, message: str) -> None:
    touch(tmp_path, "a/1.mp4")
    with pytest.raises(InputError) as caught:
        build_index("folder", tmp_path, pattern)
    assert message in str(caught.value)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    pattern=st.text(alphabet="{}group/view*.(+a\\", max_size=16) | st.just("{label}/{group}_{view}*"),
    names=st.lists(st.text(alphabet="ab1-/_.٣\n", min_size=1, max_size=8), max_size=4, unique=True),
)
def test_any_pattern_and_names_are_indexed_or_refused(pattern: str, names: list[str]) -> None:
    try:
        found = PROTOCOLS["folder"].index(Listing(root=Path("/data"), files=names, pattern=pattern))
    except InputError as error:
        assert str(error)  # noqa: PT017
    else:
        assert len(found.frame) + len(found.unmatched) == len(names)


def table(root: Path, text: str) -> str:
    (root / "table.csv").write_text(text)
    return str(root / "table.csv")


def test_a_table_says_it_of_each_video(tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    touch(videos, "a/1.mp4", "a/2.mp4", "b.mp4", "c.mp4")
    rows = "path,group,view,label,start,synchronised\na/1.mp4,g,1,walk,2.5,\n./b.mp4,g,2,run,,no\ngone.mp4,g,3,walk,,\n"
    found = build_index("folder", videos, table=table(tmp_path, rows))
    assert found.frame["path"].tolist() == [str(videos / "a/1.mp4"), str(videos / "b.mp4")]
    assert found.frame["label"].tolist() == [1, 0]
    assert found.frame["start"].fillna(0).tolist() == [2.5, 0]
    assert found.frame["synchronised"].tolist() == [True, False]
    assert found.class_names == ("run", "walk")
    assert found.unmatched == ("a/2.mp4", "c.mp4")
    ((path, reason),) = found.problems
    assert path == str(videos / "gone.mp4")
    assert reason.endswith("but there is no such file")


def test_a_table_may_be_parquet_with_numbers(tmp_path: Path) -> None:
    touch(tmp_path, "1.mp4", "2.mp4")
    rows = {"path": ["1.mp4", str(tmp_path / "2.mp4")], "group": [7, 7], "view": [1, 2], "label": [3.0, None]}
    pd.DataFrame(rows).to_parquet(tmp_path / "table.parquet")
    found = build_index("folder", tmp_path, table=str(tmp_path / "table.parquet"))
    assert found.frame["path"].tolist() == [str(tmp_path / "1.mp4"), str(tmp_path / "2.mp4")]
    assert found.frame["group"].tolist() == ["7", "7"]
    assert found.frame["label"].fillna(-1).tolist() == [3, -1]
    assert found.class_names == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,group,view,lable\n1.mp4,g,1,x\n", "unknown column lable; rename it: did you mean label"),
        ("path,group,view,Group\n1.mp4,g,1,x\n", "has two columns group"),
        ("path;group;view\n1.mp4;g\0;1\n", "bytes of zero"),
        ("path,view\n1.mp4,1\n", "lacks the column group"),
        ("path,group,view\n,g,1\n", "column path is empty in 1 rows"),
        ("path,group,view,start\n1.mp4,g,1,x\n", "column start must hold numbers"),
        ("path,group,view\n9.mp4,g,1\n", "none of the 1 videos of .* is there; paths are relative to"),
        ("path,group,view\n", "none of the 0 videos"),
        ("", "cannot be read as a table"),
    ],
)
def test_what_is_wrong_with_a_table_is_said(tmp_path: Path, text: str, message: str) -> None:
    touch(tmp_path, "1.mp4")
    with pytest.raises(InputError, match=message) as caught:
        build_index("folder", tmp_path, table=table(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_a_table_and_a_pattern_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="exclude each other"):
        build_index("folder", tmp_path, "{group}/{view}.mp4", table="x.csv")
    with pytest.raises(InputError, match=r"no table at x\.csv"):
        build_index("folder", tmp_path, table="x.csv")
    with pytest.raises(InputError, match="etri has fixed names and takes no table"):
        build_index("etri", tmp_path, table="x.csv")


def test_camcorders_and_phones_are_seen_whatever_their_endings(tmp_path: Path) -> None:
    names = ["cam1.mp4", "cam2.MTS", "cam3.3gp", "cam4.m2ts", "cam5.FLV", "cam6.h264"]
    touch(tmp_path, *(f"take/{name}" for name in names), "take/cam7.dav", "take/notes.pdf", "take/.hidden.mp4")
    found = build_index("folder", tmp_path, "{group}/{view}.*")
    assert found.frame["view"].tolist() == ["cam1", "cam2", "cam3", "cam4", "cam5", "cam6"]
    assert found.others == ("take/cam7.dav", "take/notes.pdf")
    assert len(build_index("folder", tmp_path, "{group}/{view}.MTS").frame) == 1
    named = build_index("folder", tmp_path, "{group}/{view}.dav")  # an ending that only the pattern knows
    assert named.frame["path"].tolist() == [str(tmp_path / "take/cam7.dav")]
    assert named.others == ("take/notes.pdf",)
    assert len(named.unmatched) == 6


def test_a_flat_folder_is_one_take(tmp_path: Path) -> None:
    touch(tmp_path, "cam1.mp4", "cam2.MOV")
    frame = build_index("folder", tmp_path, group="lift").frame
    assert frame[["group", "view"]].to_numpy().tolist() == [["lift", "cam1"], ["lift", "cam2"]]
    frame = build_index("folder", tmp_path, "cam{view}.*", group="lift").frame
    assert frame["view"].tolist() == [1, 2]
    with pytest.raises(InputError, match=r"for the videos of one take give --group NAME"):
        build_index("folder", tmp_path, "{view}.mp4")
    with pytest.raises(InputError, match=r"must hold \{view\}"):
        build_index("folder", tmp_path, "*.mp4", group="lift")
    with pytest.raises(InputError, match="group 'lift' and table 'x.csv' exclude each other"):
        build_index("folder", tmp_path, table="x.csv", group="lift")


@pytest.mark.parametrize(
    "text",
    [
        "Path;Group;View;Label;Lux\n1.mp4;g;1;walk;2.5\n2.mp4;g;2;walk;1.5\n",
        "path\tgroup\tview\tlabel\tLux\n1.mp4\tg\t1\twalk\t2.5\n2.mp4\tg\t2\twalk\t1.5\n",
        "path, group, VIEW , label, Lux\n1.mp4, g, 1, walk, 2.5\n2.mp4, g, 2, walk, 1.5\n",
        "\ufeffsep=;\nPATH;GROUP;VIEW;LABEL;Lux\n1.mp4;g;1;walk;2.5\n2.mp4;g;2;walk;1.5\n",
        'path,group,view,label,Lux\n"1.mp4","g","1","walk",2.5\n2.mp4,g,2,walk,1.5\n',
    ],
)
@pytest.mark.parametrize("name", ["t.csv", "T.CSV", "t.tsv"])
def test_tables_are_taken_as_spreadsheets_write_them(tmp_path: Path, text: str, name: str) -> None:
    touch(tmp_path, "1.mp4", "2.mp4")
    (tmp_path / name).write_text(text, encoding="utf-8")
    found = build_index("folder", tmp_path, table=str(tmp_path / name))
    assert found.frame[["group", "view", "label"]].to_numpy().tolist() == [["g", 1, 0], ["g", 2, 0]]
    assert found.class_names == ("walk",)
    out = write_manifest(found.frame, tmp_path / "m.csv")
    assert select(read_manifest(out), query="Lux > 2")["view"].tolist() == [1]  # the user's own column


def test_names_that_are_no_utf8_are_told(tmp_path: Path) -> None:
    folder = os.fsdecode(b"gr\xfcn")
    touch(tmp_path, f"{folder}/a.mp4")
    with pytest.raises(InputError, match=r"udcfcn.*whose name is no valid UTF-8") as caught:
        build_index("folder", tmp_path)
    assert str(caught.value).isprintable()
