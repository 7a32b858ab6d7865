"""The contrastive baseline."""

import math

import pytest
import torch
import torch.nn.functional as F

from mv2mae.config import ModelConfig
from mv2mae.model.contrastive import ContrastiveModel, info_nce

SMALL = ModelConfig(
    num_frames=4, image_size=32, tubelet_size=(2, 8, 8), encoder_width=32, encoder_depth=1, encoder_heads=2,
    decoder_width=16, decoder_depth=1, decoder_heads=2,
)  # fmt: skip


def slow_info_nce(a, b, temperature, groups):
    """One direction and one pair at a time."""
    losses = []
    for x, y in ((a, b), (b, a)):
        for i in range(len(x)):
            others = [j for j in range(len(y)) if j == i or groups[j] != groups[i]]
            scores = [float(x[i] @ y[j]) / temperature for j in others]
            losses.append(-scores[others.index(i)] + math.log(sum(map(math.exp, scores))))
    return sum(losses) / len(losses)


def test_loss_equals_the_slow_one_and_leaves_the_own_group_out():
    generator = torch.Generator().manual_seed(0)
    a, b = (F.normalize(torch.randn(6, 5, generator=generator), dim=1) for _ in range(2))
    groups = torch.tensor([0, 1, 1, 2, 0, 3])
    found = info_nce(a, b, 0.2, groups).loss
    assert float(found) == pytest.approx(slow_info_nce(a, b, 0.2, groups.tolist()), abs=1e-5)
    assert float(info_nce(a, b, 0.2).loss) != pytest.approx(float(found), abs=1e-3)


def test_equal_views_are_found_and_equal_clips_are_not():
    places = torch.eye(4)
    assert float(info_nce(places, places, 0.1).top1) == 1
    same = torch.ones(4, 3) / 3**0.5
    assert float(info_nce(same, same, 0.1).loss) == pytest.approx(math.log(4), abs=1e-6)


def test_a_few_steps_tell_performances_apart():
    torch.manual_seed(0)
    model = ContrastiveModel(SMALL)
    clips = torch.rand(6, 3, 1, 1, 1).expand(-1, -1, 4, 32, 32)  # six colours, the same in both views
    noise = torch.rand(2, 6, 3, 4, 32, 32)
    target, source = 0.8 * clips + 0.2 * noise[0], (0.8 * clips + 0.2 * noise[1])[:, None]
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for step in range(10):
        out = model(source, target, seeds=torch.arange(6) + 6 * step)
        optimizer.zero_grad()
        out.loss.backward()
        optimizer.step()
        losses.append(float(out.loss.detach()))
    assert losses[0] > 0.1
    assert losses[-1] < 0.1 * losses[0]
    assert float(out.top1) == 1
