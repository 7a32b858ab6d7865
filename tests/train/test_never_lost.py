"""Runs that are killed, stopped, starved of room and fed with numbers that are none: nothing is lost."""

import dataclasses
import errno
import json
import multiprocessing
import os
import re
import resource
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from power_cut import power_cut
from tiny_runs import FINETUNING, PRETRAINING

from mv2mae.cli.main import main
from mv2mae.errors import InputError, RunStopped
from mv2mae.runs import read_log
from mv2mae.train import checkpoints
from mv2mae.train.checkpoints import damage, last_checkpoint, write_checkpoint
from mv2mae.train.finetune import FinetuneModule, finetune
from mv2mae.train.guard import FiniteGuard
from mv2mae.train.log import RunLog, TensorBoard
from mv2mae.train.pretrain import pretrain
from mv2mae.train.stopping import StopSignals
from mv2mae.weights import read_weights

TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A fine-tuning that nothing happened to."""
    return finetune(FINETUNING, tmp_path_factory.mktemp("whole") / "run")


def assert_same_weights(a, b):
    a, b = read_weights(a).tensors, read_weights(b).tensors
    assert all(torch.equal(a[name], b[name]) for name in a)


def kept_steps(run):
    return sorted(int(path.stem.removeprefix("step=")) for path in (run / "checkpoints").glob("*.ckpt"))


def with_log(config, **settings):
    return dataclasses.replace(config, log=dataclasses.replace(config.log, **settings))


def at_batch(monkeypatch, module, batches, act):
    """`act(module, batch, loss)` in these batches of a training; what it returns takes the place of the loss."""
    step = module.training_step

    def acting(self, batch, batch_idx):
        loss = step(self, batch, batch_idx)
        return act(self, batch, loss) if batch_idx in batches else loss

    monkeypatch.setattr(module, "training_step", acting)


@pytest.mark.slow
def test_a_run_that_is_killed_ten_times_ends_as_one_that_is_not(tmp_path):
    command = [sys.executable, str(TESTS / "killer.py"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("killed killed") == 10
    for kind in ("pretrain", "finetune"):
        assert_same_weights(tmp_path / kind / "whole", tmp_path / kind / "killed")
        went_on = [
            int(n) for n in re.findall(r"going on from step (\d+)", (tmp_path / kind / "killed.out").read_text())
        ]
        assert len(went_on) >= done.stdout.count(f"{kind}/killed killed") / 2
        log = (tmp_path / kind / "killed" / "log.csv").read_text().splitlines()
        assert len(log) == len({tuple(row.split(",")[:2]) for row in log})
        losses = read_log(tmp_path / kind / "killed")["train/loss"].dropna()
        assert set(range(1, 13)) - set(losses.index) <= set(went_on)  # killed between a checkpoint and its row
        assert losses.equals(read_log(tmp_path / kind / "whole")["train/loss"][losses.index])
        assert not list((tmp_path / kind / "killed" / "checkpoints").glob(".*"))


@pytest.fixture
def hang_up():
    """Sets what SIGHUP does to this process, which may run under nohup itself."""
    before = signal.getsignal(signal.SIGHUP)
    yield lambda handler: signal.signal(signal.SIGHUP, handler)
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(("name", "status"), [("SIGTERM", 143), ("SIGINT", 130), ("SIGHUP", 129)])
def test_a_signal_saves_first(whole, tmp_path, monkeypatch, hang_up, name, status):
    hang_up(signal.SIG_DFL)
    with monkeypatch.context() as patch:
        at_batch(
            patch, FinetuneModule, [4], lambda self, batch, loss: os.kill(os.getpid(), signal.Signals[name]) or loss
        )
        with pytest.raises(RunStopped, match=f"stopped by {name} after step 5 of 12, which is saved") as stop:
            finetune(FINETUNING, tmp_path / "run")
    assert stop.value.status == status
    assert kept_steps(tmp_path / "run") == [3, 5]
    assert read_log(tmp_path / "run")["train/loss"].dropna().index.tolist() == [1, 2, 3, 4, 5]
    assert_same_weights(whole, finetune(FINETUNING, tmp_path / "run"))
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_under_nohup_a_closed_terminal_ends_nothing(tmp_path, monkeypatch, hang_up):
    hang_up(signal.SIG_IGN)
    at_batch(monkeypatch, FinetuneModule, [4], lambda self, batch, loss: os.kill(os.getpid(), signal.SIGHUP) or loss)
    assert kept_steps(finetune(FINETUNING, tmp_path / "run"))[-1] == 12


def test_what_kills_leave_is_swept_when_the_run_goes_on(tmp_path):
    run = finetune(FINETUNING, tmp_path / "run")
    kept = kept_steps(run)
    left = [
        run / ".model.safetensors.0a1b.tmp",
        run / ".best.safetensors.partial",
        run / "checkpoints" / ".step=00000012.ckpt.partial",
    ]
    for file in left:
        file.write_bytes(b"half of it")
    surplus = run / "checkpoints" / "step=00000003.ckpt"  # the kill came before it was removed
    surplus.write_bytes((run / "checkpoints" / f"step={kept[-1]:08d}.ckpt").read_bytes())
    finetune(FINETUNING, run)
    assert kept_steps(run) == kept
    assert not [file for file in left if file.exists()]


def test_a_checkpoint_that_holds_more_than_values_is_not_recommended(tmp_path):
    torch.save({"weights": print}, tmp_path / "step=00000001.ckpt")
    assert damage(tmp_path / "step=00000001.ckpt").startswith("it holds more than tensors and plain values")


def test_the_second_ctrl_c_does_not_wait(tmp_path, monkeypatch):
    def twice(self, batch, loss):
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
        return loss

    at_batch(monkeypatch, FinetuneModule, [4], twice)
    with pytest.raises(KeyboardInterrupt) as stop:
        finetune(FINETUNING, tmp_path / "run")
    assert not isinstance(stop.value, RunStopped)
    assert kept_steps(tmp_path / "run") == [3]


@pytest.mark.parametrize(
    ("exit_code", "said"), [(0, "job 12_3 is requeued"), (1, "job 12_3 could not be requeued .no right.")]
)
def test_slurm_puts_the_job_back_into_its_queue(tmp_path, monkeypatch, exit_code, said):
    scontrol = tmp_path / "bin" / "scontrol"
    scontrol.parent.mkdir()
    scontrol.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/called\necho no right >&2\nexit {exit_code}\n')
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", str(scontrol.parent), prepend=":")
    slurm = {"JOB_ID": 15, "ARRAY_JOB_ID": 12, "ARRAY_TASK_ID": 3, "NTASKS": 1, "PROCID": 0, "LOCALID": 0, "NODEID": 0}
    for key, value in slurm.items():
        monkeypatch.setenv(f"SLURM_{key}", str(value))
    at_batch(monkeypatch, FinetuneModule, [1], lambda self, batch, loss: os.kill(os.getpid(), signal.SIGUSR1) or loss)
    with pytest.raises(RunStopped, match=f"SIGUSR1 after step 2 of 12, which is saved; {said}"):
        finetune(FINETUNING, tmp_path / "run")
    assert (tmp_path / "called").read_text() == "requeue 12_3\n"
    assert kept_steps(tmp_path / "run") == [2]


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_to_the_whole_group_saves_and_the_run_goes_on_exactly(whole, tmp_path, name):
    said = stopped_as_a_group(tmp_path / "run", name, 1, "fork")
    assert said.returncode == 128 + signal.Signals[name], said.stdout + said.stderr
    assert f"stopped by {name} after step 5 of 12, which is saved" in said.stdout
    assert float(said.stdout.split()[-2]) < 20  # seconds; a worker that does not end would be waited for
    assert_same_weights(whole, finetune(FINETUNING, tmp_path / "run"))


@pytest.mark.slow
@pytest.mark.parametrize(("devices", "start"), [(1, "forkserver"), (2, "fork")])
def test_a_signal_to_the_whole_group_of_several_processes_saves(tmp_path, devices, start):
    said = stopped_as_a_group(tmp_path / "run", "SIGTERM", devices, start)
    assert said.returncode == 143, said.stdout + said.stderr
    assert "stopped by SIGTERM after step 5 of 12, which is saved" in said.stdout
    assert kept_steps(tmp_path / "run") == [3, 5]


def stopped_as_a_group(run, name, devices, start):
    """A training in a process group of its own, all of which gets the signal before the fifth step."""
    command = [sys.executable, TESTS / "group_stopped.py", run, name, str(devices), start]
    return subprocess.run(command, capture_output=True, text=True, timeout=400, check=False, start_new_session=True)


def test_workers_that_die_while_the_run_stops_do_no_harm(whole, tmp_path, monkeypatch):
    def end_worker(self, batch, loss):
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)
        time.sleep(0.3)
        return loss

    compute = dataclasses.replace(FINETUNING.compute, num_workers=1)
    with monkeypatch.context() as patch:
        at_batch(patch, FinetuneModule, [4], end_worker)
        with pytest.raises(RunStopped, match="stopped by SIGTERM after step 5 of 12"):
            finetune(dataclasses.replace(FINETUNING, compute=compute), tmp_path / "run")
    assert_same_weights(whole, finetune(FINETUNING, tmp_path / "run"))


@pytest.mark.slow
def test_two_processes_skip_and_stop_together_and_one_goes_on(tmp_path, capsys):
    run = tmp_path / "run"
    command = [sys.executable, str(TESTS / "spoiled_ranks.py"), str(run)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 143, done.stdout + done.stderr
    assert "stopped by SIGTERM after step 5 of 12, which is saved" in done.stdout
    entries = [json.loads(line) for line in (run / "non_finite.jsonl").read_text().splitlines()]
    assert [(entry["step"], entry["rank"], len(entry["items"])) for entry in entries] == [(3, 1, 2)]
    assert kept_steps(run) == [3, 5]
    pretrain(PRETRAINING, run)
    said = capsys.readouterr().out
    assert "going on from step 5 of 12" in said
    assert "changed: devices 2 -> 1, strategy ddp -> auto; the items and their order stay the same" in said
    assert read_log(run)["train/skipped_steps"].dropna().to_dict() == dict.fromkeys(range(3, 13), 1)


def test_a_damaged_checkpoint_is_passed_over(whole, tmp_path, monkeypatch, caplog, capsys):
    run = tmp_path / "run"
    with power_cut(monkeypatch, FinetuneModule, 7):
        finetune(FINETUNING, run)
    assert kept_steps(run) == [3, 6]
    newest = run / "checkpoints" / "step=00000006.ckpt"
    newest.write_bytes(newest.read_bytes()[:-1000])
    finetune(FINETUNING, run)
    assert "passed over, it is damaged" in caplog.text
    assert "going on from step 3 of 12" in capsys.readouterr().out
    assert newest.with_name("step=00000006.ckpt.damaged").exists()
    assert_same_weights(whole, run)


def test_any_damage_is_seen(tmp_path):
    path = tmp_path / "step=00000001.ckpt"
    values = {"weights": torch.arange(500.0), "step": 1}
    write_checkpoint(values, path)
    good = path.read_bytes()
    assert damage(path) is None
    for place in range(0, len(good), 31):
        path.write_bytes(good[:place] + bytes([good[place] ^ 4]) + good[place + 1 :])
        if damage(path) is None:  # in what fills the space between parts
            assert torch.equal(torch.load(path, weights_only=True)["weights"], values["weights"])
    for length in (0, 100, len(good) - 1):
        path.write_bytes(good[:length])
        assert damage(path)


def test_checkpoints_are_kept_by_number_and_by_best(tmp_path, monkeypatch):
    scores = iter([5.0, 1.0, 3.0, 4.0, 2.0])
    monkeypatch.setattr(
        "mv2mae.train.pretrain.HeldOut.look",
        lambda self, trainer, module: module.latest.update({"held_out/loss": next(scores)}),
    )
    run = pretrain(with_log(PRETRAINING, keep=1, keep_every=9), tmp_path / "run")
    assert kept_steps(run) == [3, 9, 12]  # the best one, every ninth, and the last one
    state = torch.load(last_checkpoint(run), weights_only=True)["state_dict"]
    best = torch.load(run / "checkpoints" / "step=00000003.ckpt", weights_only=True)["state_dict"]
    name = "encoder.norm.weight"
    assert torch.equal(read_weights(run / "best.safetensors").tensors[name], best[f"model.{name}"])
    assert torch.equal(read_weights(run).tensors[name], state[f"model.{name}"])


def test_a_full_disk_costs_a_checkpoint_not_the_run(whole, tmp_path, caplog):
    """Files may not grow beyond 300 kB here, so that a checkpoint breaks off in the middle and weights do not."""
    run = tmp_path / "run"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    saves = []
    save = checkpoints.Checkpoints.save

    def narrow(self, trainer, must=False):
        full = trainer.global_step in (6, 9)
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000 if full else limits[0], limits[1]))
        try:
            save(self, trainer, must)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        saves.append((trainer.global_step, kept_steps(run)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints.Checkpoints, "save", narrow)
        finetune(FINETUNING, run)
    assert saves[:4] == [(3, [3]), (6, [3]), (9, [3]), (12, [3, 12])]
    assert "checkpoint of step 6 could not be written" in caplog.text
    assert "step=00000003.ckpt is the last one" in caplog.text
    assert "File too large" in caplog.text
    assert_same_weights(whole, run)


def test_a_disk_that_stays_full_ends_the_run_with_one_line(tmp_path, monkeypatch):
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def refuse(*args):
        raise full

    monkeypatch.setattr(checkpoints, "write_checkpoint", refuse)
    with pytest.raises(InputError, match=r"step 12 could not .*No space left on device.*there is none yet; make room"):
        finetune(with_log(FINETUNING, save_every=12), tmp_path / "at the end")
    with pytest.raises(InputError, match="step 9 could not"):
        finetune(FINETUNING, tmp_path / "three in a row")
    assert not (tmp_path / "three in a row" / "checkpoints").exists()


def test_best_weights_that_were_not_written_are_written_when_the_run_goes_on(tmp_path, monkeypatch):
    scores = iter([5.0, 1.0, 3.0, 4.0, 3.0, 2.0])
    monkeypatch.setattr(
        "mv2mae.train.pretrain.HeldOut.look",
        lambda self, trainer, module: module.latest.update({"held_out/loss": next(scores)}),
    )

    def cut(*args):
        raise RuntimeError("power cut")

    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "_link", cut)
        with pytest.raises(RuntimeError, match="power cut"):
            pretrain(with_log(PRETRAINING, keep=9), run)
    assert not (run / "best.safetensors").exists()
    pretrain(with_log(PRETRAINING, keep=9), run)
    assert_best_is(run, 3)


def test_best_weights_that_cannot_be_written_give_way_to_the_next_best(tmp_path, monkeypatch):
    scores, failing = iter([5.0, 3.0, 1.0, 2.0, 4.0]), iter([False, True, False])
    monkeypatch.setattr(
        "mv2mae.train.pretrain.HeldOut.look",
        lambda self, trainer, module: module.latest.update({"held_out/loss": next(scores)}),
    )
    link = checkpoints._link

    def sometimes(*args):
        if next(failing):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        link(*args)

    monkeypatch.setattr(checkpoints, "_link", sometimes)
    run = pretrain(with_log(PRETRAINING, keep=9), tmp_path / "run")
    assert_best_is(run, 9)


def assert_best_is(run, step):
    checkpoint = torch.load(run / "checkpoints" / f"step={step:08d}.ckpt", weights_only=True)["state_dict"]
    best = read_weights(run / "best.safetensors").tensors
    assert all(torch.equal(values, checkpoint[f"model.{name}"]) for name, values in best.items())


@pytest.mark.parametrize(
    ("left", "kept"),
    [
        ("", ""),
        ("step,na", ""),
        ("step,name,value\n1,loss,0.5\n" + "\0" * 12 + "\n2,loss,0.25\n,,\n", "1,loss,0.5\n2,loss,0.25\n"),
        ("step,name,value\n1,loss,0.5\n2,loss,nan\n3,loss,0.25\n2,lr,0.0", "1,loss,0.5\n2,loss,nan\n"),
    ],
)
def test_what_a_power_cut_leaves_of_a_log_is_read_as_far_as_it_can_be(tmp_path, left, kept):
    path = tmp_path / "log.csv"
    path.write_text(left)
    RunLog(path).forget_after(2)
    assert path.read_text() == "step,name,value\n" + kept
    RunLog(path).log_metrics({"lr": 0.5}, step=3)
    assert path.read_text() == "step,name,value\n" + kept + "3,lr,0.5\n"


def test_rows_of_the_log_wait_for_room(tmp_path, caplog):
    path = tmp_path / "log.csv"
    path.symlink_to("/dev/full")
    log = RunLog(path)
    log.log_metrics({"train/lr": 0.1}, step=1)
    assert "No space left on device" in caplog.text
    path.unlink()
    log.log_metrics({"train/lr": 0.2}, step=2)
    assert path.read_text().splitlines() == ["step,name,value", "1,train/lr,0.1", "2,train/lr,0.2"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_tensorboard_does_not_hold_up_a_run_when_its_disk_is_full(tmp_path, monkeypatch):
    def refuse(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    board = TensorBoard(tmp_path, name="", version="tensorboard")
    monkeypatch.setattr(board.experiment.file_writer.event_writer._ev_writer, "write_event", refuse)
    board.log_metrics({"train/lr": 0.1}, step=1)
    board.experiment.file_writer.event_writer._worker.join(10)
    for step in range(2, 30):  # its queue holds ten
        board.log_metrics({"train/lr": 0.1}, step=step)
    board.finalize("success")


def test_a_folder_that_cannot_be_written_is_refused_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"run cannot be written \(Not a directory\)"):
        finetune(FINETUNING, tmp_path / "file" / "run")


def not_finite(self, batch, loss):
    return loss * float("nan")


def states_of(optimizer):
    """Of each parameter, of one optimiser or of the two of Muon."""
    return [optimizer["state"]] if "state" in optimizer else [part["state"] for part in optimizer.values()]


def gradient_not_finite(self, batch, loss):
    return loss + torch.sqrt(next(self.model.parameters()).sum() * 0)


@pytest.fixture(params=[False, True])
def late(request, monkeypatch):
    """Whether steps are decided upon on the device and told of afterwards, as on a GPU."""
    monkeypatch.setattr("mv2mae.train.trainer.FiniteGuard", partial(FiniteGuard, late=request.param))
    return request.param


@pytest.mark.parametrize("spoil", [not_finite, gradient_not_finite])
def test_a_step_that_is_not_finite_is_skipped_and_its_items_are_named(tmp_path, monkeypatch, spoil, late):
    at_batch(monkeypatch, FinetuneModule, [4, 5], spoil)
    run = finetune(FINETUNING, tmp_path / "whole")
    log = read_log(run)["train/skipped_steps"].dropna()
    assert log.to_dict() == {5 + late: 1, 6 + late: 2, **dict.fromkeys(range(7 + late, 13), 2)}
    entries = [json.loads(line) for line in (run / "non_finite.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in entries] == [5, 6]
    assert len(entries[0]["items"]) == 4
    assert {"epoch", "index", "path", "seed"} == set(entries[0]["items"][0])
    assert Path(entries[0]["items"][0]["path"]).exists()
    # as if the optimiser had not been called in these two steps: the same weights, momenta and running mean
    states = [torch.load(run / "checkpoints" / f"step=0000000{step}.ckpt", weights_only=True) for step in (9,)]
    assert all(int(state["step"]) == 7 for state in states[0]["optimizer_states"][0]["state"].values())
    with power_cut(monkeypatch, FinetuneModule, 7):
        finetune(FINETUNING, tmp_path / "parts")
    assert_same_weights(run, finetune(FINETUNING, tmp_path / "parts"))
    assert (tmp_path / "parts" / "non_finite.jsonl").read_text() == (run / "non_finite.jsonl").read_text()


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_weights_and_momenta_stand_still_in_a_skipped_step(tmp_path, monkeypatch, late, optimizer):
    at_batch(monkeypatch, FinetuneModule, [4, 5], not_finite)
    config = dataclasses.replace(FINETUNING, optim=dataclasses.replace(FINETUNING.optim, optimizer=optimizer))
    run = finetune(with_log(config, save_every=1, keep=12), tmp_path / "run")
    before, after = (torch.load(run / "checkpoints" / f"step=0000000{step}.ckpt", weights_only=True) for step in (4, 6))
    torch.testing.assert_close(after["state_dict"], before["state_dict"], rtol=0, atol=0)
    states = [states_of(checkpoint["optimizer_states"][0]) for checkpoint in (before, after)]
    torch.testing.assert_close(states[1], states[0], rtol=0, atol=0)
    assert after["lr_schedulers"][0]["last_epoch"] == 6  # time goes on


def test_gradients_that_overflow_are_left_to_the_scaler(tmp_path):
    module = torch.nn.Linear(2, 1)
    module.weight.grad = torch.full((1, 2), float("inf"))
    batch = {"index": torch.tensor([0]), "seed": torch.tensor([0])}
    for scaler, skips in ((None, True), (torch.amp.GradScaler("cpu"), False)):
        trainer = SimpleNamespace(precision_plugin=SimpleNamespace(scaler=scaler), world_size=1)
        guard = FiniteGuard(tmp_path, 5, checkpoints=None, signals=StopSignals(None))
        guard.on_train_batch_start(trainer, module, batch, 0)
        guard.on_before_backward(trainer, module, torch.tensor(1.0))
        guard.on_before_optimizer_step(trainer, module, SimpleNamespace(zero_grad=lambda set_to_none: None))
        assert guard.skipping is module.step_skipped is skips


def test_gradients_that_no_scale_helps_are_counted(tmp_path):
    scales, counted = iter([4.0, 2.0, 1.0, 0.5, 0.25, 0.25, 0.125]), []
    plugin = SimpleNamespace(scaler=SimpleNamespace(get_scale=lambda: next(scales)))
    trainer = SimpleNamespace(
        precision_plugin=plugin,
        accumulate_grad_batches=1,
        global_step=1,
        log_every_n_steps=1,
        global_rank=0,
        is_global_zero=False,
    )
    guard = FiniteGuard(tmp_path, 3, checkpoints=None, signals=StopSignals(None))
    for batch in range(7):
        guard.skipping = False
        guard.on_train_batch_end(trainer, SimpleNamespace(log=lambda *args: None), None, None, batch)
        counted.append(guard.in_a_row)
    assert counted == [0, 0, 0, 1, 2, 0, 1]
    assert guard.num_skipped == 3


def test_a_run_that_stays_not_finite_stops_and_keeps_what_it_had(tmp_path, monkeypatch, late):
    config = with_log(FINETUNING, max_skipped=2)
    at_batch(monkeypatch, FinetuneModule, range(4, 12), not_finite)
    with pytest.raises(InputError, match=f"were not finite in {2 + late} steps in a row, up to step {6 + late}"):
        finetune(config, tmp_path / "run")
    stored = torch.load(last_checkpoint(tmp_path / "run"), weights_only=True)
    assert stored["global_step"] == 6 + late
    assert all(tensor.isfinite().all() for tensor in stored["state_dict"].values())


def test_a_run_says_what_has_changed_on_its_machine(whole, tmp_path, monkeypatch, capsys):
    with power_cut(monkeypatch, FinetuneModule, 7):
        finetune(FINETUNING, tmp_path / "run")
    more = dataclasses.replace(FINETUNING, compute=dataclasses.replace(FINETUNING.compute, num_workers=1))
    assert_same_weights(whole, finetune(more, tmp_path / "run"))
    assert "changed: num_workers 0 -> 1; the results stay the same" in capsys.readouterr().out


def test_the_command_line_says_that_it_goes_on(tmp_path, monkeypatch, capsys):
    def stopped(config, run):
        assert config.compute.profile_steps == 3
        raise RunStopped("stopped by SIGTERM after step 5 of 12, which is saved", status=143)

    monkeypatch.setattr("mv2mae.train.pretrain.pretrain", stopped)
    assert main(["pretrain", "--recipe", "sample-pretrain", "--run", str(tmp_path), "--profile", "3"]) == 143
    assert "which is saved; the same command goes on from there" in capsys.readouterr().err
