"""Bodies move as the person of a capture moved, whatever its axes, units, names and rest pose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bvh_files import CMU, Person, write_bvh

from mv2mae.errors import InputError
from mv2mae.synthetic.capture.bvh import read_bvh
from mv2mae.synthetic.capture.retarget import RADIUS_M, Actor, Retargeted, retarget
from mv2mae.synthetic.people.bodies import Body, load_body
from mv2mae.synthetic.rotations import about, axis_angle, between, blend, limit, split_twist
from mv2mae.synthetic.world.mesh import Mover

BONES = [
    (side + a, side + b)
    for side in ("Left", "Right")
    for a, b in (("Arm", "ForeArm"), ("ForeArm", "Hand"), ("UpLeg", "Leg"), ("Leg", "Foot"))
]


def ramp(end: float, num_frames: int = 30) -> np.ndarray:
    return np.linspace(0, end, num_frames)


def busy() -> Person:
    """Left arm up and bent, right knee lifted, head to the left, chest forward."""
    turns: dict[str, tuple[str, np.ndarray | float]] = {
        "LeftArm": ("Z", ramp(70)),
        "LeftForeArm": ("Y", ramp(-80)),
        "RightArm": ("Z", 75),
        "RightForeArm": ("Y", 25),
        "RightUpLeg": ("X", ramp(-75)),
        "RightLeg": ("X", ramp(85)),
        "LeftLeg": ("X", 8),
        "LeftUpLeg": ("X", -8),
        "Neck": ("Y", ramp(40)),
        "Chest": ("X", ramp(15)),
    }
    return Person(turns=turns, path=np.stack([ramp(0), ramp(-3), ramp(40)], 1))


def moved(file: Path, subject: int = 5, seconds: np.ndarray | None = None, **options: Any) -> tuple[Retargeted, Body]:
    actor, body = Actor(read_bvh(file)), load_body(subject)
    times = np.arange(30) / 30 if seconds is None else seconds
    return retarget(actor, body, times, **options), body


def joint(result: Retargeted, body: Body, name: str) -> np.ndarray:
    return result.positions[:, list(body.joints).index(name)]


def heights(result: Retargeted, body: Body) -> np.ndarray:
    """Of the lowest point of the body, [t]."""
    mover = Mover(model=body, rotations=result.rotations, positions=result.positions)
    return np.asarray(mover.vertices()[..., 2].min(1))


def degrees_apart(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.rad2deg(axis_angle(a.swapaxes(-1, -2) @ b)[1])


def test_left_is_left_and_front_is_front(tmp_path: Path) -> None:
    result, body = moved(write_bvh(tmp_path / "a.bvh", busy()))
    at = {name: joint(result, body, name)[-1] for name in body.joints}
    assert at["LeftUpLeg"][0] < at["RightUpLeg"][0]
    assert at["LeftForeArm"][2] > at["LeftArm"][2] + 0.1
    assert at["RightForeArm"][2] < at["RightArm"][2] - 0.1
    assert at["LeftHand"][1] > at["LeftForeArm"][1] + 0.1
    assert at["RightLeg"][1] > at["RightUpLeg"][1] + 0.25
    assert at["LeftLeg"][1] < at["LeftUpLeg"][1] + 0.15
    assert at["RightToeBase"][1] > at["RightFoot"][1]
    head = result.rotations[-1, list(body.joints).index("Head")] @ [0, 1, 0]
    assert np.rad2deg(np.arctan2(-head[0], head[1])) == pytest.approx(40, abs=3)
    chest = result.rotations[-1, list(body.joints).index("Spine1")] @ [0, 0, 1]
    assert np.rad2deg(np.arctan2(chest[1], chest[2])) == pytest.approx(15, abs=1)
    hips = joint(result, body, "Hips")
    thigh_and_shank = sum(np.linalg.norm(body.joints[a] - body.joints[b]) for a, b in BONES[2:4])
    assert hips[-1, 1] - hips[0, 1] == pytest.approx(0.40 * thigh_and_shank / 0.86, abs=0.005)


@pytest.mark.parametrize(
    "changes",
    [
        {"z_up": True},
        {"unit": 0.3937},
        {"unit": 0.01},
        {"order": "YZX"},
        {"names": "biped"},
        {"names": "jointed", "z_up": True, "unit": 10.0},
        {"leave_out": ("LeftToe", "RightToe")},
    ],
)
def test_axes_units_and_names_do_not_matter(tmp_path: Path, changes: dict[str, Any]) -> None:
    person = busy()
    expected, _ = moved(write_bvh(tmp_path / "a.bvh", person))
    result, _ = moved(write_bvh(tmp_path / "b.bvh", person, **changes))
    assert np.abs(result.positions - expected.positions).max() < 0.004
    assert degrees_apart(result.rotations, expected.rotations).max() < 0.5


def test_the_captures_own_heading_and_place_do_not_matter(tmp_path: Path) -> None:
    straight = busy()
    expected, body = moved(write_bvh(tmp_path / "a.bvh", straight))
    assert straight.path is not None
    c, s = np.cos(np.deg2rad(130)), np.sin(np.deg2rad(130))
    path = straight.path @ np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]]) + [500, 0, -200]
    turned = Person(turns=straight.turns, path=path, heading=130)
    result, _ = moved(write_bvh(tmp_path / "b.bvh", turned))
    np.testing.assert_allclose(result.positions, expected.positions, atol=0.002)
    result, _ = moved(write_bvh(tmp_path / "b.bvh", turned), heading=np.pi / 2)
    across = joint(result, body, "RightUpLeg")[0] - joint(result, body, "LeftUpLeg")[0]
    assert across[1] > 0.15  # who faces left (-x) has the right hip in front (+y)
    assert abs(across[0]) < 0.02


def test_a_skeleton_that_lies_at_rest_is_understood_from_its_motion(tmp_path: Path) -> None:
    expected, body = moved(write_bvh(tmp_path / "a.bvh", busy()))
    result, _ = moved(write_bvh(tmp_path / "b.bvh", busy(), lying_rest=True))
    arms = [list(body.joints).index(name) for pair in BONES for name in pair]
    assert np.abs(result.positions - expected.positions)[:, arms].max() < 0.03
    hands = [list(body.joints).index(name) for name in ("LeftHand", "RightHand")]
    others = [i for i in range(len(body.joints)) if i not in hands and not list(body.joints)[i].endswith("ForeArm")]
    assert degrees_apart(result.rotations, expected.rotations)[:, others].max() < 6


@pytest.mark.parametrize("subject", [1, 12, 23, 38])
def test_bones_keep_their_length_and_feet_stay_on_the_floor(tmp_path: Path, subject: int) -> None:
    result, body = moved(write_bvh(tmp_path / "a.bvh", busy()), subject)
    for a, b in [*BONES, ("Hips", "LeftUpLeg"), ("Spine1", "Neck"), ("LeftShoulder", "LeftArm")]:
        length = np.linalg.norm(joint(result, body, a) - joint(result, body, b), axis=1)
        assert length == pytest.approx(np.linalg.norm(body.joints[a] - body.joints[b]), abs=1e-9)
    low = heights(result, body)
    assert low.min() > -1e-6
    assert np.median(low) < 0.02
    rotations = result.rotations
    np.testing.assert_allclose(rotations @ rotations.swapaxes(-1, -2), np.tile(np.eye(3), (30, 22, 1, 1)), atol=1e-9)
    assert np.linalg.det(rotations) == pytest.approx(1)


def test_somebody_standing_stands_as_the_body_does(tmp_path: Path) -> None:
    arms: dict[str, tuple[str, np.ndarray | float]] = {"LeftArm": ("Z", -45), "RightArm": ("Z", 45)}
    result, body = moved(write_bvh(tmp_path / "a.bvh", Person(turns=arms)))
    rest = np.stack(list(body.joints.values()))
    legs = [i for i, name in enumerate(body.joints) if "Arm" not in name and "Hand" not in name]
    assert (
        np.abs(result.positions[0] - result.positions[0, 0] - rest + rest[0])[legs].max() < 0.1
    )  # it stands a little wider
    feet = [i for i, name in enumerate(body.joints) if name.endswith(("Foot", "ToeBase"))]
    assert degrees_apart(result.rotations[0, feet], np.eye(3)[None]).max() < 12  # they point where the capture's do
    for name in ("LeftFoot", "RightToeBase"):
        sole = result.rotations[0, list(body.joints).index(name)] @ [0, 0, 1]
        assert sole[2] > 0.999


def test_long_ways_stay_before_the_cameras(tmp_path: Path) -> None:
    short = Person(path=np.stack([ramp(0), ramp(0), ramp(120)], 1))
    result, body = moved(write_bvh(tmp_path / "a.bvh", short))
    leg_ratio = sum(np.linalg.norm(body.joints[a] - body.joints[b]) for a, b in BONES[2:4]) / 0.86
    assert np.ptp(joint(result, body, "Hips")[:, 1]) == pytest.approx(1.2 * leg_ratio, abs=0.01)
    sway = 10 * np.sin(ramp(12))
    for way in (
        np.stack([sway, ramp(0), ramp(600)], 1),
        200 * np.stack([np.cos(ramp(6)), ramp(0), np.sin(ramp(6))], 1),
    ):
        result, body = moved(write_bvh(tmp_path / "b.bvh", Person(path=way)))
        distance = np.linalg.norm(joint(result, body, "Hips")[:, :2], axis=1)
        assert 0.5 < distance.max() <= RADIUS_M + 1e-9
    result, body = moved(write_bvh(tmp_path / "b.bvh", Person(path=np.stack([sway, ramp(0), ramp(600)], 1))))
    assert np.ptp(joint(result, body, "Hips")[:, 0]) > 0.15  # only the way is taken off, not the sway


def test_jumps_leave_the_floor_and_nobody_sinks_into_it(tmp_path: Path) -> None:
    up = np.zeros((30, 3))
    up[10:20, 1] = 40 * np.sin(np.linspace(0, np.pi, 10))
    result, body = moved(write_bvh(tmp_path / "a.bvh", Person(path=up)))
    low = heights(result, body)
    assert low[:9] == pytest.approx(0, abs=0.003)
    assert low.max() > 0.25


def test_other_rates_show_the_same_motion_and_ends_are_held(tmp_path: Path) -> None:
    file = write_bvh(tmp_path / "a.bvh", busy())
    fine, _ = moved(file, seconds=np.arange(59) / 60)
    coarse, _ = moved(file, seconds=np.arange(30) / 30)
    np.testing.assert_allclose(fine.rotations[::2], coarse.rotations, atol=1e-9)
    between_frames = (coarse.rotations[:-1] + coarse.rotations[1:]) / 2
    np.testing.assert_allclose(fine.rotations[1::2], between_frames, atol=0.01)
    held, _ = moved(file, seconds=np.array([-2.0, -1.0, 0.0, 29 / 30, 5.0]))
    np.testing.assert_allclose(held.rotations[:2], held.rotations[[2, 2]], atol=1e-12)
    np.testing.assert_allclose(held.rotations[3:], np.repeat(coarse.rotations[-1:], 2, 0), atol=1e-6)


def test_a_rest_pose_before_the_motion_is_left_out(tmp_path: Path) -> None:
    steady = np.concatenate([[0], 80 + np.sin(ramp(9, 29))])
    turns: dict[str, tuple[str, np.ndarray | float]] = {"LeftArm": ("Z", -steady), "RightArm": ("Z", steady)}
    begun = Actor(read_bvh(write_bvh(tmp_path / "a.bvh", Person(turns=turns))))
    assert begun.first == 1
    assert begun.seconds == pytest.approx(28 / 30, abs=1e-4)
    assert Actor(read_bvh(write_bvh(tmp_path / "b.bvh", busy()))).first == 0


@pytest.mark.parametrize(("axis", "most"), [("X", 45), ("Z", 70)])
def test_wrists_turn_no_further_than_wrists_do(tmp_path: Path, axis: str, most: float) -> None:
    turns: dict[str, tuple[str, np.ndarray | float]] = {f"{s}Hand": (axis, ramp(130)) for s in ("Left", "Right")}
    result, body = moved(write_bvh(tmp_path / "a.bvh", Person(turns=turns)))
    for side in ("Left", "Right"):
        fore, hand = (list(body.joints).index(side + part) for part in ("ForeArm", "Hand"))
        apart = degrees_apart(result.rotations[:, fore], result.rotations[:, hand])
        assert most - 20 < apart.max() < most


def test_one_frame_and_limbs_without_length_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="one frame; a motion needs two"):
        Actor(read_bvh(write_bvh(tmp_path / "a.bvh", Person(num_frames=1))))
    with pytest.raises(InputError, match="no length"):
        Actor(read_bvh(write_bvh(tmp_path / "a.bvh", Person(), unit=0.0)))


@pytest.mark.parametrize(
    ("name", "start"), [("01_01", 4.0), ("01_03", 20.0), ("Boxing_Toes", 8.0), ("Boxing_Toes", 25.0)]
)
@pytest.mark.parametrize("subject", [3, 22])
def test_limbs_point_as_in_real_captures(name: str, start: float, subject: int) -> None:
    file = CMU / f"{name}.bvh"
    if not file.exists():
        pytest.skip(f"{file} is not installed (Debian: apt install assimp-testmodels)")
    seconds = start + np.arange(40) / 20
    result, body = moved(file, subject, seconds)
    actor = Actor(read_bvh(file))
    frames = np.rint(seconds / actor.capture.frame_s).astype(int) + actor.first
    _, places = actor.capture.pose(frames)

    def directions(position: Any) -> np.ndarray:
        bones = np.stack([position(b) - position(a) for a, b in BONES], 1)
        return np.asarray(bones / np.linalg.norm(bones, axis=-1, keepdims=True))

    captured = directions(lambda joint_name: places[:, actor.joints[joint_name]])
    ours = directions(lambda joint_name: joint(result, body, joint_name))
    # Both in the same axes but for one turn about the vertical: Kabsch finds it.
    u, _, v = np.linalg.svd(np.einsum("tba,tbc->ac", captured, ours))
    turn = u @ v
    assert np.linalg.det(turn) == pytest.approx(1)  # a mirrored body would need -1
    np.testing.assert_allclose([0, 1, 0] @ turn, [0, 0, 1], atol=0.02)
    cosine = np.einsum("tba,tba->tb", captured @ turn, ours)
    assert np.rad2deg(np.arccos(np.clip(cosine, -1, 1))).max() < 3
    low = heights(result, body)
    assert low.min() > -1e-6
    assert np.quantile(low, 0.1) < 0.06
    assert np.abs(np.diff(result.positions, axis=0)).max() < 0.5  # m in 50 ms: no joint jumps


def test_rotations_do_what_they_say() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 50, 3))
    turned = (between(a, b) @ a[..., None])[..., 0]
    np.testing.assert_allclose(np.cross(turned, b), 0, atol=1e-9)
    assert ((turned * b).sum(-1) > 0).all()
    np.testing.assert_allclose(between(a, -a) @ a[..., None], -a[..., None], atol=1e-6)
    axis = a / np.linalg.norm(a, axis=1, keepdims=True)
    angle = rng.uniform(0, 3, 50)
    found_axis, found = axis_angle(about(axis, angle))
    np.testing.assert_allclose(found, angle, atol=1e-9)
    np.testing.assert_allclose(found_axis, axis, atol=1e-6)
    np.testing.assert_allclose(
        blend(about(axis, angle), about(axis, angle / 2), 0.5), about(axis, 0.75 * angle), atol=1e-9
    )
    np.testing.assert_allclose(axis_angle(limit(about(axis, angle), 1.0))[1], np.minimum(angle, 1), atol=1e-9)
    swing, twist = split_twist(about(axis, angle), np.array([0.3, -1, 0.2]))
    bone = np.broadcast_to([0.3, -1, 0.2] / np.linalg.norm([0.3, -1, 0.2]), (50, 3))
    np.testing.assert_allclose(swing @ about(bone, twist), about(axis, angle), atol=1e-9)
