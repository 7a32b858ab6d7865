"""Where the time of a run goes, as its log, its trace and its list of slow items tell it; on a clock of their own."""

import dataclasses
import json
from types import SimpleNamespace

import pytest
from tiny_runs import PRETRAINING

from mv2mae.data import slow_items, stopwatch
from mv2mae.data.views import PairDataset
from mv2mae.runs import read_log
from mv2mae.train import log
from mv2mae.train.checkpoints import Checkpoints
from mv2mae.train.pretrain import PretrainModule, pretrain
from mv2mae.train.timing import PartTimes


class Clock:
    """Stands still but for what is told to take time."""

    def __init__(self, monkeypatch):
        self.now, self.monkeypatch = 0.0, monkeypatch
        for module in (stopwatch, log, slow_items):
            monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: self.now))

    def takes(self, owner, name, seconds):
        original = getattr(owner, name)

        def timed(*args, **kwargs):
            self.now += seconds
            return original(*args, **kwargs)

        self.monkeypatch.setattr(owner, name, timed)


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def test_the_log_tells_the_parts_of_a_step_and_the_trace_shows_them(clock, tmp_path, capsys):
    clock.takes(PairDataset, "_pairs", 0.25)  # an item; four of them a step, in two parts
    clock.takes(PretrainModule, "transfer_batch_to_device", 0.5)
    clock.takes(PretrainModule, "training_step", 2)
    clock.takes(PretrainModule, "backward", 3)
    clock.takes(PretrainModule, "optimizer_zero_grad", 0.125)  # with the first part, before the optimiser's step
    clock.takes(Checkpoints, "save", 10)
    compute = dataclasses.replace(PRETRAINING.compute, profile_steps=2, device_batch_size=2)
    optim = dataclasses.replace(PRETRAINING.optim, steps=6)
    run = pretrain(dataclasses.replace(PRETRAINING, compute=compute, optim=optim), tmp_path / "run")
    table = read_log(run)
    seconds = {"data": 1, "transfer": 1, "forward": 4, "backward": 6}
    for part, expected in seconds.items():
        assert table[f"speed/{part}_s"].dropna().tolist() == [expected] * 6
    assert table["speed/other_s"].dropna().tolist() == [0.125, 0.125, 0.125, 10.125, 0.125, 0.125]
    assert table.loc[1, "speed/data_wait_share"] == pytest.approx(1 / 12.125, rel=1e-4)
    assert table.loc[4, "speed/data_wait_share"] == pytest.approx(1 / 22.125, rel=1e-4)  # saving is no waiting
    assert table.loc[1, "speed/clips_per_s"] == pytest.approx(8 / 12.125, rel=1e-4)
    events = json.loads((run / "trace-00000003.json").read_text())["traceEvents"]
    assert sum(event.get("name", "").startswith("Optimizer.step") for event in events) == 2
    assert "perfetto" in capsys.readouterr().out


class Items:
    """Item 3 and item 25 take long."""

    def __init__(self, clock):
        self.clock = clock

    def __len__(self):
        return 30

    def __getitem__(self, key):
        self.clock.now += 0.3 if key[1] in (3, 25) else 0.02
        return key


def test_slow_items_are_named(clock, tmp_path):
    items = slow_items.WatchedItems(Items(clock), [f"{i}.mp4" for i in range(30)], tmp_path / "slow.jsonl")
    keys = [(1, index) for index in range(30)]
    assert items.__getitems__(keys) == keys
    lines = [json.loads(line) for line in (tmp_path / "slow.jsonl").read_text().splitlines()]
    # when item 3 was read there was no median to compare it with
    assert lines == [{"path": "25.mp4", "epoch": 1, "index": 25, "seconds": 0.3, "median": 0.02}]


def test_a_part_within_a_part_counts_for_itself(clock):
    times = PartTimes()
    with times.profile("[LightningModule]X.optimizer_step"):
        with times.profile("[Strategy]Y.training_step"):
            clock.now += 5
        with times.profile("[Callback]Z.backward"):
            clock.now += 1
    assert times.take() == {"data": 0, "transfer": 0, "forward": 5, "backward": 0, "optimiser": 1}
    assert set(times.take().values()) == {0}
