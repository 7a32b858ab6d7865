"""What a run says of a device that it cannot use, or that is too small for a step."""

import dataclasses

import pytest
import torch
from tiny_runs import FINETUNING, PRETRAINING

from mv2mae.config import ComputeConfig, FinetuneConfig, PretrainConfig
from mv2mae.data.device_memory import sent
from mv2mae.devices import best_device
from mv2mae.errors import InputError
from mv2mae.recipes import list_recipes, load_recipe
from mv2mae.train import devices
from mv2mae.train.devices import check_device
from mv2mae.train.finetune import FinetuneModule, finetune
from mv2mae.train.memory import what_fits
from mv2mae.train.pretrain import PretrainModule, pretrain
from mv2mae.train.trainer import _hardware
from mv2mae.train.transfer import Arriving, Prefetched

GPU = ComputeConfig(accelerator="gpu")


@pytest.fixture
def machine(monkeypatch):
    """Says what PyTorch finds."""

    def be(*, cuda=None, there=False, refuses=None, bf16=True):
        def init():
            if refuses is not None:
                raise RuntimeError(refuses)

        monkeypatch.setattr(torch.version, "cuda", cuda)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
        monkeypatch.setattr(torch.cuda, "init", init)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla T4")
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: bf16)

    return be


@pytest.mark.parametrize(
    ("has", "said"),
    [
        ({}, r"gpu: this PyTorch \(.*\) is built for CPUs alone; install one with CUDA .*; or choose cpu"),
        (
            {"cuda": "13.0", "refuses": "The NVIDIA driver on your system is too old (found version 11040). Please"},
            r"with CUDA 13.0 finds no GPU that it can use: .* too old \(found version 11040\); or choose cpu",
        ),
        ({"cuda": "13.0"}, "PyTorch sees no GPU; see `nvidia-smi` and CUDA_VISIBLE_DEVICES; or choose cpu"),
    ],
)
def test_a_gpu_that_is_not_there_is_said_in_one_line(machine, has, said):
    machine(**has)
    with pytest.raises(InputError, match=said) as caught:
        check_device(GPU)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("has", "name", "said"),
    [
        ({}, "cuda", r"device 'cuda' is not there: this PyTorch \(.*\) is built for CPUs alone; .*; or give cpu"),
        ({}, "tpu", "device 'tpu' is unknown; give auto, cpu, cuda, or cuda:0"),
        ({"cuda": "13.0", "there": True}, "cuda:2", "device 'cuda:2' is not there; give cuda or cuda:0 to 1"),
        ({"cuda": "13.0", "there": True}, "cuda:x", "device 'cuda:x' is not there"),
        ({}, "cpu:1", "device 'cpu:1' is not there; give cpu or cpu:0"),
    ],
)
def test_a_device_that_is_not_there_is_said_in_one_line(machine, has, name, said):
    machine(**has)
    with pytest.raises(InputError, match=said):
        best_device(name)


def test_a_device_that_is_there_is_taken(machine):
    machine()
    assert (best_device("auto"), best_device("cpu")) == ("cpu", "cpu")
    machine(cuda="13.0", there=True)
    assert [best_device(name) for name in ("auto", "cuda", "cuda:1")] == ["cuda", "cuda", "cuda:1"]
    assert [best_device(name) for name in ("gpu", "gpu:1")] == ["cuda", "cuda:1"]


def test_other_accelerators_are_refused_and_auto_is_one_of_ours(machine):
    with pytest.raises(InputError, match="accelerator=tpu is unknown; choose auto, cpu or gpu"):
        ComputeConfig(accelerator="tpu")
    machine()  # Lightning's own auto would take one of Apple's
    assert _hardware(ComputeConfig())["accelerator"] == "cpu"
    machine(cuda="13.0", there=True)
    assert _hardware(ComputeConfig())["accelerator"] == _hardware(GPU)["accelerator"] == "gpu"


def test_a_gpu_that_lies_idle_is_pointed_out(machine, monkeypatch, tmp_path, caplog):
    machine()
    check_device(ComputeConfig())
    assert not caplog.text
    monkeypatch.setattr(devices, "_DRIVER", tmp_path)
    check_device(ComputeConfig(accelerator="cpu"))
    assert not caplog.text
    check_device(ComputeConfig())
    assert "computing on the CPU, although there is an NVIDIA driver: this PyTorch" in caplog.text


def test_code_for_other_cards_and_a_precision_that_the_card_lacks(machine, monkeypatch):
    def ones(*args, device):
        raise torch.AcceleratorError("CUDA error: no kernel image is available\nCompile with ...")

    machine(cuda="13.0", there=True, bf16=False)
    with monkeypatch.context() as patch:
        patch.setattr(torch, "ones", ones)
        with pytest.raises(InputError, match=r"cannot compute on Tesla T4 \(capability 7.5\): .*no kernel image"):
            check_device(GPU)
    real = torch.ones
    asked = []
    monkeypatch.setattr(torch, "ones", lambda *args, device: asked.append(device) or real(*args))
    check_device(GPU)
    monkeypatch.setenv("LOCAL_RANK", "3")
    check_device(GPU)
    assert asked == [torch.device("cuda", 0), torch.device("cuda", 1)]
    with pytest.raises(InputError, match=r"Tesla T4 has no bfloat16 \(capability 7.5, .*; choose 16-mixed or 32-true"):
        check_device(dataclasses.replace(GPU, precision="bf16-mixed"))


@pytest.mark.parametrize(
    ("each", "free", "share", "repeats", "fits"),
    [
        (160, 80_000, 1024, 1, 256),  # the paper's batch on a GPU of 80 GB (docs/scaling.md), in MB
        (160, 80_000, 1000, 1, 250),
        (160, 80_000, 64, 1, 64),
        (87, 80_000, 6144, 6, 768),
        (87, 500, 6144, 6, 0),
        (100, 700, 12, 4, 4),
    ],
)
def test_how_many_items_fit(each, free, share, repeats, fits):
    assert what_fits(each, free, share, repeats) == fits


@pytest.mark.parametrize(
    ("train", "config", "module"), [(pretrain, PRETRAINING, PretrainModule), (finetune, FINETUNING, FinetuneModule)]
)
def test_a_step_that_does_not_fit_says_what_does(tmp_path, monkeypatch, train, config, module):
    kept = []

    def too_much(self, batch, batch_idx):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate ...")

    def free(device):
        return 10_000_000

    monkeypatch.setattr(module, "training_step", too_much)
    monkeypatch.setattr("mv2mae.train.memory.free_bytes", free)
    monkeypatch.setattr("mv2mae.train.memory.what_fits", lambda each, free, *rest: kept.append((each, free)) or 2)
    with pytest.raises(InputError, match="on 4 items at a time does not fit into the memory of this machine: an item "):
        train(config, tmp_path / "run")
    (each, left) = kept[0]
    assert 100_000 < each < 5_000_000
    assert 9_000_000 < left < 10_000_000


def test_graphs_are_for_one_device_that_holds_the_batch(tmp_path):
    with pytest.raises(InputError, match="graphs are made of compiled code; set compile to true too"):
        ComputeConfig(graphs=True)
    parts = dataclasses.replace(PRETRAINING.compute, compile=True, graphs=True, device_batch_size=2)
    with pytest.raises(InputError, match="graphs are for one device that holds the whole batch"):
        pretrain(dataclasses.replace(PRETRAINING, compute=parts), tmp_path / "run")


def test_prefetched_batches_are_those_of_the_loader(device):
    batches = [{"target": torch.full((2,), k), "seeds": [k]} for k in range(4)] + [["a script"]]
    loader = torch.utils.data.DataLoader(batches, batch_size=None, pin_memory=device.type == "cuda")
    ahead = Prefetched(loader, device)
    assert len(ahead) == 5
    assert ahead.num_workers == 0
    for batch, wanted in zip(ahead, batches, strict=True):
        if isinstance(wanted, dict):
            assert batch["target"].device.type == device.type
            assert torch.equal(batch["target"].cpu(), wanted["target"])
            assert batch["seeds"] == wanted["seeds"]
    assert list(Prefetched(loader, device))[-1] == ["a script"]


def test_small_things_travel_without_changing(device):
    assert torch.equal(sent(torch.arange(5), device).cpu(), torch.arange(5))
    assert Arriving(torch.tensor([1.0, 0.5], device=device)).values() == [1.0, 0.5]


@pytest.mark.parametrize("name", [name for name in list_recipes() if name.startswith("paper")])
def test_heads_of_the_papers_recipes_are_64_wide(name):
    """What FlashAttention and the tensor cores are fastest with."""
    model = load_recipe(name, FinetuneConfig if name.endswith("finetune") else PretrainConfig).model
    assert model.encoder_width // model.encoder_heads == model.decoder_width // model.decoder_heads == 64
