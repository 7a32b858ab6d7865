"""Draws of drop path, as compiled code and recorded graphs meet them."""

import numpy as np
import torch

from mv2mae.model.layers import Block, Blocks, DropPath
from mv2mae.train.draws import draw_drop_paths, uniforms


def test_draws_of_drop_path_come_anew_and_stay_in_their_place():
    """A recorded graph reads them where they were; at another address it would be recorded anew in every step."""
    stack = Blocks([Block(32, 2, drop_path=0.5), Block(32, 2, drop_path=0.25)])
    branches = [module for module in stack.modules() if isinstance(module, DropPath)]
    places = set()
    for first in (0, 100):
        seeds = np.arange(first, first + 6)
        draw_drop_paths(stack, seeds, torch.device("cpu"))
        wanted = uniforms(seeds, 4, "drop_path").float().unbind(dim=1)
        assert all(torch.equal(branch.draws, column) for branch, column in zip(branches, wanted, strict=True))
        places.add(tuple(branch.draws.data_ptr() for branch in branches))
    assert len(places) == 1
    draw_drop_paths(stack, np.arange(3), torch.device("cpu"))  # a smaller batch
    assert all(branch.draws.shape == (3,) for branch in branches)
