"""The README's commands run as printed, in order, from a folder of four cameras."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
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


def printed_commands():
    """Those of the section on one's own cameras, without comments, continued lines joined."""
    text = README.read_text(encoding="utf-8")
    block = re.search(r"## Your own cameras.*?```\n(.*?)```", text, re.DOTALL).group(1)
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
    for program, verb, *words in printed_commands():
        assert program == "mv2mae"
        status = main([verb, *words, *TINY.get(verb, ())])
        said = capsys.readouterr()
        assert status == 0, f"{verb}: {said.err or said.out}"
        assert (takes / WRITTEN.get(verb, "")).exists(), verb
        verbs.append(verb)
    assert [verb for verb in verbs if verb != "view"] == list(WRITTEN)
    assert len(served) == verbs.count("view") == 1
