"""`auto` takes bfloat16 where the machine multiplies it by itself, and nothing else is changed."""

import pytest

from mv2mae.config import ComputeConfig
from mv2mae.errors import InputError
from mv2mae.model import precision
from mv2mae.model.precision import precision_of


@pytest.fixture
def machine(monkeypatch):
    """Says whether there is a GPU, and what multiplies bfloat16."""

    def be(*, gpu=False, cpu_bf16=False, gpu_bf16=False):
        monkeypatch.setattr(precision.torch.cuda, "is_available", lambda: gpu)
        monkeypatch.setattr(precision.torch.cuda, "is_bf16_supported", lambda including_emulation=True: gpu_bf16)
        monkeypatch.setattr(precision.torch.cpu, "_is_avx512_bf16_supported", lambda: cpu_bf16)
        monkeypatch.setattr(precision.torch.cpu, "_is_amx_tile_supported", lambda: False)

    return be


@pytest.mark.parametrize(
    ("has", "accelerator", "wanted"),
    [
        ({}, "auto", "32-true"),
        ({"cpu_bf16": True}, "auto", "bf16-mixed"),
        ({"cpu_bf16": True, "gpu": True}, "auto", "32-true"),
        ({"cpu_bf16": True, "gpu": True}, "cpu", "bf16-mixed"),
        ({"gpu": True, "gpu_bf16": True}, "auto", "bf16-mixed"),
        ({"gpu": True, "gpu_bf16": True}, "gpu", "bf16-mixed"),
        ({"gpu": True, "gpu_bf16": True}, "cpu", "32-true"),
    ],
)
def test_auto_is_decided_by_the_device_that_trains(machine, has, accelerator, wanted):
    machine(**has)
    assert precision_of(ComputeConfig(precision="auto", accelerator=accelerator)) == wanted


@pytest.mark.parametrize(
    ("has", "wanted"),
    [
        ({"cpu_bf16": True}, "32-true"),
        ({"cpu_bf16": True, "gpu": True}, "32-true"),
        ({"gpu": True, "gpu_bf16": True}, "bf16-mixed"),
    ],
)
def test_where_nothing_is_said_a_gpu_takes_bfloat16_and_a_cpu_does_not(machine, has, wanted):
    machine(**has)
    assert precision_of(ComputeConfig()) == wanted


def test_float16_is_not_turned_into_something_else_on_a_cpu(machine):
    machine()
    with pytest.raises(InputError, match="16-mixed is for a GPU, and this run computes on a CPU"):
        precision_of(ComputeConfig(precision="16-mixed"))
    machine(gpu=True)
    assert precision_of(ComputeConfig(precision="16-mixed")) == "16-mixed"


def test_what_is_asked_for_by_name_is_taken(machine):
    machine(cpu_bf16=True)
    assert precision_of(ComputeConfig(precision="32-true")) == "32-true"
    machine()
    assert precision_of(ComputeConfig(precision="bf16-mixed")) == "bf16-mixed"
