"""BVH files are read as they are meant, and refused in one line where they are damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bvh_files import STYLES, Person, write_bvh

from mv2mae.errors import InputError
from mv2mae.synthetic.capture import bvh
from mv2mae.synthetic.capture.bvh import read_bvh
from mv2mae.synthetic.capture.joint_names import find_joints

ODD = (
    "\ufeffhierarchy\r\n# exported by hand\r\nROOT Bip01 Pelvis {\r\n\tOFFSET  1 2   3\r\n"
    "\tCHANNELS 6 Zposition Xposition Yposition  Xrotation Zrotation Yrotation\r\n"
    "  JOINT  arm {\r\n OFFSET 0 1e1 0 \r\n\t\tchannels 3 Yrotation Xrotation Zrotation\r\n"
    "// the hand\r\nJOINT hand\r\n{\r\nOFFSET 0 0 4\r\nCHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation "
    "Yrotation\r\nEnd Site\r\n{\r\nOFFSET 2 0 0\r\n}\r\n}\r\n}\r\n}\r\n"
    "MOTION\r\nFrames:\t2\r\nFrame Time:\t0.04\r\n"
    "7 5 6 10 20 30\t40 50  60 1 2 3 70 80 90\r\n# the second\r\n0 0 0 0 0 0 0 0 0 0 0 4 0 0 0"
)


def turn(axis: str, degrees: float) -> np.ndarray:
    """A rotation matrix, written out."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array(
        {
            "X": [[1, 0, 0], [0, c, -s], [0, s, c]],
            "Y": [[c, 0, s], [0, 1, 0], [-s, 0, c]],
            "Z": [[c, -s, 0], [s, c, 0], [0, 0, 1]],
        }[axis]
    )


def test_kinematics_follow_the_order_of_the_channels(tmp_path: Path) -> None:
    file = tmp_path / "odd.bvh"
    file.write_bytes(ODD.encode())
    capture = read_bvh(file)
    assert capture.names == ("Bip01 Pelvis", "arm", "hand", "hand end")
    assert capture.parents == (-1, 0, 1, 2)
    assert (capture.num_frames, capture.frame_s) == (2, 0.04)
    turns, places = capture.pose(np.arange(2))
    root = turn("X", 10) @ turn("Z", 20) @ turn("Y", 30)
    arm = root @ turn("Y", 40) @ turn("X", 50) @ turn("Z", 60)
    hand = arm @ turn("Z", 70) @ turn("X", 80) @ turn("Y", 90)
    expected = [np.array([5.0, 6, 7])]
    expected.append(expected[0] + root @ [0, 10, 0])
    expected.append(expected[1] + arm @ [1, 2, 3])  # position channels take the offset's place
    expected.append(expected[2] + hand @ [2, 0, 0])
    np.testing.assert_allclose(places[0], expected, atol=1e-12)
    np.testing.assert_allclose(turns[0], [root, arm, hand, hand], atol=1e-12)
    np.testing.assert_allclose(places[1], [[0, 0, 0], [0, 10, 0], [0, 10, 4], [2, 10, 4]], atol=1e-12)
    np.testing.assert_allclose(capture.rest()[-1], [3, 12, 7])


GOOD = (
    "HIERARCHY\nROOT a\n{\nOFFSET 0 0 0\nCHANNELS 3 Xrotation Yrotation Zrotation\nEnd Site\n{\nOFFSET 0 1 0\n}\n}\n"
    "MOTION\nFrames: 3\nFrame Time: 0.1\n1 2 3\n4 5 6\n7 8 9\n"
)


def test_one_frame_more_than_announced_is_a_rest_pose_that_was_not_counted(tmp_path: Path) -> None:
    file = tmp_path / "more.bvh"
    file.write_text(GOOD + "1 1 1\n")
    assert read_bvh(file).num_frames == 4


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (GOOD, "", "is empty"),
        (GOOD, " \n\t", "is empty"),
        (GOOD, "\x00\x01RIFF", "is no BVH file"),
        (GOOD, "file,label\n", "is no BVH file"),
        ("MOTION", "", "no MOTION section"),
        (GOOD[GOOD.index("MOTION") :], "", "no MOTION section"),
        ("}\n}\n", "}\n", "cut off"),
        ("ROOT a\n{", "", "stands outside"),
        ("End Site", "}\n}\nEnd Site", "not opened|outside"),
        ("ROOT a\n{\n", "ROOT a\n{\nWEIGHT 3\n", "'WEIGHT 3' is not expected"),
        ("OFFSET 0 0 0\n", "", "'a' has no OFFSET"),
        ("OFFSET 0 0 0", "OFFSET 0 0", "not three numbers"),
        ("OFFSET 0 0 0", "OFFSET 0 x 0", "'0 x 0'"),
        ("OFFSET 0 0 0", "OFFSET 0 nan 0", "'0 nan 0'"),
        ("CHANNELS 3", "CHANNELS 4", "CHANNELS '4 Xrotation"),
        ("Xrotation", "Xscale", "Xscale"),
        ("Xrotation", "Yrotation", "not understood"),
        ("CHANNELS 3 Xrotation Yrotation Zrotation", "CHANNELS 0", "no joint has CHANNELS"),
        ("MOTION", "ROOT b\n{\nOFFSET 0 0 0\n}\nMOTION", "several people"),
        ("Frames: 3", "Frames: many", "Frames: many"),
        ("Frames: 3", "Frames: 0", "Frames: 0"),
        ("Frames: 3\n", "", "not followed by"),
        ("Frame Time: 0.1", "Frame Time: 0", "Frame Time: 0;"),
        ("Frame Time: 0.1", "Frame Time: nan", "Frame Time: nan;"),
        ("Frames: 3", "Frames: 5", "announces 5 frames of 3 numbers, but holds 9"),
        ("Frames: 3", "Frames: 1", "announces 1 frames"),
        ("7 8 9", "7 8", r"2\.667 frames"),
        ("7 8 9", "7 8 __import__('os')", "could not convert string to float"),
        ("7 8 9", "7 NaN 9", "frame 3 holds a number that is not finite"),
        ("7 8 9", "7 inf 9", "frame 3"),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    file = tmp_path / "bad.bvh"
    assert old in GOOD
    file.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(InputError, match=message) as caught:
        read_bvh(file)
    assert "\n" not in str(caught.value)
    assert "bad.bvh" in str(caught.value)


def test_every_cut_of_a_file_is_refused(tmp_path: Path) -> None:
    whole = write_bvh(tmp_path / "whole.bvh", Person(num_frames=4)).read_text()
    cut = tmp_path / "cut.bvh"
    for length in range(0, len(whole) - 20, 97):
        cut.write_text(whole[:length])
        with pytest.raises(InputError):
            read_bvh(cut)


def test_files_that_are_too_large_or_missing_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_bvh(tmp_path / "none.bvh")
    file = write_bvh(tmp_path / "large.bvh", Person())
    monkeypatch.setattr(bvh, "MAX_BYTES", 1000)
    with pytest.raises(InputError, match="large.bvh has"):
        read_bvh(file)


@pytest.mark.parametrize("style", STYLES)
def test_joints_are_found_under_any_programs_names(tmp_path: Path, style: str) -> None:
    usual = read_bvh(write_bvh(tmp_path / "usual.bvh", Person()))
    named = read_bvh(write_bvh(tmp_path / "named.bvh", Person(), names=style))
    expected = find_joints(usual)
    assert {"Hips", "Spine1", "Head", "LeftShoulder", "RightHand", "LeftToeBase"} <= set(expected)
    assert usual.names[expected["Spine1"]] == "Chest"
    found = find_joints(named)
    if style == "no head":  # the structure tells where the head is: the end of the neck
        assert named.names[found.pop("Head")] == "Skull end"
        expected.pop("Head")
    assert found == expected


def test_missing_joints_are_named_and_end_sites_may_stand_for_hands(tmp_path: Path) -> None:
    lacking = read_bvh(write_bvh(tmp_path / "a.bvh", Person(), leave_out=("LeftHand", "RightFoot", "RightToe")))
    with pytest.raises(InputError, match=r"lacks joints of a person: LeftHand, RightFoot .*it has Hips, Spine, Chest"):
        find_joints(lacking)
    text = write_bvh(tmp_path / "b.bvh", Person(), leave_out=("LeftHand",)).read_text()
    at = text.index("}", text.index("JOINT LeftForeArm"))
    (tmp_path / "b.bvh").write_text(f"{text[:at]}End Site\n{{\nOFFSET 25 0 0\n}}\n{text[at:]}")
    ended = read_bvh(tmp_path / "b.bvh")
    assert ended.names[find_joints(ended)["LeftHand"]] == "LeftForeArm end"


def test_joints_that_do_not_hang_together_are_refused(tmp_path: Path) -> None:
    file = write_bvh(tmp_path / "a.bvh", Person())
    swapped = (
        file.read_text().replace("LeftLeg", "X").replace("LeftUpLeg", "LeftLeg").replace("JOINT X", "JOINT LeftUpLeg")
    )
    file.write_text(swapped)
    with pytest.raises(InputError, match="'LeftLeg', taken for the LeftLeg, does not hang below 'LeftUpLeg'"):
        find_joints(read_bvh(file))
