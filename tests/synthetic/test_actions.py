"""What people do: hands meet, cups reach mouths, feet stay where they stand, nobody sinks into the floor."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from performances import on_head, palms, performed, prop

from mv2mae.errors import InputError
from mv2mae.synthetic.people.actions import ACTIONS
from mv2mae.synthetic.people.bodies import load_body
from mv2mae.synthetic.people.performance import stage_performance
from mv2mae.synthetic.people.skeleton import Skeleton
from mv2mae.synthetic.people.style import Style, perform, standing


def test_ids_are_for_ever_and_names_plain() -> None:
    assert [act.id for act in ACTIONS.values()] == list(range(1, len(ACTIONS) + 1))
    assert len(ACTIONS) >= 34
    firsts = ("wave", "clap", "drink", "squat", "bow", "kick", "punch", "jump", "raise_arms", "walk_in_place")
    assert tuple(ACTIONS)[:10] == firsts
    assert all(name == name.lower() and name.isascii() and " " not in name for name in ACTIONS)


@pytest.mark.parametrize("name", ACTIONS)
def test_planted_feet_do_not_slide(name: str) -> None:
    for seed in range(4):
        skeleton = performed(name, seed).skeleton
        motion = skeleton.motion
        for side, foot in enumerate(("LeftFoot", "RightFoot")):
            asked = np.concatenate([motion.feet[side], motion.foot_place[side], motion.foot_yaw[side, :, None]], 1)
            stays = np.abs(np.diff(asked, axis=0)).max(1) < 1e-9
            still = stays & (np.minimum(motion.planted[side, 1:], motion.planted[side, :-1]) > 0.999)
            moved = np.linalg.norm(np.diff(skeleton.P[foot], axis=0), axis=1)
            assert moved[still].max(initial=0) < 0.0015, (seed, foot)


@pytest.mark.parametrize("name", ["walk_towards", "walk_away", "walk_across", "turn_around"])
def test_walking_puts_one_foot_down_while_the_body_goes_on(name: str) -> None:
    for seed in range(6):
        skeleton = performed(name, seed).skeleton
        speed = [np.linalg.norm(np.diff(skeleton.P[foot], axis=0), axis=1) for foot in ("LeftFoot", "RightFoot")]
        assert np.minimum(*speed).max() < 0.0015, seed  # at every moment a foot stands still
        swings = [int((np.diff((s > 0.003).astype(int)) == 1).sum()) for s in speed]
        assert min(swings) >= 1
        if name != "turn_around":
            way = skeleton.P["Hips"][-1, :2] - skeleton.P["Hips"][0, :2]
            assert np.linalg.norm(way) > 0.5
            ahead = {"walk_towards": way[1], "walk_away": -way[1], "walk_across": abs(way[0])}[name]
            assert ahead > 0.85 * np.linalg.norm(way)


@pytest.mark.parametrize("name", ACTIONS)
def test_nobody_leaves_the_place_or_sinks_into_the_floor(name: str) -> None:
    for seed in range(3):
        performance = performed(name, seed)
        assert np.abs(performance.skeleton.P["Hips"][:, :2]).max() < 0.9
        for mover in performance.movers:
            every = replace(mover, rotations=mover.rotations[::6], positions=mover.positions[::6])
            assert every.vertices()[:, np.unique(mover.model.faces), 2].min() > -0.03, seed


@pytest.mark.parametrize("name", ACTIONS)
def test_every_action_moves_more_than_a_person_at_rest(name: str) -> None:
    seconds, body = np.arange(64) / 30, load_body(5)
    for seed in range(3):
        style = Style.draw(np.random.default_rng([seed, 9]))
        acting = Skeleton(body, perform(ACTIONS[name], style, 64, 30))
        resting = Skeleton(body, standing(seconds, style, style.seated and ACTIONS[name].sits))
        turned = [np.linalg.norm(np.diff(k.rotations, axis=0), axis=(2, 3)).sum(0).max() for k in (acting, resting)]
        assert turned[0] > 1.5 * turned[1] + 0.3, seed


def test_palms_touch_in_clap_and_rub_hands() -> None:
    under_way = slice(20, 50)
    for seed in range(8):
        clap, rub = (performed(name, seed) for name in ("clap", "rub_hands"))
        gaps, rubs = (np.linalg.norm(np.subtract(*palms(p)), axis=1)[under_way] for p in (clap, rub))
        assert gaps.min() < 0.06
        assert gaps.max() > 0.2
        assert np.median(rubs) < 0.12
        left, right = (
            clap.skeleton.R[name][under_way] @ hand.palm
            for name, hand in zip(("LeftHand", "RightHand"), clap.skeleton.hands, strict=True)
        )
        assert (left * right).sum(1)[gaps.argmin()] < -0.9, seed


@pytest.mark.parametrize(
    ("name", "kind", "place", "metres"),
    [
        ("drink", "cup", "mouth", 0.11),
        ("eat", "snack", "mouth", 0.10),
        ("phone_call", "phone", "ear", 0.09),
        ("brush_teeth", "toothbrush", "mouth", 0.17),
    ],
)
def test_things_reach_the_head(name: str, kind: str, place: str, metres: float) -> None:
    for seed in range(8):
        performance = performed(name, seed)
        thing = prop(performance, kind)
        away = np.min([np.linalg.norm(thing - on_head(performance, place, side), axis=1) for side in range(2)], axis=0)
        assert 0.015 < away.min() < metres, seed
        assert away[0] > 0.3, seed  # at first it is somewhere else


def test_hats_go_on_and_off() -> None:
    for seed in range(6):
        for name, at in (("put_on", -1), ("take_off", 0)):
            performance = performed(name, seed)
            away = np.linalg.norm(prop(performance, "hat") - on_head(performance, "crown"), axis=1)
            assert away[at] < 0.12
            assert away[-1 - at] > 0.3


def test_people_sit_on_the_seat_with_their_feet_on_the_floor() -> None:
    for seed in range(6):
        for name, at in (("sit_down", -1), ("stand_up", 0)):
            performance = performed(name, seed)
            skeleton, chair = performance.skeleton, performance.movers[1 + performance.props.index("chair")]
            pads = chair.model.vertices[:8] + chair.positions[0, 0] * [0, 0, 1]  # the seat comes first
            seat = pads[:, 2].max()
            hips = (skeleton.P["LeftUpLeg"] + skeleton.P["RightUpLeg"])[at] / 2
            assert 0.05 < hips[2] - seat < 0.16
            assert np.linalg.norm((hips - chair.positions[0, 0])[:2]) < 0.2
            standing_hips = (skeleton.P["LeftUpLeg"] + skeleton.P["RightUpLeg"])[-1 - at] / 2
            assert standing_hips[2] - seat > 0.35
            for foot in ("LeftFoot", "RightFoot"):
                assert skeleton.P[foot][at, 2] == pytest.approx(skeleton.rest[foot][2], abs=0.01)


def test_sitting_is_no_sign_of_standing_up() -> None:
    seated = {name for name in ACTIONS for seed in range(8) if performed(name, seed).skeleton.motion.seat[0] > 0.5}
    assert len(seated) > 12


def test_the_same_numbers_give_the_same_performance_at_any_rate() -> None:
    body = load_body(9)
    slow, fast = (
        stage_performance(body, "put_on", np.random.default_rng(4), *time) for time in ((16, 7.5), (64, 30.0))
    )
    again = stage_performance(body, "put_on", np.random.default_rng(4), 16, 7.5)
    np.testing.assert_array_equal(slow.skeleton.positions, again.skeleton.positions)
    assert slow.props == fast.props
    np.testing.assert_allclose(slow.skeleton.positions[:13], fast.skeleton.positions[:49:4], atol=0.02)


def test_bad_input_is_one_clear_error() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="action 'fly' is unknown; choose from wave, clap"):
        stage_performance(load_body(1), "fly", rng, 16, 30)
    with pytest.raises(InputError, match="num_frames=1, fps=30; expected at least 2 frames"):
        stage_performance(load_body(1), "wave", rng, 1, 30)
