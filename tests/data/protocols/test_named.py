"""Data sets whose names say everything: NTU, ETRI, N-UCLA, SynADL. Complete lists of names give the public counts."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pandas as pd
import public_names
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from public_names import indexed, touch

from mv2mae.data.manifest import check_synchronised
from mv2mae.data.protocols import PROTOCOLS, Indexed, Listing, build_index, select
from mv2mae.errors import InputError

NAMES: dict[str, Callable[[], list[str]]] = {
    "ntu60": lambda: public_names.ntu(setups=range(1, 18)),
    "ntu120": lambda: public_names.ntu(setups=range(1, 33)),
    "etri": public_names.etri,
    "nucla": public_names.nucla,
    "synadl": lambda: public_names.synadl(5),
}


@cache
def complete(protocol: str) -> Indexed:
    return indexed(protocol, NAMES[protocol]())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("protocol", "videos", "groups", "views", "classes", "people"),
    [
        ("ntu60", 56_880, 18_960, {3: 18_960}, 60, 40),
        ("ntu120", 114_480, 38_160, {3: 38_160}, 120, 106),
        ("etri", 112_620, 15_371, {8: 13_084, 7: 134, 6: 2, 4: 1_345, 3: 6, 2: 800}, 55, 100),
        ("nucla", 1_475, 548, {3: 418, 2: 91, 1: 39}, 10, 10),
        ("synadl", 462_000, 16_500, {28: 16_500}, 55, 15),
    ],
)
def test_complete_lists_give_the_public_counts(
    protocol: str, videos: int, groups: int, views: dict[int, int], classes: int, people: int
) -> None:
    found = complete(protocol)
    frame = found.frame
    assert found.unmatched == found.problems == ()
    assert len(frame) == frame["path"].nunique() == videos
    sizes = frame.groupby("group")["view"].size()
    assert len(sizes) == groups
    assert sizes.value_counts().to_dict() == views
    assert sorted(frame["label"].unique()) == list(range(classes))
    class_names = PROTOCOLS[protocol].class_names
    assert len(class_names) == len(set(class_names)) == classes
    assert frame["subject"].nunique() == people
    assert str(frame["view"].dtype) == "Int64"
    one_performance = frame.groupby("group")[["label", "subject"]].nunique()
    assert (one_performance == 1).all(axis=None)


@pytest.mark.parametrize(
    ("split", "train", "test"),
    [
        ("ntu60/xsub", 40_320, 16_560),
        ("ntu60/xview", 37_920, 18_960),
        ("ntu120/xsub", 63_360, 51_120),
        ("ntu120/xset", 54_720, 59_760),
        ("etri/xsub", 75_372, 37_248),
        ("nucla/xview", 1_015, 460),
    ],
)
def test_split_counts_are_exact(split: str, train: int, test: int) -> None:
    frame = complete(split.split("/")[0]).frame
    training, testing = (select(frame, split=split, part=part) for part in ("train", "test"))
    assert (len(training), len(testing)) == (train, test)
    protocol, name = split.split("/")
    assert PROTOCOLS[protocol].splits[name].num_videos == (train, test)
    assert not set(training["path"]) & set(testing["path"])
    apart = {"xsub": "subject", "xview": "view", "xset": "setup"}[split.split("/")[1]]
    assert not set(training[apart]) & set(testing[apart])


def test_cross_view_keeps_the_test_camera_out_of_training() -> None:
    assert sorted(select(complete("ntu60").frame, split="ntu60/xview")["view"].unique()) == [2, 3]
    assert sorted(select(complete("nucla").frame, split="nucla/xview")["view"].unique()) == [1, 2]


def test_etri_pairs_of_cameras_are_those_of_one_place() -> None:
    frame = complete("etri").frame
    cameras = frame.sort_values("view").groupby("group")["view"].agg(tuple)
    pairs = cameras[cameras.map(len) == 2].value_counts().to_dict()
    assert pairs == {(1, 2): 240, (3, 4): 239, (5, 6): 160, (7, 8): 160, (5, 8): 1}
    assert (cameras[cameras.map(len) == 4] == (1, 2, 3, 4)).all()


@pytest.mark.parametrize(
    ("protocol", "name", "expected"),
    [
        ("ntu60", "S001C002P003R002A013_rgb.avi", ("S001P003R002A013", 2, 12, 3, 1)),
        ("ntu60", "x/y/S001C002P003R002A013.mp4", ("S001P003R002A013", 2, 12, 3, 1)),
        ("ntu120", "S032C003P106R001A120_rgb.avi", ("S032P106R001A120", 3, 119, 106, 32)),
        ("etri", "A055_P100_G002_C008.mp4", ("A055_P100_G002", 8, 54, 100, None)),
        ("nucla", "a12/v03_s10_e04.avi", ("a12_s10_e04", 3, 9, 10, None)),
        ("synadl", "RGB/night/A001_P101_G001_C028.avi", ("RGB/night/A001_P101_G001", 28, 0, 101, None)),
    ],
)
def test_names_say_group_view_label_subject_and_setup(protocol: str, name: str, expected: tuple[object, ...]) -> None:
    row = indexed(protocol, [name]).frame.astype(object).iloc[0]
    assert row["path"] == f"/data/{name}"
    values = row[["group", "view", "label", "subject", "setup"]]
    assert tuple(None if pd.isna(value) else value for value in values) == expected


@pytest.mark.parametrize(
    ("protocol", "good", "others"),
    [
        (
            "ntu60",
            "S001C002P003R002A013_rgb.avi",
            [
                "S001C002P003R002A061_rgb.avi",  # NTU-120's
                "S018C002P003R002A013_rgb.avi",
                "S001C004P003R002A013_rgb.avi",
                "S001C002P003R002A013.skeleton.avi",
                "xS001C002P003R002A013_rgb.avi",
                "S000C002P003R002A013_rgb.avi",
                "S001C002P003R002A0١3_rgb.avi",  # a digit, but not one of 0-9
                "S001C002P003R002A013_rgb.avi\n",
            ],
        ),
        ("ntu120", "S018C001P003R002A061.avi", ["S033C001P003R002A061.avi", "S018C001P003R002A121.avi"]),
        ("etri", "A001_P001_G001_C001.mp4", ["A056_P001_G001_C001.mp4", "A001_P101_G001_C001.mp4", "A1_P1_G1_C1.mp4"]),
        ("nucla", "a01/v01_s01_e00.avi", ["a07/v01_s01_e00.avi", "v01_s01_e00.avi", "a01/v04_s01_e00.avi"]),
        ("synadl", "A001_P101_G001_C001.avi", ["A001_P001_G001_C001.avi", "A001_P101_G001_C029.avi"]),
    ],
)
def test_other_names_are_listed(protocol: str, good: str, others: list[str]) -> None:
    found = indexed(protocol, [good, *others])
    assert len(found.frame) == 1
    assert found.unmatched == tuple(others)


@pytest.mark.parametrize("protocol", [*NAMES, "synthetic", "rocog"])
@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    names=st.lists(st.text(max_size=12) | st.from_regex(r"([aA]\d\d[/_])?[SAv]\d{2,4}[CP_]\w{0,9}\.avi"), max_size=4)
)
def test_any_names_are_indexed_or_refused_in_one_line(protocol: str, names: list[str]) -> None:
    try:
        found = PROTOCOLS[protocol].index(Listing(root=Path("/nowhere"), files=names))
    except InputError as error:
        assert "expected names as" in str(error)  # noqa: PT017
    else:
        assert len(found.frame) + len(found.unmatched) + len(found.problems) == len(names)


def test_copies_of_a_video_are_set_aside() -> None:
    found = indexed("etri", ["a/A001_P001_G001_C001.mp4", "b/A001_P001_G001_C001.mp4", "b/A001_P001_G001_C002.mp4"])
    assert found.frame["path"].tolist() == ["/data/a/A001_P001_G001_C001.mp4", "/data/b/A001_P001_G001_C002.mp4"]
    ((path, reason),) = found.problems
    assert path == "/data/b/A001_P001_G001_C001.mp4"
    assert reason == "group A001_P001_G001, view 1 is /data/a/A001_P001_G001_C001.mp4 already"


def test_lights_of_synadl_are_different_performances() -> None:
    found = indexed("synadl", ["day/A001_P101_G001_C001.avi", "night/A001_P101_G001_C001.avi"])
    assert found.problems == ()
    assert found.frame["group"].tolist() == ["day/A001_P101_G001", "night/A001_P101_G001"]


def test_clips_of_nucla_make_no_pairs() -> None:
    frame = complete("nucla").frame
    assert not frame["synchronised"].any()
    with pytest.raises(InputError, match="509 of 548 groups are not synchronised") as caught:
        check_synchronised(frame)
    assert "\n" not in str(caught.value)
    check_synchronised(complete("ntu60").frame)


def test_some_class_names() -> None:
    names = {name: protocol.class_names for name, protocol in PROTOCOLS.items()}
    assert (names["ntu60"][9], names["ntu60"][59]) == ("clapping", "walking apart")
    assert (names["ntu120"][9], names["ntu120"][60], names["ntu120"][119]) == (
        "clapping",
        "put on headphones",
        "rock-paper-scissors",
    )
    assert (names["etri"][9], names["etri"][52], names["etri"][54]) == (
        "brushing teeth",
        "fallen on the floor",
        "lying down",
    )
    assert names["synadl"] == names["etri"]
    assert (names["nucla"][6], names["nucla"][9]) == ("donning", "carry")
    assert (names["pkummd2"][0], names["pkummd2"][32], names["pkummd2"][50]) == ("bow", "sitting down", "writing")
    assert all(name == name.strip() and name for protocol in names.values() for name in protocol)


def test_folders_of_any_depth_are_walked(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "a/b/S001C001P001R001A001_rgb.avi",
        "S001C002P001R001A001_rgb.avi",
        "c/S001C001P001R001A061_rgb.avi",
        "c/.S001C003P001R001A001_rgb.avi",
        "notes.txt",
    )
    (tmp_path / "a" / "circle").symlink_to(tmp_path)
    found = build_index("ntu60", tmp_path)
    assert found.frame["path"].tolist() == [
        str(tmp_path / "S001C002P001R001A001_rgb.avi"),
        str(tmp_path / "a/b/S001C001P001R001A001_rgb.avi"),
    ]
    assert found.unmatched == ("c/S001C001P001R001A061_rgb.avi",)
    assert found.class_names == PROTOCOLS["ntu60"].class_names


def test_names_that_no_manifest_can_hold_are_set_aside(tmp_path: Path) -> None:
    touch(tmp_path, "S001C001P001R001A001_rgb.avi")
    try:
        (tmp_path / os.fsdecode(b"caf\xe9.avi")).touch()
    except OSError:
        pytest.skip("the file system takes no such name")
    found = build_index("ntu60", tmp_path)
    assert len(found.frame) == 1
    assert found.problems == (("'caf\\udce9.avi'", "its name is no valid UTF-8; rename the file or its folder"),)


@pytest.mark.parametrize(
    ("split", "train", "test"),
    [("xsub", 360, 240), ("xview", 400, 200), ("xset", 300, 300), ("xsub-xview", 240, 80)],
)
def test_synthetic_splits_share_nothing_that_they_must_not(split: str, train: int, test: int) -> None:
    names = [
        f"S{s:03}C{c:03}P{p:03}R001A{a:03}.mp4"
        for s in (1, 2)
        for c in (1, 2, 3)
        for p in range(1, 11)
        for a in range(1, 11)
    ]
    frame = indexed("synthetic", names).frame
    training, testing = (select(frame, split=f"synthetic/{split}", part=p) for p in ("train", "test"))
    assert (len(training), len(testing)) == (train, test)
    shared = {"xsub": "subject", "xview": "view", "xset": "setup", "xsub-xview": "subject"}[split]
    assert not set(training[shared]) & set(testing[shared])
    if split == "xsub-xview":
        assert set(testing["view"]) == {1}
        assert 1 not in set(training["view"])
    if split == "xsub":
        assert set(testing["subject"]) == {4, 5, 9, 10}
    if split == "xset":
        assert set(testing["setup"]) == {1}


def test_synthetic_sets_keep_the_names_of_their_classes(tmp_path: Path) -> None:
    touch(tmp_path, "S1001C001P011R001A001_rgb.mp4", "S001C002P011R001A003_rgb.mp4")
    (tmp_path / "classes.json").write_text('{"0": "wave", "2": "drink"}')
    found = build_index("synthetic", tmp_path)
    assert found.class_names == ("wave", "1", "drink")
    assert sorted(found.frame["setup"]) == [1, 1001]


@pytest.mark.parametrize("text", ["[]", "{", '{"a": "wave"}', "3"])
def test_names_of_classes_that_make_no_sense_are_refused(tmp_path: Path, text: str) -> None:
    touch(tmp_path, "S001C001P001R001A001_rgb.mp4")
    (tmp_path / "classes.json").write_text(text)
    with pytest.raises(InputError, match=r"classes\.json must hold the names of the labels"):
        build_index("synthetic", tmp_path)
