"""The endless stream: fresh pairs that follow from (seed, number) alone, in rooms that change one at a time."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import pytest
import torch

from mv2mae.config import PairConfig, StreamConfig
from mv2mae.data.datamodule import pretrain_data
from mv2mae.data.loader import make_loader
from mv2mae.data.sampling import StepSampler
from mv2mae.data.stream import STREAM, PairStream, ScriptedPairs
from mv2mae.data.views import collate_pairs
from mv2mae.errors import InputError

SMALL = StreamConfig(num_rooms=2, pairs_per_room=4, pairs_per_epoch=12, actions=("wave", "squat"), num_cameras=3)


def stream(seed: int = 0, held_out: bool = False, **changes: Any) -> PairStream:
    settings: dict[str, Any] = {"manifest": STREAM, "stream": SMALL, "crop": "centre", "frame_stride": 4, **changes}
    return PairStream(PairConfig(**settings), num_frames=4, size=32, seed=seed, held_out=held_out)


def test_a_pair_follows_from_seed_and_number_alone() -> None:
    first, second = stream(), stream()
    keys = [(0, 3), (0, 8), (2, 3)]
    together = first.__getitems__(keys)
    for key, item in zip(reversed(keys), reversed(together), strict=True):
        alone = second[key]
        assert item["target"].shape == (3, 4, 32, 32)
        assert item["sources"].shape == (1, 3, 4, 32, 32)
        assert torch.equal(alone["target"], item["target"])
        assert torch.equal(alone["sources"], item["sources"])
        assert (alone["index"], alone["seed"]) == (key[1], item["seed"])
    assert first.fingerprint == second.fingerprint != stream(seed=1).fingerprint


def test_nothing_is_seen_twice() -> None:
    train, held_out = stream(), stream(held_out=True)
    scripts = [train.script((epoch, index)) for epoch in range(3) for index in range(12)]
    scripts += [held_out.script(index) for index in range(24)]
    assert len({script.seed for script in scripts}) == len(scripts)
    assert len({script.group.name for script in scripts[:36]}) == 36
    assert not torch.equal(train[(0, 0)]["target"], train[(1, 0)]["target"])
    assert not torch.equal(train[(0, 0)]["target"], held_out[0]["target"])
    assert len(set(held_out.groups)) == len(held_out)


def test_target_and_source_are_two_views_of_one_performance() -> None:
    seen = set()
    source = stream()
    for index in range(12):
        script = source.script(index)
        assert len(set(script.views)) == 2
        seen.update(script.views)
    assert seen == {1, 2, 3}
    several = stream(num_sources=2)[0]
    assert several["sources"].shape == (2, 3, 4, 32, 32)
    assert not torch.equal(several["sources"][0], several["sources"][1])


def test_rooms_give_way_one_at_a_time() -> None:
    source = stream(stream=StreamConfig(num_rooms=4, pairs_per_room=8, pairs_per_epoch=1000))
    rooms = [source.script((0, number)).group.setup for number in range(160)]
    alive = [set(rooms[k : k + 4]) for k in range(0, 160, 4)]
    assert all(len(now) == 4 for now in alive)
    changes = [len(after - before) for before, after in zip(alive, alive[1:], strict=False)]
    assert set(changes) == {0, 1}
    counts = [rooms.count(room) for room in dict.fromkeys(rooms[40:100])]
    assert set(counts) == {8}


def test_drawing_later_in_another_process_gives_the_same_pixels() -> None:
    source = stream(crop="multi-scale")
    keys = [(0, 1), (1, 5)]
    scripts = pickle.loads(pickle.dumps([ScriptedPairs(source)[key] for key in keys]))
    other = pickle.loads(pickle.dumps(source))
    for drawn, expected in zip(other.draw(scripts, torch.device("cpu")), source.__getitems__(keys), strict=True):
        assert torch.equal(drawn["target"], expected["target"])
        assert torch.equal(drawn["sources"], expected["sources"])


@pytest.mark.slow
def test_batches_do_not_depend_on_workers_nor_on_where_a_run_goes_on() -> None:
    source = stream()

    def batches(num_workers: int, start_step: int = 0) -> list[torch.Tensor]:
        sampler = StepSampler(len(source), 4, 5, seed=0, shuffle=source.shuffled, start_step=start_step)
        loader = make_loader(source, sampler, device_batch_size=2, num_workers=num_workers, collate=collate_pairs)
        return [batch["target"] for batch in loader]

    here, there, late = batches(0), batches(2), batches(0, start_step=3)
    assert len(here) == 10
    assert all(torch.equal(a, b) for a, b in zip(here, there, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(here[6:], late, strict=True))


@pytest.mark.gpu
def test_a_gpu_draws_the_same_pairs_but_for_rounding() -> None:
    source = stream(crop="multi-scale")
    keys = [(0, k) for k in range(6)]
    drawn = source.draw(source.animate(keys), torch.device("cuda"))
    for there, here in zip(drawn, source.__getitems__(keys), strict=True):
        assert there["target"].is_cuda
        change = (there["target"].cpu().int() - here["target"].int()).abs()
        assert float((change > 2).float().mean()) < 0.002


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stream": StreamConfig(cameras="free", num_cameras=2), "num_sources": 2}, "has 2 views; 2 source"),
        ({"stream": StreamConfig(actions=("fly",))}, "action 'fly' is unknown"),
        ({"stream": StreamConfig(cameras="nowhere")}, "nowhere"),
    ],
)
def test_impossible_streams_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        stream(**changes)


def test_cameras_of_the_stream_may_move() -> None:
    still, moving = stream()[5], stream(stream=replace(SMALL, camera_motion="moving"))[5]
    assert not torch.equal(still["target"], moving["target"])
    with pytest.raises(InputError, match="cameras of moving views are not told to the model"):
        PairStream(
            PairConfig(manifest=STREAM, stream=replace(SMALL, camera_motion="handheld")),
            num_frames=4,
            size=32,
            seed=0,
            cameras=True,
        )


def test_a_stream_takes_no_split() -> None:
    with pytest.raises(InputError, match="takes no split and no query"):
        pretrain_data(PairConfig(manifest=STREAM, split="synthetic/xsub"), num_frames=4, size=32, seed=0)
