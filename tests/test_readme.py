"""The README's commands run as printed, in order: from a folder of four cameras, and from one named like NTU RGB+D."""

import re
import shlex
import shutil
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_videos import even_times, write_video

from mv2mae.cli import main

README = Path(__file__).parents[1] / "README.md"
SMALL = (
    "--optim.steps",
    "2",
    "--optim.warmup_steps",
    "0",
    "--compute.accelerator",
    "cpu",
    "--compute.num_threads",
    "1",
)
TINY = {
    "pretrain": ("--model.encoder_depth", "1", "--model.decoder_depth", "1", *SMALL, "--log.held_out_pairs", "4"),
    "finetune": (*SMALL, "--test.num_clips", "1", "--test.num_crops", "1"),
    "extract": ("--num_clips", "1"),
}
"""What is added so that it takes seconds, not minutes."""
WRITTEN = {
    "index": "manifest.parquet",
    "check": "checked.parquet",
    "prepare": "prepared/manifest.parquet",
    "pretrain": "runs/pretrain/model.safetensors",
    "visualize": "pictures/reconstruction.png",
    "extract": "features.parquet",
    "finetune": "runs/finetune/model.safetensors",
    "evaluate": "runs/finetune/evaluation/evaluation.json",
    "report": "",
    "predict": "",
}
"""What each leaves behind."""


def printed_commands(section):
    """Those of a section, without comments, continued lines joined."""
    text = README.read_text(encoding="utf-8")
    block = re.search(rf"## {section}.*?```\n(.*?)```", text, re.DOTALL).group(1)
    return [shlex.split(line, comments=True) for line in block.replace("\\\n", " ").splitlines()]


@pytest.fixture
def takes(tmp_path, monkeypatch):
    """Two actions of three people before four cameras, five seconds each."""
    rng = np.random.default_rng(0)
    for label in ("wave", "jump"):
        for person in ("anna", "ben", "dora"):
            places = np.cumsum(rng.choice([0, 0, 0, 0, 3, 9], size=50))  # one performance, seen by all
            for view in ("left", "right", "front", "back"):
                still = np.kron(rng.integers(0, 255, (6, 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)

                def frame(t, still=still, places=places):
                    return np.roll(still, int(places[round(t * 10)]), axis=1)

                path = tmp_path / "takes" / label / f"{person}_1" / f"{view}.mp4"
                write_video(path, even_times(50, 10), image=frame)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_readmes_commands_run_in_order(takes, monkeypatch, capsys):
    served = []
    monkeypatch.setattr("mv2mae.viewer.server.serve", lambda *args, **_: served.append(args))
    verbs = []
    for program, verb, *words in printed_commands("Your own cameras"):
        assert program == "mv2mae"
        status = main([verb, *words, *TINY.get(verb, ())])
        said = capsys.readouterr()
        assert status == 0, f"{verb}: {said.err or said.out}"
        assert (takes / WRITTEN.get(verb, "")).exists(), verb
        verbs.append(verb)
    assert [verb for verb in verbs if verb != "view"] == list(WRITTEN)
    assert len(served) == verbs.count("view") == 1
    run_python(takes)


def run_python(takes):
    """The README's Python, as printed: the commands above have left what it reads."""
    code = re.search(r"## From Python.*?```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL).group(1)
    for n, view in ((1, "left"), (2, "right")):
        shutil.copy(takes / "takes" / "wave" / "dora_1" / f"{view}.mp4", takes / f"cam{n}.mp4")
    source, target = torch.rand(2, 1, 3, 16, 128, 128)
    names = {"clip": torch.rand(1, 3, 16, 64, 64), "source": source, "target": target}
    exec(code, names)
    assert names["weights"].sum().item() == pytest.approx(1)
    assert names["out"].loss.ndim == 0
    assert set(names["out"].parts()) == {"self_source", "self_target", "cross_target", "cross_source"}
    assert names["tokens"].shape == (1, 256, 128)
    assert len(names["videos"]) == 24


@pytest.fixture
def ntu(tmp_path, monkeypatch):
    """Two actions of a training person and of one that tests, before three cameras."""
    for camera, person, action in product((1, 2, 3), (1, 3), (1, 2)):
        name = f"S001C{camera:03}P{person:03}R001A{action:03}_rgb.avi"
        write_video(tmp_path / "nturgbd" / name, even_times(12, 10), codec="mpeg4")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "nturgbd"


PAPER_TINY = {
    "pretrain": (
        "--model.image_size", "32",
        "--model.encoder_width", "24", "--model.encoder_depth", "1", "--model.encoder_heads", "1",
        "--model.decoder_width", "24", "--model.decoder_depth", "1", "--model.decoder_heads", "1",
        "--data.held_out_groups", "0", "--log.held_out_pairs", "2",
    ),
    "finetune": ("--test.num_clips", "1", "--test.num_crops", "1"),
}  # fmt: skip
SHORT = (
    "--optim.steps", "2", "--optim.epochs", "null", "--optim.warmup_steps", "0", "--optim.warmup_epochs", "null",
    "--optim.batch_size", "2", "--compute.num_workers", "0", *SMALL[4:],
)  # fmt: skip


def test_the_papers_experiment_runs_in_order(ntu, capsys):
    verbs = []
    for program, verb, *words in printed_commands("The paper's experiments"):
        assert program == "mv2mae"
        words = [str(ntu) if word == "/data/nturgbd" else word for word in words]
        status = main([verb, *words, *PAPER_TINY.get(verb, ()), *(SHORT if verb in PAPER_TINY else ())])
        said = capsys.readouterr()
        assert status == 0, f"{verb}: {said.err or said.out}"
        if "--dry_run" in words:
            assert "dry run done" in said.out
        verbs.append(verb)
    assert verbs == ["pretrain", "index", "prepare", "pretrain", "finetune", "evaluate"]
    for name in ("ntu60.report.json", "ntu60/manifest.parquet", "runs/ntu60-finetune/evaluation/evaluation.json"):
        assert (ntu.parent / name).exists()
