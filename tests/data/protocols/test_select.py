"""Parts of splits and queries, and what is said where they pick nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from mv2mae.data.manifest import make_frame
from mv2mae.data.protocols import PROTOCOLS, build_index, select
from mv2mae.errors import InputError

FRAME = make_frame(
    {"path": f"/{v}.mp4", "group": "g", "view": v, "subject": 1, "label": None if v == 3 else v} for v in (1, 2, 3)
)
EVERY = (
    "assembly101, assembly101-coarse, assembly101-fine, egoexo4d, etri, folder, lerobot, ntu120, ntu60, nucla, "
    "pkummd2, rocog, synadl, synthetic"
)


def test_wrong_data_sets_and_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"choose one of {EVERY}"):
        build_index("ntu61", tmp_path)
    with pytest.raises(InputError, match="no folder at"):
        build_index("ntu60", tmp_path / "none")
    with pytest.raises(InputError, match=r"expected names as S001C002P003R002A013_rgb\.avi, found no video files"):
        build_index("ntu60", tmp_path)
    with pytest.raises(InputError, match="takes no pattern"):
        build_index("synthetic", tmp_path, "{group}")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "ntu61/xsub"}, f"choose one of {EVERY}"),
        ({"split": "ntu60/xset"}, "choices for ntu60: ntu60/xsub, ntu60/xview"),
        ({"split": "folder/xsub"}, "has no splits, give queries instead"),
        ({"split": "ntu60"}, "choices for ntu60"),
        ({"split": "ntu60/xsub", "part": "test"}, "the test part of ntu60/xsub .* picks none of 3 videos; they have"),
        ({"split": "pkummd2/xsub"}, "the train part of pkummd2/xsub .* picks none of 3 videos"),
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


def test_queries_read_part_and_synchronised() -> None:
    frame = FRAME.assign(part=["train", None, "test"], synchronised=[True, False, True])
    assert select(frame, query="part == 'train'")["view"].tolist() == [1]
    assert select(frame, query="synchronised")["view"].tolist() == [1, 3]
    assert select(make_frame(frame), query="part != 'test' and not synchronised")["view"].tolist() == [2]


def test_every_protocol_is_complete() -> None:
    for name, protocol in PROTOCOLS.items():
        assert protocol.name == name
        assert callable(protocol.index)
        assert all(split.train and split.test for split in protocol.splits.values())
