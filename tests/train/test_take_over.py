"""Pre-training that goes on with smaller tubelets."""

import dataclasses

import torch
from tiny_runs import PRETRAINING

from mv2mae.model.layers import position_table
from mv2mae.model.resampling import resampled_tubelets
from mv2mae.train.pretrain import pretrain
from mv2mae.train.take_over import taken_over
from mv2mae.weights import load_encoder, read_weights

LARGE, SMALL = (2, 16, 16), (2, 8, 8)


def run_of(**changes):
    return dataclasses.replace(PRETRAINING, **changes)


def test_it_goes_on_with_smaller_tubelets(tmp_path, capsys):
    model = PRETRAINING.model
    few = dataclasses.replace(PRETRAINING.optim, steps=2, warmup_steps=1)
    large = dataclasses.replace(model, tubelet_size=LARGE)
    start = pretrain(run_of(model=large, optim=few), tmp_path / "large")
    still = dataclasses.replace(few, lr=1e-12)
    bare = run_of(model=model, optim=still, init=str(start))
    capsys.readouterr()
    after = read_weights(pretrain(bare, tmp_path / "small"))
    said = capsys.readouterr().out
    assert "tubelets of 2 x 16 x 16 resampled to 2 x 8 x 8: embedding and prediction heads" in said
    assert "positions of 2 x 2 x 2 tokens for 2 x 4 x 4" in said
    assert (after.config, after.position_grid) == (model, large.grid)
    wanted = resampled_tubelets(read_weights(start).tensors, LARGE, SMALL)
    for name, tensor in wanted.items():
        torch.testing.assert_close(after.tensors[name], tensor, atol=1e-6, rtol=1e-5)
    positions = position_table(model.positions, model.grid, model.encoder_width, made_for=large.grid)
    again = taken_over(model, str(tmp_path / "small"))  # which goes on with the same positions
    for made in (load_encoder(tmp_path / "small"), again.encoder):
        assert torch.equal(made.positions, positions)
