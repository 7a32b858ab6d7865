"""A folder of motion capture becomes actions of a data set."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from bvh_files import Person, write_bvh

from mv2mae.cli import main
from mv2mae.errors import InputError
from mv2mae.synthetic import SyntheticSet, generate, generate_frames
from mv2mae.synthetic.capture.library import perform_capture, read_motions
from mv2mae.synthetic.people.actions import ACTIONS
from mv2mae.synthetic.people.bodies import load_body
from mv2mae.synthetic.people.performance import animate


def lifting(joint: str, axis: str, degrees: float, num_frames: int = 40) -> Person:
    return Person(num_frames=num_frames, turns={joint: (axis, np.linspace(0, degrees, num_frames))})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("motions")
    write_bvh(root / "lift_leg" / "one.bvh", lifting("LeftUpLeg", "X", -80))
    write_bvh(root / "lift_leg" / "two.BVH", lifting("RightUpLeg", "X", -80), names="biped", z_up=True)
    write_bvh(root / "wave" / "a.bvh", lifting("RightArm", "Z", -80), names="jointed")
    write_bvh(root / "nodding.bvh", lifting("Neck", "X", 30))
    (root / "wave" / "broken.bvh").write_text("HIERARCHY\nROOT Hips\n{\n")
    write_bvh(root / "wave" / "no_hand.bvh", lifting("Neck", "X", 30), leave_out=("LeftHand",))
    return root


def config_of(folder: Path, **changes: object) -> SyntheticSet:
    values = {"motions": str(folder), "subjects": (3, 17), "num_frames": 6, "fps": 5, "size": 48, "seed": 3}
    return SyntheticSet(**(values | changes))  # type: ignore[arg-type]


def test_labels_come_from_folders_and_names_and_bad_files_are_set_aside(folder: Path) -> None:
    library = read_motions(folder)
    assert library.names == ("lift_leg", "nodding", "wave")
    assert [path.name for path in library.files("lift_leg")] == ["one.bvh", "two.BVH"]
    reasons = dict(library.problems)
    assert set(reasons) == {"wave/broken.bvh", "wave/no_hand.bvh"}
    assert "no MOTION section" in reasons["wave/broken.bvh"]
    assert "lacks joints of a person: LeftHand " in reasons["wave/no_hand.bvh"]


def test_a_table_decides_over_folders(tmp_path: Path) -> None:
    for name in ("a/01.bvh", "02.bvh", "03.bvh"):
        write_bvh(tmp_path / name, Person(num_frames=3))
    before = read_motions(tmp_path).digest
    (tmp_path / "labels.csv").write_text("\ufefflabel,file\r\nbow,a/01.bvh\r\nbow,02.bvh\r\n", encoding="utf-8")
    library = read_motions(tmp_path)
    assert {name: len(files) for name, files in library.classes} == {"bow": 2, "03": 1}
    assert library.digest != before


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("name,label\na.bvh,bow\n", r"columns \['name', 'label'\]; expected file,label"),
        ("", "expected file,label"),
        ("file,label\nb.bvh,bow\n", "'b.bvh', which is not in the folder"),
        ("file,label\na.bvh,\n", "gives 'a.bvh' no label"),
    ],
)
def test_wrong_tables_are_refused(tmp_path: Path, table: str, message: str) -> None:
    write_bvh(tmp_path / "a.bvh", Person(num_frames=3))
    (tmp_path / "labels.csv").write_text(table)
    with pytest.raises(InputError, match=message):
        read_motions(tmp_path)


def test_folders_without_motions_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="is not a folder"):
        config_of(tmp_path / "none")
    with pytest.raises(InputError, match=r"no file that ends in \.bvh"):
        config_of(tmp_path)
    (tmp_path / "a.bvh").write_text("nothing")
    with pytest.raises(InputError, match="none of the 1 BVH files .* can be used; the first: .*no BVH file"):
        config_of(tmp_path)
    assert main(["synth", str(tmp_path / "out"), "--motions", str(tmp_path)]) != 0
    printed = capsys.readouterr().err.strip()
    assert "none of the 1 BVH files" in printed
    assert "\n" not in printed
    assert not (tmp_path / "out").exists()


def test_captured_actions_come_after_the_built_in_ones(folder: Path) -> None:
    config = config_of(folder)
    first = len(ACTIONS)
    assert config.actions == ("lift_leg", "nodding", "wave")
    assert config.class_names == {first: "lift_leg", first + 1: "nodding", first + 2: "wave"}
    mixed = config_of(folder, actions=("squat", "wave"))
    assert mixed.class_names == {ACTIONS["squat"].label: "squat", first + 2: "wave"}  # the captured wave, not ours
    assert {group.name for group in mixed.groups()} == {
        f"S001P{p:03d}R001A{a:03d}" for p in (3, 17) for a in (ACTIONS["squat"].id, first + 3)
    }
    with pytest.raises(InputError, match="action 'fly' is unknown; choose from lift_leg, nodding, wave, "):
        config_of(folder, actions=("fly",))
    with pytest.raises(InputError, match="'lift_leg' is unknown"):
        SyntheticSet(actions=("lift_leg",))


def test_every_variant_is_used_and_the_body_shows_the_right_one(folder: Path) -> None:
    config = config_of(folder, actions=("lift_leg",), repetitions=12, num_frames=64, fps=30)
    joints = list(load_body(3).joints)
    sides = []
    for group in config.groups():
        knees = animate(config, group).skeleton.positions[-1, [joints.index(s + "Leg") for s in ("Left", "Right")], 2]
        sides.append(int(knees[1] > knees[0]))
    assert 5 < sum(sides) < 19


def test_long_captures_are_cut_and_short_ones_held(folder: Path) -> None:
    library, body = read_motions(folder), load_body(8)
    neck = list(body.joints).index("Head")

    def pitch(seed: int, num_frames: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        turned = perform_capture(library, "nodding", body, rng, num_frames, 30).rotations[:, neck] @ [0, 0, 1]
        return np.asarray(np.rad2deg(np.arccos(turned[:, 2].clip(-1, 1))))

    starts = [pitch(seed, 15)[0] for seed in range(12)]
    assert np.ptp(starts) > 8
    assert all(np.ptp(pitch(seed, 15)) == pytest.approx(30 * 14 / 39, abs=0.5) for seed in range(3))
    for seed in range(6):
        whole = pitch(seed, 80)
        assert (whole[0], whole[-1]) == (pytest.approx(0, abs=0.1), pytest.approx(30, abs=0.1))
    held = [int((pitch(seed, 80) < 0.1).sum()) for seed in range(12)]
    assert np.ptp(held) > 10


def test_a_data_set_of_captured_actions(folder: Path, tmp_path: Path) -> None:
    config = config_of(folder, actions=("lift_leg", "wave", "squat"), subjects=(3,))
    table = generate(tmp_path, config, progress=False)
    assert len(table) == 9
    written = pd.read_csv(tmp_path / "manifest.csv")
    classes = json.loads((tmp_path / "classes.json").read_text())
    assert {classes[str(label)] for label in written.label} == {"lift_leg", "wave", "squat"}
    assert all((tmp_path / path).exists() for path in written.path)
    problems = [json.loads(line) for line in (tmp_path / "problems.jsonl").read_text().splitlines()]
    assert [problem["path"] for problem in problems] == ["wave/broken.bvh", "wave/no_hand.bvh"]
    generate(tmp_path, config, progress=False)
    assert len((tmp_path / "problems.jsonl").read_text().splitlines()) == 2


def test_motions_that_changed_are_not_mixed_in_one_folder(tmp_path: Path) -> None:
    motions, out = tmp_path / "motions", tmp_path / "out"
    write_bvh(motions / "a.bvh", Person(num_frames=9))
    generate(out, config_of(motions, num_groups=1), progress=False)
    write_bvh(motions / "a.bvh", lifting("Neck", "X", 20, 9))
    with pytest.raises(InputError, match="motions_digest="):
        generate(out, config_of(motions, num_groups=1), progress=False)


def test_frames_are_the_same_once_the_configuration_was_sent_to_another_process(folder: Path) -> None:
    config = config_of(folder)
    group = config.groups()[0]
    travelled = pickle.loads(pickle.dumps(config))
    assert travelled.library == config.library
    for view, frames in generate_frames(travelled, group).items():
        np.testing.assert_array_equal(frames, generate_frames(config, group)[view])
