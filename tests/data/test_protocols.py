"""Names on disk, public splits and their exact counts."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mv2mae.data.manifest import make_frame
from mv2mae.data.protocols import PROTOCOLS, Indexed, build_index, select
from mv2mae.data.protocols.ntu60 import CLASS_NAMES, index_names, parse_name
from mv2mae.errors import InputError


@pytest.fixture(scope="module")
def ntu60() -> Indexed:
    """The complete list of NTU RGB+D 60's names: (setup, performer) pairs x cameras x repetitions x actions."""
    with (Path(__file__).parent / "files" / "ntu60_setup_performer.csv").open() as lines:
        pairs = [(int(row["setup"]), int(row["performer"])) for row in csv.DictReader(lines)]
    names = [
        f"nturgb+d_rgb/S{s:03}C{c:03}P{p:03}R{r:03}A{a:03}_rgb.avi"
        for s, p in pairs
        for c in (1, 2, 3)
        for r in (1, 2)
        for a in range(1, 61)
    ]
    return index_names(Path("/ntu"), names, "NTU RGB+D 60")


def test_ntu60_counts_are_exact(ntu60: Indexed) -> None:
    frame = ntu60.frame
    assert len(frame) == 56_880
    assert frame["group"].nunique() == 18_960
    assert (frame.groupby("group")["view"].size() == 3).all()
    assert sorted(frame["label"].unique()) == list(range(60))
    assert frame["subject"].nunique() == 40
    assert sorted(frame["setup"].unique()) == list(range(1, 18))
    assert ntu60.unmatched == ()


@pytest.mark.parametrize(("split", "train", "test"), [("xsub", 40_320, 16_560), ("xview", 37_920, 18_960)])
def test_ntu60_split_counts_are_exact(ntu60: Indexed, split: str, train: int, test: int) -> None:
    training = select(ntu60.frame, split=f"ntu60/{split}", part="train")
    testing = select(ntu60.frame, split=f"ntu60/{split}", part="test")
    assert (len(training), len(testing)) == (train, test)
    assert not set(training["path"]) & set(testing["path"])


def test_ntu_cross_view_keeps_camera_1_out_of_training(ntu60: Indexed) -> None:
    assert sorted(select(ntu60.frame, split="ntu60/xview")["view"].unique()) == [2, 3]


def test_ntu_names() -> None:
    expected = {"group": "S001P003R002A013", "view": 2, "label": 12, "subject": 3, "setup": 1}
    assert parse_name("S001C002P003R002A013_rgb.avi") == expected
    assert parse_name("S001C002P003R002A013.mp4") == expected
    for other in (
        "S001C002P003R002A061_rgb.avi",  # NTU-120's
        "S018C002P003R002A013_rgb.avi",
        "S001C002P003R002A013.skeleton",
        "S001C002P003R002A013_rgb.avi.part",
        "xS001C002P003R002A013_rgb.avi",
        "S000C002P003R002A013_rgb.avi",
    ):
        assert parse_name(other) is None, other
    assert len(CLASS_NAMES) == len(set(CLASS_NAMES)) == 60
    assert CLASS_NAMES[9] == "clapping"
    assert CLASS_NAMES[59] == "walking apart"


@given(st.text(max_size=40))
def test_any_name_is_parsed_or_refused(name: str) -> None:
    assert parse_name(name) is None or name.endswith((".avi", ".mp4"))


def test_ntu60_walks_folders_of_any_depth(tmp_path: Path) -> None:
    for name in ("a/b/S001C001P001R001A001_rgb.avi", "S001C002P001R001A001_rgb.avi", "c/S001C001P001R001A061_rgb.avi"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = build_index("ntu60", tmp_path)
    assert found.frame["path"].tolist() == [
        str(tmp_path / "S001C002P001R001A001_rgb.avi"),
        str(tmp_path / "a/b/S001C001P001R001A001_rgb.avi"),
    ]
    assert found.unmatched == ("c/S001C001P001R001A061_rgb.avi",)
    assert found.class_names == CLASS_NAMES


def synthetic_frame() -> object:
    return index_names(
        Path("/s"),
        [
            f"S{s:03}C{c:03}P{p:03}R001A{a:03}.mp4"
            for s in (1, 2)
            for c in (1, 2, 3)
            for p in range(1, 11)
            for a in range(1, 11)
        ],
        "synthetic",
    ).frame


@pytest.mark.parametrize(
    ("split", "train", "test"),
    [("xsub", 360, 240), ("xview", 400, 200), ("xset", 300, 300), ("xsub-xview", 240, 80)],
)
def test_synthetic_splits_share_nothing_that_they_must_not(split: str, train: int, test: int) -> None:
    frame = synthetic_frame()
    training, testing = (select(frame, split=f"synthetic/{split}", part=p) for p in ("train", "test"))  # type: ignore[arg-type]
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


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_folder_reads_groups_and_views_from_paths(tmp_path: Path) -> None:
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


def test_folder_turns_words_into_labels(tmp_path: Path) -> None:
    touch(tmp_path, "walk/p1_t1_1.avi", "walk/p1_t1_2.avi", "run/p2_t1_1.avi")
    found = build_index("folder", tmp_path, "{label}/{subject}_{group}_{view}.avi")
    assert found.class_names == ("run", "walk")
    assert found.frame[["label", "subject", "view"]].to_numpy().tolist() == [[0, 1, 1], [1, 0, 1], [1, 0, 2]]
    numbered = build_index("folder", tmp_path, "{label}/p{subject}_{group}_{view}.avi").frame
    assert numbered["subject"].tolist() == [2, 1, 1]


def test_folder_keeps_takes_of_one_name_apart(tmp_path: Path) -> None:
    touch(tmp_path, "walk/t1_1.avi", "walk/t1_2.avi", "run/t1_1.avi", "run/t1_2.avi")
    groups = build_index("folder", tmp_path, "{label}/{group}_{view}.avi").frame["group"].tolist()
    assert groups == ["run/t1", "run/t1", "walk/t1", "walk/t1"]


def test_folder_patterns_may_repeat_and_skip(tmp_path: Path) -> None:
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
def test_folder_says_what_is_wrong_with_a_pattern(tmp_path: Path, pattern: str, message: str) -> None:
    touch(tmp_path, "a/1.mp4")
    with pytest.raises(InputError) as caught:
        build_index("folder", tmp_path, pattern)
    assert message in str(caught.value)


def test_wrong_data_sets_and_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="choose one of folder, ntu60, synthetic"):
        build_index("ntu61", tmp_path)
    with pytest.raises(InputError, match="no folder at"):
        build_index("ntu60", tmp_path / "none")
    with pytest.raises(InputError, match=r"expected names as S001C002P003R002A013_rgb\.avi, found no video files"):
        build_index("ntu60", tmp_path)
    with pytest.raises(InputError, match="takes no pattern"):
        build_index("synthetic", tmp_path, "{group}")


FRAME = make_frame(
    {"path": f"/{v}.mp4", "group": "g", "view": v, "subject": 1, "label": None if v == 3 else v} for v in (1, 2, 3)
)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "ntu61/xsub"}, "choose one of folder, ntu60, synthetic"),
        ({"split": "ntu60/xset"}, "choices for ntu60: ntu60/xsub, ntu60/xview"),
        ({"split": "folder/xsub"}, "has no splits, give queries instead"),
        ({"split": "ntu60"}, "choices for ntu60"),
        ({"split": "ntu60/xsub", "part": "test"}, "the test part of ntu60/xsub .* picks none of 3 videos; they have"),
        ({"split": "ntu60/xsub", "part": "validation"}, "choose train or test"),
        ({"query": "camera == 1"}, "cannot be evaluated .*columns: path, group, view"),
        ({"query": "view =="}, "cannot be evaluated"),
        ({"query": "view == 9"}, "picks none of 3 videos; they have view 1, 2, 3; subject 1"),
    ],
)
def test_selections_that_pick_nothing_name_the_possibilities(options: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        select(FRAME, **options)
    assert "\n" not in str(caught.value)


def test_queries_treat_empty_values_as_no_match() -> None:
    assert select(FRAME, query="label < 9")["view"].tolist() == [1, 2]
    assert select(FRAME, query="label != 1")["view"].tolist() == [2]
    assert len(select(FRAME)) == 3


def test_every_protocol_is_complete() -> None:
    for name, protocol in PROTOCOLS.items():
        assert protocol.name == name
        assert callable(protocol.index)
        assert all(split.train and split.test for split in protocol.splits.values())


def test_synthetic_sets_keep_the_names_of_their_classes(tmp_path: Path) -> None:
    for name in ("S1001C001P011R001A001_rgb.mp4", "S001C002P011R001A003_rgb.mp4"):
        (tmp_path / name).touch()
    (tmp_path / "classes.json").write_text('{"0": "wave", "2": "drink"}')
    found = build_index("synthetic", tmp_path)
    assert found.class_names == ("wave", "1", "drink")
    assert sorted(found.frame["setup"]) == [1, 1001]
