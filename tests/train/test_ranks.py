"""Two processes on the CPU do what one does with the whole batch."""

import subprocess
import sys

import pytest
import ranks
import torch

from mv2mae.runs import read_log
from mv2mae.train.checkpoints import last_checkpoint
from mv2mae.weights import read_weights


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with every run: one/NAME, ddp/NAME, fsdp/NAME."""
    folder = tmp_path_factory.mktemp("ranks")
    ranks.in_two_processes("everything", folder)
    for name, config in ranks.runs().items():
        ranks.train(config, folder / "one" / name)
    return folder


def equal_curves(a, b, tolerance=1e-5):
    """The logs hold the same quantities at the same steps, and the same values (they are written with six digits)."""
    a, b = (log[[name for name in log if not name.startswith("speed/")]] for log in (read_log(a), read_log(b)))
    assert set(a) == set(b)
    for name in a:
        torch.testing.assert_close(
            torch.tensor(a[name].to_numpy()),
            torch.tensor(b[name].to_numpy()),
            rtol=tolerance,
            atol=tolerance,
            equal_nan=True,
            msg=lambda text, name=name: f"{name}: {text}",
        )


def equal_weights(a, b, tolerance=1e-4):
    """As equal as AdamW leaves them, which divides gradients by their own size, however near to rounding that is."""
    a, b = read_weights(a).tensors, read_weights(b).tensors
    assert set(a) == set(b)
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=0, atol=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pretrain", "contrastive", "finetune", "stirred"])
def test_two_processes_equal_one(trained, name):
    equal_curves(trained / "one" / name, trained / "ddp" / name)
    equal_weights(trained / "one" / name, trained / "ddp" / name)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pretrain", "stirred"])
def test_a_model_in_shards_equals_one_in_one_piece(trained, name):
    equal_curves(trained / "one" / name, trained / "fsdp" / name)
    equal_weights(trained / "one" / name, trained / "fsdp" / name)


@pytest.mark.slow
def test_muon_in_shards_equals_muon_but_for_its_half_precision(trained):
    # its matrices are made orthogonal in bfloat16, whose rounding depends on the order of sums
    equal_curves(trained / "one" / "muon", trained / "fsdp" / "muon", tolerance=1e-3)


@pytest.mark.slow
def test_a_checkpoint_of_shards_is_that_of_one_process(trained):
    one, ddp, fsdp = (
        torch.load(last_checkpoint(trained / kind / "pretrain"), weights_only=True) for kind in ("one", "ddp", "fsdp")
    )
    for other in (ddp, fsdp):
        assert set(one) == set(other)
        for part in ("state_dict", "optimizer_states"):
            torch.testing.assert_close(other[part], one[part], rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_a_stopped_run_goes_on_with_another_strategy(trained):
    equal_weights(trained / "fsdp" / "pretrain", trained / "fsdp" / "stopped")  # was DDP when it was stopped


@pytest.mark.slow
def test_a_run_in_shards_goes_on_in_one_process(trained):
    ranks.train(ranks.runs()["stirred"], trained / "one" / "stopped")
    equal_weights(trained / "one" / "stirred", trained / "one" / "stopped")


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_two_gpus_equal_one_process_on_the_cpu_but_for_half_precision(trained, tmp_path):
    ranks.in_two_processes("on_gpus", tmp_path)
    for kind in ("ddp", "fsdp"):
        losses = [read_log(run)["train/loss"].to_numpy() for run in (trained / "one" / "pretrain", tmp_path / kind)]
        torch.testing.assert_close(torch.tensor(losses[1]), torch.tensor(losses[0]), rtol=0.01, atol=0)


@pytest.mark.slow
def test_the_command_line_starts_processes_itself(trained, tmp_path):
    query, compute = ranks.FEW, {"accelerator": "cpu", "devices": 2, "num_workers": 0, "num_threads": 1}
    said = subprocess.run(
        [
            *(sys.executable, "-m", "mv2mae.cli", "finetune", "--run", str(tmp_path / "run"), "--seed", "0"),
            *("--data.train_query", query, "--data.cache", "memory", "--data.frame_stride", "8", "--num_repeats", "2"),
            *("--model.num_frames", "4", "--model.image_size", "32", "--model.tubelet_size", "[2,8,8]"),
            *("--model.encoder_width", "32", "--model.encoder_depth", "2", "--model.encoder_heads", "2"),
            *("--augment.rand_augment_ops", "0", "--log.log_every", "1", "--log.save_every", "2"),
            *("--optim.lr", "1e-3", "--optim.base_lr", "null", "--optim.batch_size", "8", "--optim.steps", "4"),
            *("--optim.epochs", "null", "--optim.warmup_epochs", "null", "--optim.warmup_steps", "2"),
            *("--optim.weight_decay", "0.05", "--optim.betas", "[0.9,0.95]", "--optim.layer_decay", "1"),
            *(word for name, value in compute.items() for word in (f"--compute.{name}", str(value))),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert said.returncode == 0, said.stdout + said.stderr
    assert said.stdout.count("Fine-tuning") == 1
    rows = (tmp_path / "run" / "log.csv").read_text().splitlines()
    assert len(rows) == len({tuple(row.split(",")[:2]) for row in rows})  # each quantity once a step
    equal_curves(trained / "one" / "finetune", tmp_path / "run")
