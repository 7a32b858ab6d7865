"""PKU-MMD II: untrimmed videos cut by their label files, odd lines and all."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from public_names import pkummd2, touch

from mv2mae.data.manifest import read_manifest, write_manifest
from mv2mae.data.protocols import build_index, select
from mv2mae.data.protocols.base import Line
from mv2mae.data.protocols.pkummd2 import Action, group_actions, parse_actions, parse_line
from mv2mae.errors import InputError


def labels(root: Path, name: str, *lines: str) -> None:
    (root / "label").mkdir(exist_ok=True)
    (root / "label" / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines))


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All videos, each with two actions; skeletons have the label files' names in another folder."""
    root = tmp_path_factory.mktemp("pkummd2")
    touch(root, *pkummd2(), "skeleton/A01N01-L.txt")
    for video in pkummd2():
        labels(root, Path(video).stem, "3,100,190,2", "51,300,420")
    return root


@pytest.mark.parametrize("official", [False, True])
def test_complete_list_gives_the_public_counts(complete: Path, official: bool) -> None:
    names = [Path(name).stem for name in pkummd2()]
    file = complete / "cross_subject_v2.txt"
    file.unlink(missing_ok=True)
    if official:
        test = [name for name in names if name[3:6] in ("N02", "N03", "N07")]
        train = [name for name in names if name not in test]
        file.write_text(f"Training videos:\n{', '.join(train)},\nTest videos:\n{', '.join(test)},\n")
    found = build_index("pkummd2", complete)
    frame = found.frame
    assert found.unmatched == found.problems == ()
    assert len(found.class_names) == len(set(found.class_names)) == 51
    assert frame["path"].nunique() == len(names) == 1009
    assert len(frame) == 2018
    sizes = frame.groupby("group")["view"].size().value_counts().to_dict()
    assert sizes == {3: 2 * 333, 2: 2 * 5}
    counts = [select(frame, split="pkummd2/xsub", part=p)["path"].nunique() for p in ("train", "test")]
    assert counts == [775, 234]
    assert set(select(frame, split="pkummd2/xsub", part="test")["subject"]) == {2, 3, 7}


def test_actions_become_rows_in_seconds(tmp_path: Path) -> None:
    touch(tmp_path, "v/A01N02-L.avi", "v/A01N02-R.avi", "v/A01N02-X.avi")
    labels(tmp_path, "A01N02-L", "3,0,90,1", "7,240,150")  # start 0; swapped; three columns
    labels(tmp_path, "A01N02-R", "7,156,240,2", "3,3,90,2", "9,400,460,1")
    found = build_index("pkummd2", tmp_path)
    assert found.unmatched == ("v/A01N02-X.avi",)
    columns = ["group", "view", "label", "subject", "start", "end", "part"]
    assert found.frame[columns].to_numpy().tolist() == [
        ["A01N02-000", "L", 2, 2, 0.0, 3.0, "test"],
        ["A01N02-001", "L", 6, 2, 5.0, 8.0, "test"],
        ["A01N02-000", "R", 2, 2, 0.1, 3.0, "test"],
        ["A01N02-001", "R", 6, 2, 5.2, 8.0, "test"],
        ["A01N02-002", "R", 8, 2, 400 / 30, 460 / 30, "test"],
    ]
    assert len(read_manifest(write_manifest(found.frame, tmp_path / "m.csv"))) == 5


def test_lines_that_make_no_sense_are_listed_with_their_place(tmp_path: Path) -> None:
    touch(tmp_path, "A01N01-L.avi", "A01N01-M.avi", "x/A01N01-L.avi")
    lines = ["1,5,20,1", "52,5,20", "0,5,20", "2,7,7", "2;5;20", "2,-5,20", "2,5", "4,5,20", "2,5,20,1,9", "", "1,5,20"]
    labels(tmp_path, "A01N01-L", *lines)
    labels(tmp_path, "A01N09-L", "1,5,20")
    found = build_index("pkummd2", tmp_path)
    assert found.frame[["label", "start", "end"]].to_numpy().tolist() == [[0, 5 / 30, 20 / 30]]
    said = [(Path(place).name, reason) for place, reason in found.problems]
    assert said[:2] == [("A01N01-L.avi", "A01N01-L.avi has this name too"), ("A01N09-L.txt", "no such video")]
    assert said[-1] == ("A01N01-M.avi", "no action: its label file is missing or empty")
    assert [place for place, _ in said[2:-1]] == [f"A01N01-L.txt, line {i}" for i in (2, 3, 4, 5, 6, 7, 8, 9, 11)]
    assert said[2][1] == "label 52 does not lie in 1 to 51"
    assert said[4][1] == "starts and ends at frame 7"
    assert said[5][1] == "expected label,start,end[,confidence], not '2;5;20'"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Training\nA01N01-L\nTest\n", "line 4 must list the test videos as A01N01-L, A01N01-M, ..., not 'nothing'"),
        ("Training\nA01N01-L, A1\nTest\nA01N02-L\n", "line 2 must list the training videos .* not 'A1'"),
        ("", "line 2 must list"),
    ],
)
def test_a_split_file_that_makes_no_sense_is_refused(tmp_path: Path, text: str, message: str) -> None:
    touch(tmp_path, "A01N01-L.avi")
    labels(tmp_path, "A01N01-L", "1,5,20")
    (tmp_path / "cross_subject_v2.txt").write_text(text)
    with pytest.raises(InputError, match=message.replace("training", "train")):
        build_index("pkummd2", tmp_path)


def test_a_video_on_no_list_is_in_no_part(tmp_path: Path) -> None:
    touch(tmp_path, "A01N01-L.avi", "A01N02-L.avi", "A01N03-L.avi")
    for name in ("A01N01-L", "A01N02-L", "A01N03-L"):
        labels(tmp_path, name, "1,5,20")
    (tmp_path / "cross_subject_v2.txt").write_text("train\nA01N02-L\ntest\nA01N01-L\n")
    found = build_index("pkummd2", tmp_path)
    assert found.frame["part"].fillna("none").tolist() == ["test", "train", "none"]
    assert found.problems == (("A01N03-L.avi", "is not in cross_subject_v2.txt: in no part"),)
    assert select(found.frame, split="pkummd2/xsub", part="test")["subject"].tolist() == [1]


def test_without_labels_or_videos_it_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "a/A01N01-L.avi", "a/A01N01-L.txt")
    with pytest.raises(InputError, match=r"no label file below .*: expected label/A01N01-L\.txt"):
        build_index("pkummd2", tmp_path)
    labels(tmp_path, "A01N01-L", "nonsense")
    with pytest.raises(InputError, match=r"no video of pkummd2 below .* can be used; first: .*line 1: expected label,"):
        build_index("pkummd2", tmp_path)
    (tmp_path / "a" / "A01N01-L.avi").unlink()
    with pytest.raises(InputError, match=r"expected names as A01N01-L\.avi, found no video files"):
        build_index("pkummd2", tmp_path)


def test_the_best_matches_of_two_views_go_first() -> None:
    left = [Action(0, 100, 1), Action(200, 300, 1), Action(400, 500, 2), Action(600, 700, 4)]
    middle = [Action(30, 120, 1), Action(205, 300, 1), Action(400, 500, 3), Action(650, 750, 4)]
    right = [Action(210, 305, 1), Action(400, 490, 3)]
    assert group_actions([left, middle, right]) == [[0, 1, 3, 4], [0, 1, 2, 5], [1, 2]]
    # both share more than half with the one on the left: the one that shares more is its partner
    assert group_actions([[Action(0, 100, 1)], [Action(0, 80, 1), Action(5, 100, 1)]]) == [[1], [0, 1]]


ACTIONS = st.lists(
    st.tuples(st.integers(0, 60), st.integers(1, 40), st.integers(0, 1)).map(lambda a: Action(a[0], a[0] + a[1], a[2])),
    max_size=5,
    unique=True,
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(views=st.lists(ACTIONS, min_size=1, max_size=3))
def test_groups_hold_one_label_and_each_view_once(views: list[list[Action]]) -> None:
    numbers = group_actions(views)
    members: dict[int, list[tuple[int, Action]]] = {}
    for view, (actions, theirs) in enumerate(zip(views, numbers, strict=True)):
        assert len(actions) == len(theirs)
        for action, number in zip(actions, theirs, strict=True):
            members.setdefault(number, []).append((view, action))
    assert sorted(members) == list(range(len(members)))
    for group in members.values():
        assert len({view for view, _ in group}) == len(group)
        assert len({action.label for _, action in group}) == 1
    starts = [min(action.start for _, action in members[number]) for number in sorted(members)]
    assert starts == sorted(starts)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(lines=st.lists(st.text(alphabet="0123456789,,,- .x;٣\x00", max_size=14), max_size=5))
def test_any_line_is_an_action_or_is_listed(lines: list[str]) -> None:
    actions, problems = parse_actions([Line(f"line {i}", line) for i, line in enumerate(lines)])
    assert len(actions) + len(problems) == len(lines)
    assert all(0 <= a.start < a.end and 0 <= a.label < 51 for a in actions)


def test_spaces_and_a_confidence_of_any_kind_are_read() -> None:
    assert parse_line(" 1, 10 ,20 ,".strip()) == parse_line("1,10,20,0.9") == parse_line("1,20,10") == Action(10, 20, 0)
