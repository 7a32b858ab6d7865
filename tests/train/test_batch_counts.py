"""What a fine-tuning's batch counts: clips, or videos with repeats on top."""

import dataclasses

import pytest
from tiny_runs import FINETUNING

from mv2mae.config import FinetuneConfig
from mv2mae.recipes import load_recipe
from mv2mae.train.finetune import finetune


def test_the_papers_recipe_takes_the_steps_of_videomaes_code():
    config = load_recipe("paper-ntu60-xsub-finetune", FinetuneConfig)
    assert (config.videos_per_step, config.num_repeats) == (1024, 6)
    assert config.optim.total_steps(40_320) == 1378
    assert config.optim.peak_lr() == pytest.approx(4e-3)
    by_clips = load_recipe(
        "paper-ntu60-xsub-finetune", FinetuneConfig, batch_counts="clips", optim={"batch_size": 1008}
    )
    assert by_clips.videos_per_step == 168
    assert by_clips.optim.total_steps(40_320 * 6) == 8400


@pytest.mark.parametrize(
    ("counts", "steps", "said"),
    [
        ("clips", 18, "18 of 4 clips (2 videos x 2 augmentations) = 3.0 epochs"),
        ("videos", 9, "9 of 8 clips (4 videos x 2 augmentations) = 3.0 epochs"),
    ],
)
def test_a_run_of_three_epochs(counts, steps, said, tmp_path, capsys):
    optim = dataclasses.replace(FINETUNING.optim, steps=None, epochs=3, lr=None, base_lr=0.064, warmup_steps=0)
    config = dataclasses.replace(FINETUNING, batch_counts=counts, optim=optim)
    finetune(config, tmp_path / "run")
    out = capsys.readouterr().out
    assert said in out
    assert f"rate    0.001 at its peak (0.064 x 4 {counts} / 256)" in out
    assert "decay   of weights 0.05" in out
    assert "drop path 0.1" in out
    assert f"step {steps}/{steps}" in out
